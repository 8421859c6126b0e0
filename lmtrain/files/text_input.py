r"""The one opener of text-like inputs: texts, prompts, n-best lists, vectors, n-gram models, vocabularies.

An input is a file, a pipe, or ``-``, standard input. It may be compressed (``lmtrain.files.compression``),
and what was compressed is then what counts. It is UTF-8; a byte-order mark at its start is dropped. Lines
end in ``\n`` or ``\r\n``, and the last one may do without.
"""

import codecs
import os
import select
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import UnsupportedOperation
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from lmtrain.errors import DataError, NotTextError
from lmtrain.files.compression import SIGNATURES, compression_of, decompressed
from lmtrain.files.paths import missing

STANDARD_INPUT = Path("-")
# In this order, since the mark of little-endian UTF-32 begins with that of UTF-16.
OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
WORKBOOKS = {
    b"PK\3\4": "a workbook (.xlsx, .ods) or another archive",
    b"\xd0\xcf\x11\xe0": "a workbook (.xls) or another document",
}
_SAVE = "of a table, 'CSV UTF-8' among the formats that Excel saves"
LONGEST_LINE = 16 << 20
"""Bytes of a line, about: bounds the memory that a text without line ends can take."""

# The fastest by measurement: what is made from a larger block outgrows the processor's cache.
_BLOCK_BYTES = 1 << 15
_GROUP_BYTES = 1 << 18
"""Lines are read in groups of this size where there are enough of them."""


Watch = Callable[[Iterable[bytes], str, int | None], Iterable[bytes]]
"""Hands on the blocks of something, and shows how far it has come: what is done, and bytes of it if known."""


def unwatched(blocks: Iterable[bytes], what: str, size: int | None) -> Iterable[bytes]:  # noqa: ARG001
    """Shows nothing."""
    return blocks


class LineGroup(NamedTuple):
    """Some lines of a text that follow each other, without their ends."""

    first_number: int
    """Of the first of them in the text, from 1."""
    lines: list[str]


def input_name(path: Path) -> str:
    """What messages call an input."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def file_blocks(path: Path, block_bytes: int = _BLOCK_BYTES) -> Iterator[bytes]:
    """The bytes of an input, decompressed: as many at once as are wanted, or those that are there.

    So a file is read in large blocks, and a program that writes one line and waits for the answer gets it.

    Args:
        path: A file, a pipe, or ``-``, standard input.
        block_bytes: How many are wanted.

    Raises:
        DataError: The file is missing, a directory, damaged, or cannot be read. What a damaged one holds
            before that is handed out first.
    """
    with reading(path), _opened(path) as stream:
        blocks = _whole_start(_as_they_come(stream, block_bytes), SIGNATURES)
        start = next(blocks, b"")
        blocks = chain([start], blocks) if start else iter(())
        if suffix := compression_of(start, path):
            blocks = _joined(decompressed(blocks, suffix, input_name(path)), block_bytes)
        yield from blocks


def plain_size(path: Path) -> int | None:
    """Bytes of a file; None where it is compressed, and holds more.

    Raises:
        DataError: It is missing, or cannot be read.
    """
    with reading(path), path.open("rb") as file:
        start = file.read(max(map(len, SIGNATURES)))
        return path.stat().st_size if compression_of(start, path) is None else None


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the system says of a block that reads a file into one clear error.

    Raises:
        DataError: The file is missing or cannot be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: {missing(path)}") from None
    except OSError as error:
        raise DataError(f"{input_name(path)}: cannot be read: {error.strerror or error}") from error


def regular_file_stat(path: Path) -> os.stat_result:
    """What the system says about a text file.

    Raises:
        DataError: The file is missing or not a regular file. A pipe is refused because texts are
            read more than once.
    """
    status = _stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: not a regular file; write the text to a file first")
    return status


def read_lines(path: Path, tell: Callable[[bytes], object] | None = None) -> Iterator[LineGroup]:
    """The lines of an input; see ``line_groups``.

    Args:
        path: The input.
        tell: Is told its bytes, decompressed, as they are read, for a digest of them.

    Raises:
        DataError: As there and as ``file_blocks``; or the input is empty.
    """
    is_empty, blocks = True, file_blocks(path, _GROUP_BYTES)
    for group in line_groups(told(blocks, tell) if tell else blocks, input_name(path)):
        is_empty = False
        yield group
    if is_empty:
        raise DataError(f"{input_name(path)}: empty, there is no line in it")


def told(blocks: Iterable[bytes], tell: Callable[[bytes], object]) -> Iterator[bytes]:
    """Hands on blocks, each once it has been told."""
    for block in blocks:
        tell(block)
        yield block


def table_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a list or table, with their numbers.

    Raises:
        DataError: As ``read_lines``; or a line has a carriage return within it.
    """
    for first_number, lines in read_lines(path):
        for number, line in enumerate(lines, first_number):
            if "\r" in line:
                raise DataError(
                    f"{input_name(path)}:{number}: a carriage return within the line; if lines end so,"
                    r" convert them with tr '\r' '\n'"
                )
            yield number, line


def line_groups(blocks: Iterable[bytes], name: str) -> Iterator[LineGroup]:
    """The lines that each block completes.

    Args:
        blocks: The text in bytes, cut anywhere.
        name: What errors call the text.

    Raises:
        DataError: The text is binary or not UTF-8, or a line is longer than any real one.
    """
    number = 1
    pending: list[bytes] = []  # of a line whose end has not come yet
    num_pending = 0
    for block in checked_text(blocks, name):
        complete, newline, rest = block.rpartition(b"\n")
        if newline:
            lines = _lines(b"".join([*pending, complete]))
            yield LineGroup(number, lines)
            number += len(lines)
            pending.clear()
            num_pending = 0
        pending.append(rest)
        num_pending += len(rest)
        if num_pending > LONGEST_LINE:
            raise DataError(f"{name}:{number}: a line of more than {LONGEST_LINE:,} bytes; is this text?")
    if last := b"".join(pending):
        yield LineGroup(number, _lines(last))


