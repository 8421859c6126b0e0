"""Files from the network, which lies, stalls and cuts off: resumed, and verified before they count.

pooch keeps what was downloaded and holds it against its hash; it knows no resuming, which is added here.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lmtrain import __version__
from lmtrain.errors import DataError, StorageError, UnreachableError
from lmtrain.files.atomic import refusing_faults
from lmtrain.files.text_input import Watch

"""Hands on the blocks of a file that it is given, with the file's name and size; None if that is unknown."""

_AGENT = f"lmtrain/{__version__}"
# Some hosts refuse whatever does not look like a browser.
_BROWSER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
_ADVICE = "free space there, or set LMTRAIN_CACHE to another folder"
_ATTEMPTS = 3
_CONNECT_SECONDS = 10.0
_STALL_SECONDS = 30.0
_SLOWEST = 1000  # bytes per second over that time; what is slower counts as stalled
_BLOCK_BYTES = 1 << 16


@contextlib.contextmanager
def download(
    url: str, digest: str, folder: Path, max_bytes: int, watch: Watch | None = None
) -> Iterator[Path]:
    """Downloads a file and verifies it; goes on with what an earlier call left, where the server can.

    No other process uses or removes the file until the block ends. If that ends without error, the file has
    served, and is removed.

    Args:
        url: Its address, http or https.
        digest: What it must hash to, as ``algorithm:hexadecimal``.
        folder: Where it is kept, also half-done, as ``.part``.
        max_bytes: It is given up beyond that.
        watch: Hands on the blocks, to show progress.

    Yields:
        The path of the file, which is whole and right.

    Raises:
        DataError: What the server gives is another file.
        StorageError: The folder cannot be written; or another process is fetching the same.
        UnreachableError: The server did not give it.
    """
    from filelock import FileLock, Timeout

    base = os.path.basename(unquote(urlsplit(url).path))  # noqa: PTH119  (of a URL)
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{base or 'file'}"
    with contextlib.ExitStack() as stack:
        with refusing_faults(folder, "downloads cannot be kept there", _ADVICE):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(FileLock(folder / f"{name}.lock", timeout=0))
            except Timeout:
                raise StorageError(f"{url}: another process is fetching it; wait for that one") from None
            partial = _Partial(folder / f"{name}.part", max_bytes, watch)
            path = _retrieved(url, digest, folder / name, partial)
        yield path
        path.unlink()


def _retrieved(url: str, digest: str, path: Path, partial: "_Partial") -> Path:
    """The file, which may be there already."""
    import pooch  # type: ignore[import-untyped]
    import requests
    from urllib3.exceptions import HTTPError

    pooch.get_logger().setLevel("ERROR")
    try:
        try:
            return Path(pooch.retrieve(url, digest, path.name, path.parent, downloader=partial))
        except ValueError:
            if not partial.was_resumed:
                raise
        # Its two halves may be of different files.
        return Path(pooch.retrieve(url, digest, path.name, path.parent, downloader=partial))
    except (requests.RequestException, HTTPError) as error:
        raise UnreachableError(f"{url}: {_reason(error)}") from error
    except ValueError as error:
        raise DataError(f"{url}: gives another file; its {digest.partition(':')[0]} is not right") from error


class _Partial:
    """The beginning of a file, and pooch's way to the whole of it.

    Args:
        path: Where it is kept; beside it, what the server said of the file's version.
        max_bytes: See ``download``.
        watch: See ``download``.
    """

    def __init__(self, path: Path, max_bytes: int, watch: Watch | None) -> None:
        self._path = path
        self._version = path.with_suffix(".version")
        self._max_bytes = max_bytes
        self._watch = watch
        self.was_resumed = False

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:  # noqa: ARG002
        """Downloads all that is missing; pooch verifies it then."""
        import requests
        from urllib3.exceptions import HTTPError

        self.was_resumed = False
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                self._go_on(url)
                break
            except (requests.RequestException, HTTPError) as error:
                if not attempts_left or _is_final(error):
                    raise
        self._version.unlink(missing_ok=True)
        self._path.replace(output_file)

    def _go_on(self, url: str) -> None:
        start = self._path.stat().st_size if self._path.exists() else 0
        with _get(url, self._range(start)) as response:
            if start and response.status_code == 416:  # nothing follows: it was whole, or of another file
                self._forget()
                return self._go_on(url)
            response.raise_for_status()
            is_rest = response.status_code == 206
            if is_rest and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                self._forget()
                return self._go_on(url)
            start = start if is_rest else 0
            self.was_resumed = self.was_resumed or is_rest
            self._version.write_text(_version(response), encoding="utf-8")
            self._write(response, start)
        return None

    def _range(self, start: int) -> dict[str, str]:
        if not start:
            return {}
        version = self._version.read_text(encoding="utf-8") if self._version.exists() else ""
        return {"Range": f"bytes={start}-"} | ({"If-Range": version} if version else {})

    def _write(self, response: Any, start: int) -> None:
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        blocks: Iterable[bytes] = _blocks(response)
        if self._watch is not None:
            blocks = self._watch(blocks, str(response.url), total)
        size = start
        with self._path.open("ab" if start else "wb") as file:
            for block in blocks:
                size += len(block)
                if size > self._max_bytes:
                    break
                file.write(block)
        if size > self._max_bytes:
            self._forget()
            raise DataError(f"{response.url}: more than {self._max_bytes:,} bytes, which no file of it has")

    def _forget(self) -> None:
        self._path.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)


def _get(url: str, headers: dict[str, str]) -> Any:
    """The answer to a request, as whatever the server lets in."""
    import requests

    # As it lies there: a range of it is a range of the file.
    headers = {**headers, "Accept-Encoding": "identity", "User-Agent": _AGENT}
    options: dict[str, Any] = {"stream": True, "timeout": (_CONNECT_SECONDS, _STALL_SECONDS)}
    response = requests.get(url, headers=headers, **options)  # noqa: S113
    if response.status_code in (403, 406):
        response.close()
        response = requests.get(url, headers={**headers, "User-Agent": _BROWSER_AGENT}, **options)  # noqa: S113
    return response


def _blocks(response: Any) -> Iterator[bytes]:
    """What arrives, as it arrives.

    Raises:
        requests.ConnectionError: It comes too slowly.
    """
    import requests

    started, received = time.monotonic(), 0
    while block := response.raw.read1(_BLOCK_BYTES):
        yield block
        received += len(block)
        seconds = time.monotonic() - started
        if seconds > _STALL_SECONDS:
            if received < _SLOWEST * seconds:
                raise requests.ConnectionError("stalled: hardly anything comes")
            started, received = time.monotonic(), 0


def _version(response: Any) -> str:
    """What If-Range may hold: a strong entity tag, else a date (RFC 9110, section 13.1.5)."""
    tag = response.headers.get("ETag", "")
    return str(tag if tag.startswith('"') else response.headers.get("Last-Modified", ""))


def _is_final(error: Exception) -> bool:
    """Whether to ask again would be of no use."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return 400 <= error.response.status_code < 500
    return isinstance(error, requests.ConnectTimeout)  # most of whose attempts would be waited for in vain


def _reason(error: Exception) -> str:
    """What went wrong, without the layers of libraries around it."""
    import requests
    from urllib3.exceptions import ReadTimeoutError

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {_CONNECT_SECONDS:.0f} s"
    if isinstance(error, requests.Timeout | ReadTimeoutError):
        return f"no answer within {_STALL_SECONDS:.0f} s"
    innermost: BaseException = error
    while innermost.__context__ is not None:
        innermost = innermost.__context__
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    return str(innermost)[:200] or type(innermost).__name__
