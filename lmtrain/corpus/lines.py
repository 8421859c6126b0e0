"""A text line by line as it comes in, such as one that is scored while it is still being written."""

import codecs
import io
import select
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple, Protocol

from lmtrain.corpus.text import refuse_binary
from lmtrain.errors import DataError

_GROUP_BYTES = 1 << 18
"""Lines are read in groups of this size where there are enough of them."""
LONGEST_LINE = 16 << 20
"""Bytes of a line, about: bounds the memory that a text without line ends can take."""


class LineGroup(NamedTuple):
    """Some lines of a text that follow each other, without their ends."""

    first_number: int
    """Of the first of them in the text, from 1."""
    lines: list[str]


class _Readable(Protocol):
    def read1(self, size: int, /) -> bytes: ...

    def fileno(self) -> int: ...


def blocks_as_they_come(stream: _Readable | BinaryIO) -> Iterator[bytes]:
    """The bytes of a stream: as many at once as are wanted where they are there, else those that are.

    So a file is read in large blocks, and a program that writes one line and waits for the answer gets it.
    """
    assert hasattr(stream, "read1")  # noqa: S101  (as standard input has)
    while block := stream.read1(_GROUP_BYTES):
        parts = [block]
        while sum(map(len, parts)) < _GROUP_BYTES and _can_read(stream):
            if not (block := stream.read1(_GROUP_BYTES)):
                break
            parts.append(block)
        yield b"".join(parts)


def _can_read(stream: _Readable | BinaryIO) -> bool:
    """Whether a read would not wait."""
    try:
        return bool(select.select([stream.fileno()], [], [], 0)[0])
    except io.UnsupportedOperation:  # in memory
        return True
    except (OSError, ValueError):  # a system that cannot tell
        return False


def joined(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger blocks."""
    parts: list[bytes] = []
    for block in blocks:
        parts.append(block)
        if sum(map(len, parts)) >= _GROUP_BYTES:
            yield b"".join(parts)
            parts.clear()
    if parts:
        yield b"".join(parts)


def line_groups(blocks: Iterable[bytes], name: str) -> Iterator[LineGroup]:
    r"""The lines that each block completes; lines end in ``\n``, and the last one may do without.

    Args:
        blocks: The text in bytes, cut anywhere. A byte-order mark at the start is dropped.
        name: What errors call the text.

    Raises:
        DataError: The text is empty, binary or not UTF-8, or a line is longer than any real one.
    """
    number = 1
    pending: list[bytes] = []  # of a line whose end has not come yet
    num_pending = 0
    for block in refuse_binary(blocks, name):
        complete, newline, rest = block.rpartition(b"\n")
        if newline:
            lines = _decoded(b"".join([*pending, complete]), number, name)
            yield LineGroup(number, lines)
            number += len(lines)
            pending.clear()
            num_pending = 0
        pending.append(rest)
        num_pending += len(rest)
        if num_pending > LONGEST_LINE:
            raise DataError(f"{name}:{number}: a line of more than {LONGEST_LINE:,} bytes; is this text?")
    if last := b"".join(pending):
        yield LineGroup(number, _decoded(last, number, name))
    elif number == 1:
        raise DataError(f"{name}: empty, there is no line in it")


def _decoded(text: bytes, first_number: int, name: str) -> list[str]:
    if first_number == 1:
        text = text.removeprefix(codecs.BOM_UTF8)
    try:
        return text.decode().split("\n")
    except UnicodeDecodeError as error:
        before = text[: error.start]
        number, byte = first_number + before.count(b"\n"), error.start - before.rfind(b"\n")
        raise DataError(
            f"{name}:{number}: not UTF-8 at byte {byte} of the line (0x{text[error.start]:02x}); "
            "convert the file to UTF-8"
        ) from None
