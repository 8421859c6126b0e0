"""The folder of derived files: content hashes, word counts, encoded corpora.

Everything in it can be made again: it may be deleted at any time, and an entry that is damaged or
belongs to something else counts as absent; every byte is held against a checksum before it is used.
Entries are named after their *identity*, all that their content depends on, and hold it; they appear
whole or not at all, so that processes can share them.
"""

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import platformdirs

from lmtrain.files import atomic
from lmtrain.files.text_input import checked_text, file_blocks, regular_file_stat

_FORMAT = 2  # of every entry; another format is another identity
# A file changed within one tick of its file system's clock looks unchanged (2 s on FAT).
_TIMESTAMP_TICK_NS = 2_000_000_000
_BLOCK_BYTES = 1 << 20


def default_cache_dir() -> Path:
    """The folder in the environment variable ``LMTRAIN_CACHE``, else the user's cache folder."""
    if folder := os.environ.get("LMTRAIN_CACHE"):
        return Path(folder)
    return platformdirs.user_cache_path("lmtrain")


class CacheEntry:
    """A record of facts about something with an identity, and the path for a payload beside it.

    Args:
        folder: The cache folder.
        kind: The subfolder.
        identity: All that the entry depends on, as JSON has it (lists, no tuples).
    """

    def __init__(self, folder: Path, kind: str, identity: Mapping[str, object]) -> None:
        self._identity = {"format": _FORMAT, **identity}
        self._stem = folder / kind / _digest_of(self._identity)[:32]

    def payload(self, suffix: str) -> Path:
        """Where the payload lies."""
        return self._stem.with_suffix(suffix)

    def read(self) -> dict[str, Any] | None:
        """The facts; None if the entry is absent, damaged or about something else."""
        try:
            record = json.loads(self._stem.with_suffix(".json").read_bytes())
            digest = record.pop("sha256")
            is_ours = digest == _digest_of(record) and record["identity"] == self._identity
            return dict(record["facts"]) if is_ours else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, facts: Mapping[str, object]) -> None:
        """Records the facts; a payload is written before, since the record vouches for it.

        Raises:
            StorageError: The cache folder cannot be written.
        """
        record: dict[str, object] = {"identity": self._identity, "facts": facts}
        record["sha256"] = _digest_of(record)
        with writing(self._stem.with_suffix(".json")) as file:
            file.write(json.dumps(record, indent=1).encode())


def _digest_of(values: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def checksum(path: Path) -> int:
    """CRC-32 of a payload, so that a byte that changed shows; a third of a second for a gigabyte.

    Raises:
        OSError: The file cannot be read.
    """
    value = 0
    with path.open("rb", buffering=0) as file:  # and no memory map, whose pages would count as memory
        while block := file.read(_BLOCK_BYTES):
            value = zlib.crc32(block, value)
    return value


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file of the cache that appears whole; see :mod:`lmtrain.files.atomic`.

    Raises:
        StorageError: The cache folder cannot be written, or is full.
    """
    advice = "free space there, or set LMTRAIN_CACHE to another folder"
    with (
        atomic.refusing_faults(path.parent, "the cache cannot be written", advice),
        atomic.writing(path) as file,
    ):
        atomic.remove_abandoned(path.parent)
        yield file


def hashed(blocks: Iterable[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    """Hands on blocks of which a digest takes note."""
    for block in blocks:
        digest.update(block)
        yield block


def content_hash(path: Path, cache_dir: Path) -> str:
    """SHA-256 of a text, decompressed, in hexadecimal; a file known to be unchanged is not read again.

    As in git's index, a file is known by its size, its times of modification and of change, and its
    inode. They are recorded only if both times lie clearly before the hashing: a file written during
    the same tick of the clock could change once more without showing it.

    Raises:
        DataError: The file is missing, is binary, damaged, or cannot be read.
        StorageError: The cache folder cannot be written.
    """
    status = regular_file_stat(path)
    identity = {
        "path": str(path.absolute()),
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }
    entry = CacheEntry(cache_dir, "files", identity)
    if (facts := entry.read()) and isinstance(facts.get("sha256"), str):
        return str(facts["sha256"])
    started = time.time_ns()
    digest = hashlib.sha256()
    for _ in checked_text(hashed(file_blocks(path), digest), str(path)):
        pass
    if max(status.st_mtime_ns, status.st_ctime_ns) + _TIMESTAMP_TICK_NS < started:
        entry.write({"sha256": digest.hexdigest()})
    return digest.hexdigest()
