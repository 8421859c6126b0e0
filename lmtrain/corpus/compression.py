"""Compressed texts: gzip, xz and Zstandard files as the bytes that were compressed, a block at a time.

A file is taken for what its first bytes say, and only if they say nothing for what its name says: none
of the signatures can begin a text in UTF-8. Files of several members or frames are read to the end.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lmtrain.errors import DataError

COMPRESSED_SUFFIXES = (".gz", ".xz", ".zst")

_SIGNATURES = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
_XZ_MEMORY = 256 << 20  # bytes; `xz -9` needs 65 MiB to decompress, a forged header might ask for 4 GiB
_ZSTD_INPUT = 1 << 10  # bytes; 8 of them can stand for 128 KiB, which are all given out at once


def text_name(path: Path) -> str:
    """The name of a file without what says how it is compressed: ``train.txt`` for ``train.txt.zst``."""
    return path.stem if path.suffix in COMPRESSED_SUFFIXES else path.name


def decompressed_blocks(file: BinaryIO, path: Path, block_bytes: int) -> Iterator[bytes] | None:
    """The bytes that a file holds in compressed form; None if it is not compressed.

    Args:
        file: The file, at its start, where it is left if it is not compressed.
        path: Its path, for errors and for a name that says more than the content.
        block_bytes: At most so many in a block, where the format allows it.

    Raises:
        DataError: Later, while the blocks are read: the file is damaged or cut off.
    """
    start = file.read(max(map(len, _SIGNATURES)))
    file.seek(0)
    found = [suffix for signature, suffix in _SIGNATURES.items() if start.startswith(signature)]
    suffix = found[0] if found else path.suffix
    if suffix not in COMPRESSED_SUFFIXES:
        return None
    decompress = {".gz": _gunzip, ".xz": _unxz, ".zst": _unzstd}[suffix]
    return _whole(decompress(file, block_bytes), path, suffix)


def _whole(blocks: Iterator[bytes], path: Path, suffix: str) -> Iterator[bytes]:
    """Hands blocks on; what their decompressor complains of becomes our error."""
    import lzma

    from zstandard import ZstdError

    try:
        yield from blocks
    except EOFError:
        raise DataError(f"{path}: cut off within its compressed text; copy or fetch it again") from None
    except (zlib.error, lzma.LZMAError, ZstdError, _not_gzip()) as error:
        raise DataError(
            f"{path}: damaged, or not a {suffix} file ({error}); copy or fetch it again"
        ) from error


def _not_gzip() -> type[Exception]:
    import gzip

    return gzip.BadGzipFile


def _gunzip(file: BinaryIO, block_bytes: int) -> Iterator[bytes]:
    import gzip

    with gzip.GzipFile(fileobj=file, mode="rb") as stream:
        while block := stream.read(block_bytes):
            yield block


def _unxz(file: BinaryIO, block_bytes: int) -> Iterator[bytes]:
    # lzma.LZMAFile would do, but knows no limit of memory.
    import lzma

    data = file.read(block_bytes)
    while data:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        while not stream.eof:
            if stream.needs_input and not data and not (data := file.read(block_bytes)):
                raise EOFError
            block = stream.decompress(data, block_bytes)
            data = b""
            if block:
                yield block
        data = (stream.unused_data or file.read(block_bytes)).lstrip(b"\0")  # padding between streams


def _unzstd(file: BinaryIO, block_bytes: int) -> Iterator[bytes]:
    # zstandard's own stream reader takes a text that is cut off for a whole one.
    from zstandard import ZstdDecompressor

    data, parts, size = file.read(_ZSTD_INPUT), [], 0
    while data:
        frame = ZstdDecompressor().decompressobj()
        while not frame.eof:
            if not data and not (data := file.read(_ZSTD_INPUT)):
                raise EOFError
            parts.append(frame.decompress(data))
            data = b""
            size += len(parts[-1])
            if size >= block_bytes:
                yield b"".join(parts)
                parts, size = [], 0
        data = frame.unused_data or file.read(_ZSTD_INPUT)
    if size:
        yield b"".join(parts)
