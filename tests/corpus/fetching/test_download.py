import hashlib
import random
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import web as behaviour
from web import Behaviour, Web

from lmtrain.corpus.fetching.download import UnreachableError, download
from lmtrain.errors import DataError, Interrupted, StorageError

DATA = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


def fetched(web: Web, folder: Path, *behaviours: Behaviour, max_bytes: int = 1_000_000) -> bytes:
    """What one download gives, with these behaviours of the server in turn."""
    web.behaviours["/file.zip"] = behaviour.in_turn(*behaviours)
    with download(f"{web.address}/file.zip", DIGEST, folder, max_bytes) as path:
        return path.read_bytes()


def ranges(web: Web) -> list[str | None]:
    """The range that each request asked for."""
    return [headers.get("Range") for _, headers in web.requests]


def left_in(folder: Path) -> list[str]:
    """What lies in a folder, locks aside."""
    return sorted(path.suffix for path in folder.iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("digest", [DIGEST, f"md5:{hashlib.md5(DATA).hexdigest()}"])
def test_a_file_is_kept_until_it_has_served(web: Web, tmp_path: Path, digest: str) -> None:
    web.behaviours["/file.zip"] = behaviour.whole(DATA)
    folder = tmp_path / "new" / "folder"
    with pytest.raises(Interrupted), download(f"{web.address}/file.zip", digest, folder, 10**6) as path:
        raise Interrupted("stopped", 2)
    assert left_in(folder) == [".zip"]
    with download(f"{web.address}/file.zip", digest, folder, 10**6) as path:
        assert path.read_bytes() == DATA
    assert len(web.requests) == 1
    assert left_in(folder) == []


def test_a_file_that_is_cut_off_is_gone_on_with(web: Web, tmp_path: Path) -> None:
    cuts = behaviour.cut_off(DATA, 100_000), behaviour.whole(DATA)
    assert fetched(web, tmp_path, *cuts) == DATA
    assert ranges(web) == [None, "bytes=100000-"]
    assert web.requests[1][1]["If-Range"] == '"1"'


def test_a_server_that_stalls_is_asked_again(web: Web, tmp_path: Path) -> None:
    assert fetched(web, tmp_path, behaviour.silent(DATA, 50_000), behaviour.whole(DATA)) == DATA
    assert ranges(web) == [None, "bytes=50000-"]


def test_a_later_run_goes_on_where_an_earlier_one_was_stopped(web: Web, tmp_path: Path) -> None:
    def stop(blocks: Iterable[bytes], name: str, size: int | None) -> Iterator[bytes]:
        for block in blocks:
            yield block
            raise Interrupted("stopped", 2)

    web.behaviours["/file.zip"] = behaviour.whole(DATA)
    with (
        pytest.raises(Interrupted),
        download(f"{web.address}/file.zip", DIGEST, tmp_path, 10**6, stop),
    ):
        pass
    assert left_in(tmp_path) == [".part", ".version"]
    size = next(tmp_path.glob("*.part")).stat().st_size
    assert 0 < size < len(DATA)
    assert fetched(web, tmp_path, behaviour.whole(DATA)) == DATA
    assert ranges(web)[-1] == f"bytes={size}-"


@pytest.mark.parametrize(
    "second",
    [
        behaviour.whole(DATA, '"2"'),  # changed meanwhile: the server gives all of it
        behaviour.cut_off(DATA, len(DATA)),  # knows no ranges
    ],
)
def test_a_server_that_gives_all_of_it_again_is_believed(web: Web, tmp_path: Path, second: Behaviour) -> None:
    assert fetched(web, tmp_path, behaviour.cut_off(OTHER, 100_000), second) == DATA


def test_halves_of_different_files_are_not_put_together(web: Web, tmp_path: Path) -> None:
    ignorant = behaviour.ignoring_versions(behaviour.whole(DATA, '"2"'))
    assert fetched(web, tmp_path, behaviour.cut_off(OTHER, 100_000), ignorant) == DATA
    assert ranges(web) == [None, "bytes=100000-", None]


def test_a_part_that_is_all_there_was_is_fetched_anew(web: Web, tmp_path: Path) -> None:
    longer = behaviour.cut_off(DATA + b"more", len(DATA))
    assert fetched(web, tmp_path, longer, behaviour.whole(DATA)) == DATA
    assert ranges(web) == [None, f"bytes={len(DATA)}-", None]


def test_a_range_that_was_not_asked_for_is_not_taken(web: Web, tmp_path: Path) -> None:
    def wrong_range(request: behaviour.Request) -> None:
        request.head(206, {"Content-Range": "bytes 5-9/10", "Content-Length": 5})
        request.wfile.write(b"abcde")

    cuts = behaviour.cut_off(DATA, 100_000), wrong_range, behaviour.whole(DATA)
    assert fetched(web, tmp_path, *cuts) == DATA


def test_a_browser_is_let_in(web: Web, tmp_path: Path) -> None:
    assert fetched(web, tmp_path, behaviour.browsers_only(behaviour.whole(DATA))) == DATA
    agents = [headers["User-Agent"].partition("/")[0] for _, headers in web.requests]
    assert agents == ["lmtrain", "Mozilla"]


def test_redirects_are_followed(web: Web, tmp_path: Path) -> None:
    web.behaviours["/elsewhere"] = behaviour.whole(DATA)
    assert fetched(web, tmp_path, behaviour.redirect("/elsewhere")) == DATA


@pytest.mark.parametrize("data", [OTHER, b"", b"<html>Please log in</html>"])
def test_a_server_that_lies_is_found_out(web: Web, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DataError, match=r"file\.zip: gives another file; its sha256 is not right"):
        fetched(web, tmp_path, behaviour.whole(data))
    assert left_in(tmp_path) == []


def test_a_file_without_end_is_given_up(web: Web, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"file\.zip: more than 1,000,000 bytes"):
        fetched(web, tmp_path, behaviour.endless)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("wrong", "message", "num_requests"),
    [
        (behaviour.missing, "HTTP 404 Not Found", 1),
        (behaviour.failing, "HTTP 500 Internal Server Error", 3),
        (behaviour.cut_off(DATA, 0), "IncompleteRead", 3),
        (behaviour.silent(DATA, 0), "no answer within 0 s", 3),
        (behaviour.dripping(DATA), "stalled", 3),
        (behaviour.redirect("/file.zip"), "Exceeded 30 redirects", None),
    ],
)
def test_a_server_that_does_not_give_its_file_is_told(
    web: Web, tmp_path: Path, wrong: Behaviour, message: str, num_requests: int | None
) -> None:
    with pytest.raises(UnreachableError, match=rf"file\.zip: {message}"):
        fetched(web, tmp_path, wrong)
    assert num_requests in (None, len(web.requests))
    assert ".zip" not in left_in(tmp_path)


