"""A web server on this machine that can be told to misbehave."""

import contextlib
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Request(BaseHTTPRequestHandler):
    """A request, which a behaviour answers."""

    server: "_Listener"

    def do_GET(self) -> None:
        self.server.web.requests.append((self.path, dict(self.headers)))
        behaviour = self.server.web.behaviours.get(self.path, missing)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            behaviour(self)

    def log_message(self, *args: object) -> None: ...

    def head(self, status: int, headers: Mapping[str, object]) -> None:
        """Sends a status line and headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()


Behaviour = Callable[[Request], object]


@dataclass
class Web:
    """What the server does, and what was asked of it."""

    address: str = ""
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    """By path, starting with a slash."""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, web: Web) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.web = web


@contextlib.contextmanager
def serving() -> Iterator[Web]:
    """The server, until the block ends."""
    web = Web()
    listener = _Listener(web)
    web.address = f"http://127.0.0.1:{listener.server_address[1]}"
    # Commands that ran in this process before may have left a closed connection to end it.
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield web
    finally:
        web.closing.set()
        listener.shutdown()
        thread.join()
        listener.server_close()
        signal.signal(signal.SIGPIPE, before)


def missing(request: Request) -> None:
    """There is no such file."""
    request.send_error(404)


def failing(request: Request) -> None:
    """The server is broken."""
    request.send_error(500)


def whole(data: bytes, tag: str = '"1"') -> Behaviour:
    """The file, or the part of it that is asked for."""

    def serve(request: Request) -> None:
        start = _start(request, tag)
        if start >= len(data) > 0:
            return request.head(416, {"Content-Length": 0})
        headers: dict[str, object] = {"Content-Length": len(data) - start, "ETag": tag}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        request.head(206 if start else 200, headers)
        return request.wfile.write(data[start:]) and None

    return serve


def cut_off(data: bytes, kept: int, tag: str = '"1"') -> Behaviour:
    """Promises all and closes after so many bytes."""

    def serve(request: Request) -> None:
        request.head(200, {"Content-Length": len(data), "ETag": tag})
        request.wfile.write(data[:kept])

    return serve


def silent(data: bytes, kept: int, tag: str = '"1"') -> Behaviour:
    """Promises all and says nothing more after so many bytes."""

    def serve(request: Request) -> None:
        cut_off(data, kept, tag)(request)
        request.wfile.flush()
        request.server.web.closing.wait(10)

    return serve


def dripping(data: bytes) -> Behaviour:
    """A byte now and then."""

    def serve(request: Request) -> None:
        request.head(200, {"Content-Length": len(data)})
        for index in range(len(data)):
            request.wfile.write(data[index : index + 1])
            if request.server.web.closing.wait(0.02):
                break

    return serve


def endless(request: Request) -> None:
    """Never comes to an end."""
    request.head(200, {})
    while not request.server.web.closing.is_set():
        request.wfile.write(bytes(1 << 16))


def browsers_only(behaviour: Behaviour) -> Behaviour:
    """Refuses whatever does not look like a browser."""

    def serve(request: Request) -> None:
        if request.headers["User-Agent"].startswith("Mozilla/5.0"):
            behaviour(request)
        else:
            request.send_error(403)

    return serve


def redirect(path: str) -> Behaviour:
    """The file is elsewhere."""
    return lambda request: request.head(302, {"Location": path, "Content-Length": 0})


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Another behaviour at each request; the last one from then on."""
    waiting = list(behaviours)
    return lambda request: (waiting.pop(0) if len(waiting) > 1 else waiting[0])(request)


def ignoring_versions(behaviour: Behaviour) -> Behaviour:
    """Gives a range whatever the version of the file that it was asked for."""

    def serve(request: Request) -> None:
        del request.headers["If-Range"]
        behaviour(request)

    return serve


def _start(request: Request, tag: str) -> int:
    found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    return int(found[1]) if found and request.headers.get("If-Range", tag) == tag else 0
