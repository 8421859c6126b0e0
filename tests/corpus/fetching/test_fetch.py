import errno
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import web as behaviour
from archives import make_tgz, make_zip
from program import files_in
from web import Web

from lmtrain.corpus.fetching.fetch import FetchObserver, fetch
from lmtrain.corpus.fetching.known import KNOWN_CORPORA, SPLITS, KnownCorpus, Source
from lmtrain.errors import DataError, Interrupted, StorageError, UsageError

TEXTS = {f"{split}.txt": f" \n = {split} = \n\n a <unk> {split} . \n".encode() * 999 for split in SPLITS}
MEMBERS = {f"tiny/wiki.{name.replace('txt', 'tokens')}": text for name, text in TEXTS.items()}
WRONG = {name: text.replace(b"train", b"brain") for name, text in MEMBERS.items()}
ZIP, TGZ, WRONG_ZIP = make_zip(MEMBERS), make_tgz(MEMBERS), make_zip(WRONG)


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, web: Web) -> Iterator[Web]:
    """A corpus with three sources on a server that has them all; each test has its own cache."""
    sources = (
        Source(f"{web.address}/tiny-v1.zip", "tiny/wiki.{}.tokens", sha256(ZIP)),
        Source(f"{web.address}/folder", "{}.txt"),
        Source(f"{web.address}/x%2Ftiny.tgz", "./tiny/wiki.{}.tokens", sha256(TGZ)),
    )
    digests = {split: sha256(TEXTS[f"{split}.txt"]) for split in SPLITS}
    monkeypatch.setitem(KNOWN_CORPORA, "tiny", KnownCorpus("a test", digests, 200_000, sources))
    monkeypatch.setenv("LMTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    web.behaviours["/tiny-v1.zip"] = behaviour.whole(ZIP)
    web.behaviours["/x%2Ftiny.tgz"] = behaviour.whole(TGZ)
    for name, text in TEXTS.items():
        web.behaviours[f"/folder/{name}"] = behaviour.whole(text)
    return web


def mirror_of(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def asked_for(web: Web) -> list[str]:
    return [path for path, _ in web.requests]


def downloads() -> list[str]:
    return [name for name in files_in(Path("cache")) if not name.endswith(".lock")]


def test_a_corpus_goes_to_its_folder(tiny: Web) -> None:
    assert fetch("tiny") == [Path("data/tiny") / f"{split}.txt" for split in SPLITS]
    assert files_in(Path("data/tiny")) == TEXTS
    assert asked_for(tiny) == ["/tiny-v1.zip"]
    assert downloads() == []


def test_what_is_there_is_not_fetched_again(tiny: Web, tmp_path: Path) -> None:
    mirror_of(tmp_path / "to", {"train.txt": TEXTS["train.txt"], "test.txt": TEXTS["test.txt"]})
    notes: list[str] = []
    tiny.behaviours["/tiny-v1.zip"] = behaviour.missing
    fetch("tiny", tmp_path / "to", observer=FetchObserver(notes.append))
    assert asked_for(tiny) == ["/tiny-v1.zip", "/folder/valid.txt"]
    assert files_in(tmp_path / "to") == TEXTS
    assert [note.partition(": ")[2] for note in notes] == [
        "is there already",
        "is there already",
        f"from {tiny.address}/folder/valid.txt",
    ]
    tiny.requests.clear()
    fetch("tiny", tmp_path / "to")
    assert asked_for(tiny) == []


def test_another_file_is_not_overwritten(tiny: Web, tmp_path: Path) -> None:
    mirror_of(tmp_path / "to", {"test.txt": b"mine\n"})
    with pytest.raises(UsageError, match=r"to/test\.txt: is something else, and nothing is overwritten"):
        fetch("tiny", tmp_path / "to")
    assert files_in(tmp_path / "to") == {"test.txt": b"mine\n"}
    assert asked_for(tiny) == []


def test_neither_is_what_is_no_file(tiny: Web, tmp_path: Path) -> None:
    (tmp_path / "folder" / "train.txt").mkdir(parents=True)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "train.txt").symlink_to("nowhere")
    for name in ("folder", "link"):
        with pytest.raises(UsageError, match=r"/train\.txt: is something else, and nothing is overwritten"):
            fetch("tiny", tmp_path / name)
    assert (tmp_path / "link" / "train.txt").is_symlink()
    assert asked_for(tiny) == []


@pytest.mark.parametrize(
    "first",
    [
        behaviour.missing,
        behaviour.failing,
        behaviour.whole(WRONG_ZIP),
        behaviour.whole(b"<html>"),
        behaviour.cut_off(ZIP, 100),
        behaviour.silent(ZIP, 100),
        behaviour.endless,
    ],
)
def test_the_next_source_is_tried(tiny: Web, first: behaviour.Behaviour) -> None:
    tiny.behaviours["/tiny-v1.zip"] = first
    fetch("tiny")
    assert files_in(Path("data/tiny")) == TEXTS
    asked = list(dict.fromkeys(asked_for(tiny)))  # on a busy machine one may be asked for again
    assert asked[-3:] == [f"/folder/{split}.txt" for split in SPLITS]


def test_each_text_may_come_from_another_source(tiny: Web) -> None:
    tiny.behaviours["/tiny-v1.zip"] = behaviour.missing
    tiny.behaviours["/folder/valid.txt"] = behaviour.whole(b"a lie\n")
    notes: list[str] = []
    fetch("tiny", observer=FetchObserver(notes.append))
    assert files_in(Path("data/tiny")) == TEXTS
    sources = [note.rpartition("/")[2] for note in notes]
    assert sources == ["train.txt", "x%2Ftiny.tgz", "x%2Ftiny.tgz"]


def test_all_reasons_are_told_when_no_source_has_it(tiny: Web) -> None:
    tiny.behaviours = {
        "/tiny-v1.zip": behaviour.whole(WRONG_ZIP),
        "/x%2Ftiny.tgz": behaviour.cut_off(TGZ, 20),
    }
    with pytest.raises(StorageError) as error:
        fetch("tiny")
    headline, *reasons = str(error.value).splitlines()
    assert headline.startswith("tiny: no source has all of it right; without a network, --mirror names")
    assert [reason.split(": ")[1].strip() for reason in reasons] == [
        "gives another file; its sha256 is not right",
        "HTTP 404 Not Found",
        "IncompleteRead(20 bytes read, " + f"{len(TGZ) - 20} more expected)",
    ]
    assert files_in(Path("data")) == {}


def test_lies_alone_are_a_fault_of_the_data(tiny: Web) -> None:
    for path in tiny.behaviours:
        tiny.behaviours[path] = behaviour.whole(b"a lie\n")
    with pytest.raises(DataError, match="no source has all of it right"):
        fetch("tiny")
    assert files_in(Path("data")) == {}
    assert downloads() == []


MIRRORS: dict[str, dict[str, bytes]] = {
    "folders": {f"tiny/{name}": text for name, text in TEXTS.items()},
    "texts": dict(TEXTS),
    "zip": {"tiny-v1.zip": ZIP},
    "zip in a folder": {"tiny/tiny-v1.zip": ZIP},
    "tgz": {"tiny.tgz": TGZ},
    "a zip packed anew": {"tiny-v1.zip": make_zip({**MEMBERS, "../escape.txt": b"x"})},
    "a folder and a zip": {"tiny/train.txt": TEXTS["train.txt"], "tiny-v1.zip": ZIP},
    "a wrong folder and a zip": {"tiny/train.txt": b"x\n", "tiny-v1.zip": ZIP},
}


@pytest.mark.parametrize("kind", MIRRORS)
@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_folder_as_mirror(tiny: Web, tmp_path: Path, kind: str, prefix: str) -> None:
    mirror = mirror_of(tmp_path / "mirror", MIRRORS[kind])
    before = files_in(mirror)
    fetch("tiny", tmp_path / "to", f"{prefix}{mirror}/")
    assert files_in(tmp_path / "to") == TEXTS
    assert files_in(mirror) == before
    assert asked_for(tiny) == []
    assert not (tmp_path / "escape.txt").exists()


@pytest.mark.parametrize("kind", [kind for kind in MIRRORS if "anew" not in kind])
def test_an_address_as_mirror(tiny: Web, kind: str) -> None:
    tiny.behaviours = {f"/m/{path}": behaviour.whole(data) for path, data in MIRRORS[kind].items()}
    fetch("tiny", mirror=f"{tiny.address}/m/")
    assert files_in(Path("data/tiny")) == TEXTS


def test_of_members_with_the_same_name_the_first_counts(tiny: Web, tmp_path: Path) -> None:
    twice = make_zip({**MEMBERS, **{f"./{name}": text for name, text in WRONG.items()}})
    mirror_of(tmp_path, {"tiny-v1.zip": twice})
    fetch("tiny", tmp_path / "to", str(tmp_path / "tiny-v1.zip"))
    assert files_in(tmp_path / "to") == TEXTS


def test_an_archive_as_mirror(tiny: Web, tmp_path: Path) -> None:
    mirror_of(tmp_path, {"tiny-v1.zip": ZIP, "renamed.tgz": TGZ})
    for number, mirror in enumerate(
        ("tiny-v1.zip", str(tmp_path / "renamed.tgz"), f"{tiny.address}/tiny-v1.zip")
    ):
        fetch("tiny", tmp_path / str(number), mirror)
        assert files_in(tmp_path / str(number)) == TEXTS


@pytest.mark.parametrize(
    ("files", "kind", "message"),
    [
        ({"ptb/train.txt": b"x"}, DataError, r"has neither tiny/train.txt nor tiny-v1.zip nor tiny.tgz"),
        ({"tiny/train.txt": b"x"}, DataError, r"train\.txt: train is another text; its sha256 is not right"),
        ({"tiny/train.txt": bytes(300_000)}, DataError, r"train unpacks to far more than there is in it"),
        ({"tiny-v1.zip": WRONG_ZIP}, DataError, r"v1\.zip: train is another text"),
        ({"tiny-v1.zip": make_zip({})}, DataError, r"there is no tiny/wiki.train.tokens, no tiny/wiki"),
        ({"tiny-v1.zip": b"<html>"}, DataError, r"tiny-v1\.zip: damaged, or no archive"),
        (
            {"tiny-v1.zip": make_zip({"tiny/wiki.train.tokens": bytes(50_000_000)})},
            *(DataError, r"train unpacks to far more than there is in it"),
        ),
        ({"tiny.tgz": make_tgz({"zeros": bytes(5_000_000), **MEMBERS})}, DataError, r"unpacks to far more"),
    ],
)
def test_a_mirror_that_is_none(
    tiny: Web, tmp_path: Path, files: dict[str, bytes], kind: type[Exception], message: str
) -> None:
    mirror = mirror_of(tmp_path / "mirror", files)
    with pytest.raises(kind, match=message):
        fetch("tiny", tmp_path / "to", str(mirror))
    assert files_in(tmp_path / "to") == {}


@pytest.mark.parametrize(
    ("mirror", "kind", "message"),
    [
        ("nowhere", DataError, "--mirror nowhere: no such folder"),
        *(
            (
                address,
                UsageError,
                rf"^--mirror {re.escape(address)}: allowed: a folder, or an address with http",
            )
            for address in (
                *("ftp://host/folder", "http://[::1", "http:///folder", "http://host:99999/x"),
                *("file://host/folder", ""),
            )
        ),
        ("gone/tiny-v1.zip", DataError, r"gone/tiny-v1\.zip: no such file"),
    ],
)
def test_a_mirror_that_is_not_there(tiny: Web, mirror: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        fetch("tiny", mirror=mirror)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wikitext2", r"no corpus 'wikitext2' to fetch; did you mean wikitext-2\?"),
        ("counting", "made: lmtrain data synth counting --out data/counting"),
    ],
)
def test_an_unknown_corpus_is_told(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fetch(name)


def test_an_interruption_leaves_nothing_half_written(tiny: Web, tmp_path: Path) -> None:
    def stop(blocks: Iterable[bytes], name: str, size: int | None) -> Iterator[bytes]:
        yield next(iter(blocks))
        raise Interrupted("stopped", 2)

    with pytest.raises(Interrupted):
        fetch("tiny", tmp_path / "to", observer=FetchObserver(watch=stop))
    assert files_in(tmp_path / "to") == {}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), Interrupted("stop", 2)])