def _lines(text: bytes) -> list[str]:
    return [line.removesuffix("\r") for line in text.decode().split("\n")]


@dataclass(frozen=True)
class _Position:
    """A place in a text: the line, from 1, and the number of bytes before it in that line."""

    line: int = 1
    byte: int = 0

    def after(self, text: bytes) -> "_Position":
        newline = text.rfind(b"\n")
        before = self.byte if newline < 0 else 0
        return _Position(self.line + text.count(b"\n"), before + len(text) - (newline + 1))


def checked_text(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Hands on a text in UTF-8 without its byte-order mark, in blocks that end between characters.

    Args:
        blocks: The text in bytes, cut anywhere.
        name: What errors call the text.

    Raises:
        DataError: The text is binary or in another encoding; at once, however much more there is. The whole
            lines before that are handed on first.
    """
    position, rest = _Position(), b""
    for block in _whole_start(blocks, (codecs.BOM_UTF8, *OTHER_MARKS, *WORKBOOKS)):
        text = rest + block
        if position == _Position():
            _refuse_by_start(text, name)
        try:
            text, rest = _cut_after_character(text, position, name)
        except _BadByte as found:
            if lines := text[: text.rfind(b"\n", 0, found.at) + 1]:
                yield lines.removeprefix(codecs.BOM_UTF8) if position == _Position() else lines
            raise found.error from None
        if text:
            yield text.removeprefix(codecs.BOM_UTF8) if position == _Position() else text
        position = position.after(text)
    if rest:
        raise _not_utf8(rest, position, name)


def _refuse_by_start(text: bytes, name: str) -> None:
    if mark := next(filter(text.startswith, OTHER_MARKS), None):
        raise DataError(
            f"{name}: {OTHER_MARKS[mark]}, not UTF-8 (it starts with its byte-order mark); "
            f"save it as UTF-8: {_SAVE}"
        )
    if mark := next(filter(text.startswith, WORKBOOKS), None):
        raise NotTextError(f"{name}: {WORKBOOKS[mark]}, not text; save it as text in UTF-8: {_SAVE}")


class _BadByte(Exception):  # noqa: N818
    def __init__(self, at: int, error: DataError) -> None:
        self.at, self.error = at, error


def _cut_after_character(text: bytes, position: _Position, name: str) -> tuple[bytes, bytes]:
    if b"\0" in text:
        at = text.index(b"\0")
        place = position.after(text[:at])
        what = f"binary, not text: a NUL at byte {place.byte + 1} of the line"
        raise _BadByte(at, NotTextError(f"{name}:{place.line}: {what}"))
    try:
        text.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            bad = _not_utf8(text[error.start :], position.after(text[: error.start]), name)
            raise _BadByte(error.start, bad) from None
        return text[: error.start], text[error.start :]
    return text, b""


def _not_utf8(text: bytes, place: _Position, name: str) -> DataError:
    return DataError(
        f"{name}:{place.line}: not UTF-8 at byte {place.byte + 1} of the line (0x{text[0]:02x});"
        " convert the file to UTF-8 (of Windows, as a rule: iconv -f windows-1252 -t utf-8)"
    )


def _stat(path: Path) -> os.stat_result:
    try:
        with reading(path):
            status = path.stat()
    except ValueError:  # a NUL, or a character that this locale's file names do not have
        encoding = sys.getfilesystemencoding()
        raise DataError(
            f"{path}: no file can be named so in this locale ({encoding}); use one of UTF-8"
        ) from None
    if stat.S_ISDIR(status.st_mode):
        is_current = " (as an empty name is)" if path == Path() else ""
        raise DataError(f"{path}: a directory{is_current}; name the text files in it")
    return status


def _opened(path: Path) -> Any:
    if path == STANDARD_INPUT:
        return nullcontext(sys.stdin.buffer)
    _stat(path)
    return path.open("rb", buffering=0)


def _as_they_come(stream: Any, block_bytes: int) -> Iterator[bytes]:
    read: Callable[[int], bytes] = getattr(
        stream, "read1", stream.read
    )  # what is not buffered waits for none
    while block := read(block_bytes):
        parts = [block]
        while sum(map(len, parts)) < block_bytes and _can_read(stream):
            if not (block := read(block_bytes)):
                break
            parts.append(block)
        yield b"".join(parts)


def _can_read(stream: Any) -> bool:
    """Whether a read would not wait."""
    try:
        return bool(select.select([stream.fileno()], [], [], 0)[0])
    except UnsupportedOperation:  # in memory
        return True
    except (OSError, ValueError):  # a system that cannot tell
        return False


def _whole_start(blocks: Iterable[bytes], marks: Iterable[bytes]) -> Iterator[bytes]:
    """The same blocks, but the first is longer where it might go on as one of the marks."""
    blocks, marks, start = iter(blocks), tuple(marks), b""
    while any(len(start) < len(mark) and mark.startswith(start) for mark in marks):
        block = next(blocks, None)
        if block is None:
            break
        start += block
    if start:
        yield start
    yield from blocks


def _joined(blocks: Iterable[bytes], block_bytes: int) -> Iterator[bytes]:
    """The same bytes in larger blocks; those before a fault too."""
    parts: list[bytes] = []
    try:
        for block in blocks:
            parts.append(block)
            if sum(map(len, parts)) >= block_bytes:
                yield b"".join(parts)
                parts = []
    except DataError:
        if parts:
            yield b"".join(parts)
        raise
    if parts:
        yield b"".join(parts)
