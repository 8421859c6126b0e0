import errno
import hashlib
import os
import time
from pathlib import Path

import platformdirs
import pytest

from lmtrain.corpus import cache
from lmtrain.corpus.cache import CacheEntry, content_hash, default_cache_dir, writing
from lmtrain.errors import DataError, StorageError


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def old_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files just written count as written long ago."""
    monkeypatch.setattr(cache, "_TIMESTAMP_TICK_NS", -1_000_000_000)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("a b\n")
    return path


def test_the_environment_moves_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LMTRAIN_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("LMTRAIN_CACHE")
    assert default_cache_dir() == platformdirs.user_cache_path("lmtrain")


def test_a_known_file_is_not_read_again(
    text: Path, tmp_path: Path, old_files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert content_hash(text, tmp_path) == sha256("a b\n")
    monkeypatch.setattr(cache, "file_blocks", None)
    assert content_hash(text, tmp_path) == sha256("a b\n")


def test_a_file_just_written_is_not_trusted(text: Path, tmp_path: Path) -> None:
    assert content_hash(text, tmp_path) == sha256("a b\n")
    assert not (tmp_path / "files").exists()


def test_a_change_shows_even_with_size_and_time_restored(text: Path, tmp_path: Path, old_files: None) -> None:
    before = text.stat()
    content_hash(text, tmp_path)
    time.sleep(0.05)  # several ticks of the kernel's clock
    text.write_text("a c\n")
    os.utime(text, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert text.stat().st_mtime_ns == before.st_mtime_ns
    assert content_hash(text, tmp_path) == sha256("a c\n")


def test_a_file_put_in_the_place_of_another_is_noticed(text: Path, tmp_path: Path, old_files: None) -> None:
    content_hash(text, tmp_path)
    other = tmp_path / "other.txt"
    other.write_text("x y\n")
    other.replace(text)
    assert content_hash(text, tmp_path) == sha256("x y\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.txt: no such file"):
        content_hash(tmp_path / "gone.txt", tmp_path)


def test_an_entry_gives_back_its_facts_to_its_identity_only(tmp_path: Path) -> None:
    entry = CacheEntry(tmp_path, "kind", {"texts": ["1"]})
    assert entry.read() is None
    entry.write({"n": 3})
    assert entry.read() == {"n": 3}
    other = CacheEntry(tmp_path, "kind", {"texts": ["2"]})
    assert other.read() is None
    entry.payload(".json").rename(other.payload(".json"))
    assert other.read() is None


@pytest.mark.parametrize("content", [b"", b"\xff", b"{", b"[]", b"{}", b'{"identity": {}, "facts": 1}'])
def test_a_damaged_entry_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    entry = CacheEntry(tmp_path, "kind", {})
    entry.write({"n": 3})
    entry.payload(".json").write_bytes(content)
    assert entry.read() is None


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted_write() -> None:
        with writing(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_write()
    assert [(item.name, item.read_bytes()) for item in tmp_path.iterdir()] == [("file", b"old")]


def test_a_full_disk_is_told_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"the disk is full; .*LMTRAIN_CACHE"):
        CacheEntry(tmp_path, "kind", {}).write({})
    assert list((tmp_path / "kind").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told_with_a_way_out(text: Path) -> None:
    with pytest.raises(StorageError, match=r"text\.txt.*LMTRAIN_CACHE"):
        CacheEntry(text, "kind", {}).write({})


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    abandoned = tmp_path / "kind" / ".0a1b.npy.0123.writing"
    abandoned.parent.mkdir()
    abandoned.write_bytes(b"half")
    os.utime(abandoned, (0, 0))
    CacheEntry(tmp_path, "kind", {}).write({})
    assert not abandoned.exists()