def test_a_text_that_cannot_be_written_whole_is_not_there(
    tiny: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(descriptor: int) -> Any:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    mirror = mirror_of(tmp_path / "mirror", MIRRORS["folders"])
    with pytest.raises((StorageError, Interrupted), match=r"to/train\.txt: .*the disk is full|stop"):
        fetch("tiny", tmp_path / "to", str(mirror))
    assert list((tmp_path / "to").iterdir()) == []


@pytest.mark.parametrize("name", ["ptb", "wikitext-2"])
def test_the_real_corpora_have_their_hashes(shared_data: Path, tmp_path: Path, name: str) -> None:
    fetch(name, tmp_path / name, str(shared_data))
    assert files_in(tmp_path / name) == files_in(shared_data / name)


def test_every_known_corpus_has_several_sources_and_all_hashes() -> None:
    for corpus in KNOWN_CORPORA.values():
        assert len(corpus.sources) > 1
        assert corpus.digests.keys() == set(SPLITS)
        assert all(bool(source.digest) == source.is_archive for source in corpus.sources)
        lengths = {"md5": 32, "sha1": 40, "sha256": 64}
        for digest in (*corpus.digests.values(), *(s.digest for s in corpus.sources if s.digest)):
            algorithm, _, value = digest.partition(":")
            assert len(bytes.fromhex(value)) * 2 == lengths[algorithm]
