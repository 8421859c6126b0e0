"""Headless Chromium, told what to do over WebDriver (https://www.w3.org/TR/webdriver2/): plain HTTP."""

import base64
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1500,1100"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # WebGL without a graphics card, which the embedding projector draws with.
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"),
)
_ALL_TEXT = """
function text(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.nodeValue + ' ';
  if (['SCRIPT', 'STYLE', 'TEMPLATE'].includes(node.nodeName)) return '';
  let inner = '';
  if (node.shadowRoot) inner += text(node.shadowRoot);
  if (node.contentDocument) inner += text(node.contentDocument);
  for (const child of node.childNodes) inner += text(child);
  return inner;
}
return text(document).replace(/\\s+/g, ' ');
"""


class Browser:
    """One window.

    Args:
        url: Of its WebDriver session.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def open(self, url: str) -> None:
        """Goes to an address; a new page even where only what follows ``#`` differs."""
        _ask(f"{self._url}/url", {"url": "about:blank"})
        _ask(f"{self._url}/url", {"url": url})

    def text(self) -> str:
        """All text of the page, that of shadow roots and frames too."""
        return str(_ask(f"{self._url}/execute/sync", {"script": _ALL_TEXT, "args": []}))

    def wait_for(self, *patterns: str, seconds: float = 60.0) -> str:
        """The text of the page, once each pattern is found in it."""
        deadline = time.monotonic() + seconds
        while True:
            text = self.text()
            missing = [pattern for pattern in patterns if not re.search(pattern, text)]
            if not missing:
                return text
            assert time.monotonic() < deadline, f"{missing} did not appear in: {text[:3000]}"
            time.sleep(0.2)

    def screenshot(self, path: Path) -> None:
        """For a person to look at."""
        path.write_bytes(base64.b64decode(_ask(f"{self._url}/screenshot")))


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own."""
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None
        port = next(found[1] for line in driver.stdout if (found := re.search(r"on port (\d+)\.", line)))
        options = {"args": [*_FLAGS, f"--user-data-dir={profile}"]}
        capabilities = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
        root = f"http://127.0.0.1:{port}/session"
        session = f"{root}/{_ask(root, {'capabilities': capabilities})['sessionId']}"
        try:
            yield Browser(session)
        finally:
            _ask(session, method="DELETE")
    finally:
        driver.terminate()
        driver.wait(30)
        if driver.stdout:
            driver.stdout.close()


def _ask(url: str, body: Any = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())["value"]
