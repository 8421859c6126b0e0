"""TensorBoard as it is served: what its pages ask for, and what they are answered."""

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SECONDS = 60


class Board:
    """A TensorBoard that is being served.

    Args:
        url: With a slash at the end.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, route: str, body: Any = None, **query: str) -> Any:
        """The answer of a route: JSON, else bytes."""
        url = f"{self.url}data/{route}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
            return json.loads(content) if "json" in answer.headers["Content-Type"] else content

    def wait_for(self, run: str, tag: str) -> None:
        """Until a scalar is read, which happens in the background."""
        deadline = time.monotonic() + _SECONDS
        while tag not in self.ask("plugin/scalars/tags").get(run, {}):
            assert time.monotonic() < deadline, f"{tag} of {run} did not come"
            time.sleep(0.05)


@contextmanager
def serving(logdir: Path, output: Path, load_fast: str = "auto") -> Iterator[Board]:
    """The command ``tensorboard``, on a port of its own.

    Args:
        logdir: A folder of runs.
        output: Where it writes what it says.
        load_fast: ``auto`` reads event files as the command does; ``false`` reads them in Python.
    """
    options = ["--logdir", logdir, "--host", "127.0.0.1", "--port", "0", "--load_fast", load_fast]
    with output.open("wb") as file:
        command = [sys.executable, "-m", "tensorboard.main", *map(str, options)]
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield Board(_wait_for_url(process, output))
    finally:
        process.terminate()
        process.wait(_SECONDS)


def _wait_for_url(process: "subprocess.Popen[bytes]", output: Path) -> str:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"at (http://\S+/) ", output.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"TensorBoard did not start: {output.read_text()}")
