"""Prompts, one a line, read as they come."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lmtrain.corpus.text import refuse_binary
from lmtrain.errors import DataError

_LONGEST_LINE = 1 << 20
"""In bytes; bounds the memory that a file without line ends can take."""


def file_prompts(path: Path) -> Iterator[str]:
    """The lines of a file; see ``read_prompts``.

    Raises:
        DataError: The file is missing or cannot be read. It is read once, so that a pipe will do.
    """
    try:
        with path.open("rb") as file:
            yield from read_prompts(file, str(path))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_prompts(stream: BinaryIO, name: str) -> Iterator[str]:
    """The lines of a stream; see ``lines_of``.

    Raises:
        DataError: There is no line at all.
    """
    lines = lines_of(stream, name)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{name}: empty, there is no prompt in it")
    yield first
    yield from lines


def lines_of(stream: BinaryIO, name: str) -> Iterator[str]:
    """The lines of a stream without their ends, each as soon as it is there; empty ones too.

    A byte-order mark at the start is dropped.

    Args:
        stream: UTF-8 text.
        name: What errors call it.

    Raises:
        DataError: A line is binary, not UTF-8 or far too long.
    """
    for number, line in enumerate(iter(lambda: stream.readline(_LONGEST_LINE + 1), b""), 1):
        place = f"{name}:{number}"
        if len(line) > _LONGEST_LINE:
            raise DataError(f"{place}: a prompt of more than {_LONGEST_LINE:,} bytes; is this text?")
        if number == 1:
            list(refuse_binary([line], name))  # with marks of other encodings
            line = line.removeprefix(codecs.BOM_UTF8)
        yield _decoded(line, place)


def _decoded(line: bytes, place: str) -> str:
    if b"\0" in line:
        raise DataError(f"{place}: binary, not text: a NUL at byte {line.index(0) + 1} of the line")
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{place}: not UTF-8 at byte {error.start + 1} of the line (0x{line[error.start]:02x});"
            " convert the file to UTF-8"
        ) from None
