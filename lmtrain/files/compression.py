"""Compressed inputs: gzip, bzip2, xz and Zstandard as the bytes that were compressed, a block at a time.

An input is taken for what its first bytes say, and only if they say nothing for what its name says: none
of the signatures can begin a text in UTF-8. Files of several members or frames are read to the end.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from lmtrain.errors import DataError

COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
# With the digits of pi, or of its root where nothing follows: three letters alone may begin a text.
_BZIP2 = [b"BZh%d%b" % (level, block) for level in range(1, 10) for block in (b"1AY&SY", b"\x17rE8P\x90")]
SIGNATURES = {
    b"\x1f\x8b": ".gz",
    **dict.fromkeys(_BZIP2, ".bz2"),
    b"\xfd7zXZ\0": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
}

_XZ_MEMORY = 256 << 20  # bytes; `xz -9` needs 65 MiB to decompress, a forged header might ask for 4 GiB
_PIECE_BYTES = 1 << 10  # given to a decompressor; 8 can stand for 128 KiB in zst, which come all at once
_BLOCK_BYTES = 1 << 15


class _Decompressor(Protocol):
    """Of one member, as ``bz2`` and ``lzma`` have it."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def text_name(path: Path) -> str:
    """The name of a file without what says how it is compressed: ``train.txt`` for ``train.txt.zst``."""
    return path.stem if path.suffix in COMPRESSED_SUFFIXES else path.name


def compression_of(start: bytes, path: Path) -> str | None:
    """The suffix of the format in which an input is compressed, ``.gz`` for one; None if it is not.

    Args:
        start: Its first bytes.
        path: Its path, for a name that says more than the content.
    """
    found = next((suffix for mark, suffix in SIGNATURES.items() if start.startswith(mark)), path.suffix)
    return found if found in COMPRESSED_SUFFIXES else None


def decompressed(blocks: Iterable[bytes], suffix: str, name: str) -> Iterator[bytes]:
    """The bytes that an input holds in compressed form.

    Args:
        blocks: The input, cut anywhere.
        suffix: Of its format; see ``compression_of``.
        name: What errors call it.

    Raises:
        DataError: It is damaged or cut off; what could be read before that has been handed out.
    """
    import lzma

    from zstandard import ZstdError

    decompressor: dict[str, Callable[[], _Decompressor]]
    decompressor = {".gz": _Gunzip, ".bz2": _bunzip, ".xz": _unxz, ".zst": _Unzstd}
    try:
        yield from _members(blocks, decompressor[suffix])
    except EOFError:
        raise DataError(
            f"{name}: cut off, it ends within its compressed text; copy or fetch it again"
        ) from None
    except (zlib.error, lzma.LZMAError, ZstdError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the system; that of bz2 has no number
        raise DataError(
            f"{name}: damaged, or not a {suffix} file ({error}); copy or fetch it again"
        ) from error


def _members(blocks: Iterable[bytes], new_decompressor: Callable[[], _Decompressor]) -> Iterator[bytes]:
    pieces = (block[i : i + _PIECE_BYTES] for block in blocks for i in range(0, len(block), _PIECE_BYTES))
    data = next(pieces, b"")
    while data:
        member = new_decompressor()
        while not member.eof:
            if member.needs_input and not data and not (data := next(pieces, b"")):
                raise EOFError
            block = member.decompress(data, _BLOCK_BYTES)
            data = b""
            if block:
                yield block
        data = member.unused_data.lstrip(b"\0")  # there may be padding between members
        while not data and (piece := next(pieces, b"")):
            data = piece.lstrip(b"\0")


class _Gunzip:
    """zlib's decompressor as ``bz2`` has its own."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)  # of gzip, whose checksum it verifies

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max(max_length, 0))


class _Unzstd:
    """Zstandard's likewise; it knows no limit, and its own stream reader takes what is cut off for whole."""

    def __init__(self) -> None:
        from zstandard import ZstdDecompressor

        self._inner = ZstdDecompressor().decompressobj()

    @property
    def needs_input(self) -> bool:
        return True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:  # noqa: ARG002
        return self._inner.decompress(data)


def _bunzip() -> _Decompressor:
    import bz2

    return bz2.BZ2Decompressor()


def _unxz() -> _Decompressor:
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
