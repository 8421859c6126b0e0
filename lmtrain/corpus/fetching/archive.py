"""Texts out of archives, which may have been made to do harm.

Nothing is ever unpacked to where an archive says: members are looked up by name and handed out in blocks.
"""

import contextlib
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, BinaryIO, cast

from lmtrain.errors import DataError
from lmtrain.files.text_input import file_blocks, reading

_BLOCK_BYTES = 1 << 16
_DAMAGES = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),
    *(RuntimeError, NotImplementedError),  # a zip that is encrypted, or packed in a way Python lacks
    *(ValueError, struct.error),  # of headers; names that are no UTF-8 are among them
)


def archive_members(
    path: Path, names: Collection[str], max_bytes: int
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The members of an archive that have certain names, as it comes upon them.

    Args:
        path: A zip file, or a tar file, compressed or not.
        names: Of members; a leading ``./`` counts for nothing, neither here nor there.
        max_bytes: A tar file is given up when it unpacks to more. How much of a member of a zip file is
            read is up to the reader.

    Yields:
        The name, and the content in blocks, which is to be read before the next member is asked for.

    Raises:
        DataError: The archive is missing, damaged, or unpacks to too much; also while blocks are read.
    """
    wanted = {_plain(name): name for name in names}
    with _damages_told(path):
        with path.open("rb") as file:
            is_zip = zipfile.is_zipfile(file)
        members = _zip_members(path, wanted) if is_zip else _tar_members(path, wanted, max_bytes)
        for name, stream in members:
            yield name, _blocks(stream, path)


def _zip_members(path: Path, wanted: Mapping[str, str]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if _plain(info.filename) in wanted:
                with archive.open(info) as stream:
                    yield wanted[_plain(info.filename)], stream


def _tar_members(path: Path, wanted: Mapping[str, str], max_bytes: int) -> Iterator[tuple[str, IO[bytes]]]:
    unpacked = cast("BinaryIO", io.BufferedReader(_Unpacked(file_blocks(path), path, max_bytes)))
    with tarfile.open(fileobj=unpacked, mode="r|") as archive:
        for info in archive:
            # A link would lead to another member, or out of the archive.
            if _plain(info.name) in wanted and info.isreg() and (stream := archive.extractfile(info)):
                yield wanted[_plain(info.name)], stream


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _blocks(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    with _damages_told(path):
        while block := stream.read(_BLOCK_BYTES):
            yield block


@contextlib.contextmanager
def _damages_told(path: Path) -> Iterator[None]:
    try:
        with reading(path):
            yield
    except _DAMAGES as error:
        raise DataError(f"{path}: damaged, or no archive ({error or type(error).__name__})") from error


class _Unpacked(io.RawIOBase):
    """Blocks as a file, which ends in an error if it grows too large."""

    def __init__(self, blocks: Iterable[bytes], path: Path, max_bytes: int) -> None:
        self._blocks = iter(blocks)
        self._rest = b""
        self._bytes_left = max_bytes
        self._path = path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = next(self._blocks, b"")
            self._bytes_left -= len(self._rest)
            if self._bytes_left < 0:
                raise DataError(f"{self._path}: unpacks to far more than there is in it")
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)