def test_nobody_there_is_told(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        with (
            pytest.raises(UnreachableError, match="/file: Connection refused"),
            download(url, DIGEST, tmp_path, 10**6),
        ):
            pass


def test_a_host_that_is_silent_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmtrain.corpus.fetching.download._CONNECT_SECONDS", 0.2)
    with socket.socket() as busy, socket.socket() as waiting, socket.socket() as another:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)  # whose queue the others fill, so that it answers no more
        for client in (waiting, another):
            client.setblocking(False)
            client.connect_ex(busy.getsockname())
        url = f"http://127.0.0.1:{busy.getsockname()[1]}/file"
        started = time.monotonic()
        with (
            pytest.raises(UnreachableError, match="/file: no connection within 0 s"),
            download(url, DIGEST, tmp_path, 10**6),
        ):
            pass
        assert time.monotonic() - started < 0.55


def test_one_process_downloads_a_file_at_a_time(web: Web, tmp_path: Path) -> None:
    web.behaviours["/file.zip"] = behaviour.whole(DATA)
    with download(f"{web.address}/file.zip", DIGEST, tmp_path, 10**6) as path:
        with pytest.raises(StorageError, match="another process"):
            fetched(web, tmp_path, behaviour.whole(DATA))
        assert path.read_bytes() == DATA


def test_a_folder_that_cannot_be_written_is_told(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/downloads.*LMTRAIN_CACHE") as error:
        fetched(web, tmp_path / "file" / "downloads", behaviour.whole(DATA))
    assert not isinstance(error.value, UnreachableError)
