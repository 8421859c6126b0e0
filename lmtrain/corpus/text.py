r"""Plain text as a stream of words: what a word is, what a line is, and what is refused.

Text is UTF-8. Words are separated by ASCII whitespace, as in SRILM and KenLM (a no-break space is
part of a word), lines by ``\n`` alone; since ``\r`` is whitespace, CRLF files read the same. Every
line, empty ones too, ends in one ``<eos>``; a last line without ``\n`` is a line. A byte-order mark
at the start is dropped. With Moses's tokeniser, words are what it makes of each line.

A file may be compressed (``lmtrain.corpus.compression``); its text is then what counts everywhere.
"""

import codecs
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Self

from lmtrain.corpus import moses
from lmtrain.corpus.compression import decompressed_blocks
from lmtrain.errors import DataError, ModelError, meant

EOS = "<eos>"

EOS_BYTES = EOS.encode()
WHITESPACE = b" \t\n\r\v\f"
LONGEST_WORD = 1 << 20
"""Bytes of a word, or of a line for Moses: bounds the memory that a file without whitespace can take."""

# The fastest by measurement: what is made from a larger block outgrows the processor's cache.
_BLOCK_BYTES = 1 << 15
# In this order, since the mark of little-endian UTF-32 begins with that of UTF-16.
OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True)
class TextRules:
    """How text becomes words.

    Attributes:
        lowercase: Words are lower-cased with Unicode ``str.lower``, after tokenising.
        moses: The language of Moses's tokeniser, such as ``en``; None where whitespace alone separates words.
    """

    lowercase: bool = False
    moses: str | None = None

    @property
    def name(self) -> str:
        """Short form for signatures: ``ws``, ``ws+lower``, ``moses-en``, ``moses-en+lower``."""
        tokenizer = "ws" if self.moses is None else f"moses-{self.moses}"
        return f"{tokenizer}+lower" if self.lowercase else tokenizer

    def rewrite(self, text: str) -> str:
        """The text with its words separated by whitespace, line by line, and lower-cased.

        Raises:
            UsageError: Moses's tokeniser is not installed, or does not know the language.
        """
        if self.moses is not None:
            text = "\n".join(" ".join(moses.tokenize(line, self.moses)) for line in text.split("\n"))
        return text.lower() if self.lowercase else text

    def split(self, line: str) -> list[str]:
        """The words of a line already in memory, such as a prompt; without ``<eos>``."""
        # Arguments of a command can hold bytes that are no UTF-8, which Python keeps as surrogates.
        words = self.rewrite(line).encode(errors="surrogatepass").split()
        return [word.decode(errors="surrogatepass") for word in words]

    def words(self, line: str, place: str) -> list[str]:
        """The words of a line to be scored; as ``split``, but its end alone is ``<eos>``.

        Args:
            line: The line, without its end.
            place: What errors call it.

        Raises:
            DataError: The line itself holds ``<eos>``.
        """
        words = self.split(line)
        if EOS in words:
            raise DataError(
                f"{place}: the text itself holds {EOS}, which every line end already stands for; remove it"
            )
        return words

    def to_dict(self) -> dict[str, bool | str | None]:
        """The rules for a snapshot's manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """The rules from a snapshot's manifest; those of version 0.1.0 knew no Moses.

        Raises:
            ModelError: The mapping holds anything but the rules of this version.
        """
        lowercase, language = values.get("lowercase"), values.get("moses")
        if not set(values) <= {"lowercase", "moses"} or not isinstance(lowercase, bool):
            raise ModelError(f"text rules that this version does not know: {dict(values)}")
        if language is not None and not isinstance(language, str):
            raise ModelError(f"text rules that this version does not know: {dict(values)}")
        return cls(lowercase, language)


@dataclass(frozen=True)
class _Position:
    """A place in a text: the line, from 1, and the number of bytes before it in that line."""

    line: int = 1
    byte: int = 0

    def after(self, text: bytes) -> "_Position":
        newline = text.rfind(b"\n")
        before = self.byte if newline < 0 else 0
        return _Position(self.line + text.count(b"\n"), before + len(text) - (newline + 1))


def mark_lines(blocks: Iterable[bytes], rules: TextRules, name: str) -> Iterator[bytes]:
    """Checks a text and puts ``<eos>`` in place of every line end, so that splitting gives all tokens.

    Args:
        blocks: The text in bytes, cut anywhere.
        rules: How text becomes words.
        name: What errors call the text: a path, or "standard input".

    Yields:
        The text in UTF-8, a block's worth each, never cut within a word.

    Raises:
        DataError: The text is binary or not UTF-8, holds no word, or holds ``<eos>`` itself.
        UsageError: Moses's tokeniser is not installed, or does not know the language.
    """
    position = _Position()
    has_words = False
    is_plain = rules == TextRules()
    separators = WHITESPACE if rules.moses is None else b"\n"  # Moses looks at whole lines
    for chunk in _cut_before(separators, blocks, name):
        decoded = _decode(chunk, position, name)
        text = chunk if is_plain else rules.rewrite(decoded).encode()
        if position == _Position():
            text = text.removeprefix(codecs.BOM_UTF8)
        if EOS_BYTES in text:
            _refuse_eos(text, position.line, name)
        has_words = has_words or bool(text.strip())
        position = position.after(chunk)
        yield text.replace(b"\n", b" <eos> ")
    if not has_words:
        raise DataError(f"{name}: empty, there is no word in it")


def _cut_before(separators: bytes, blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Joins and cuts blocks so that all but the first begin with a separator; the last ends in a newline."""
    rest = b""
    for block in blocks:
        rest += block
        cut = max(map(rest.rfind, separators))
        if cut > 0:
            yield rest[:cut]
            rest = rest[cut:]
        elif len(rest) > LONGEST_WORD:
            what = "line" if separators == b"\n" else "word"
            raise DataError(f"{name}: a {what} of more than {LONGEST_WORD:,} bytes; is this text?")
    if rest:
        yield rest if rest.endswith(b"\n") else rest + b"\n"


def _decode(chunk: bytes, position: _Position, name: str) -> str:
    """The chunk as a string; refuses what is not UTF-8 text, naming the place."""
    _refuse_binary(chunk, position, name)
    try:
        return chunk.decode()
    except UnicodeDecodeError as error:
        place = position.after(chunk[: error.start])
        raise DataError(
            f"{name}:{place.line}: not UTF-8 at byte {place.byte + 1} of the line"
            f" (0x{chunk[error.start]:02x}); convert the file to UTF-8"
        ) from None


def _refuse_binary(chunk: bytes, position: _Position, name: str) -> None:
    if position == _Position():
        for mark, encoding in OTHER_MARKS.items():
            if chunk.startswith(mark):
                raise DataError(f"{name}: {encoding}, not UTF-8 (it starts with its byte-order mark)")
    if b"\0" in chunk:
        place = position.after(chunk[: chunk.index(b"\0")])
        raise DataError(f"{name}:{place.line}: binary, not text: a NUL at byte {place.byte + 1} of the line")


def _refuse_eos(text: bytes, first_line: int, name: str) -> None:
    for number, line in enumerate(text.split(b"\n"), first_line):
        if EOS_BYTES in line.split():
            raise DataError(
                f"{name}:{number}: the text itself holds {EOS}, which every line end already"
                " stands for; remove it"
            )


def refuse_binary(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Hands on the blocks of a text; what is binary ends them at once, however much more there is.

    Args:
        blocks: The text in bytes, cut anywhere.
        name: What errors call the text.

    Raises:
        DataError: There is a NUL, or the byte-order mark of another encoding.
    """
    position = _Position()
    for block in blocks:
        _refuse_binary(block, position, name)
        position = position.after(block)
        yield block


def read_blocks(stream: BinaryIO) -> Iterator[bytes]:
    """The bytes of a stream, in blocks."""
    while block := stream.read(_BLOCK_BYTES):
        yield block


def file_blocks(path: Path) -> Iterator[bytes]:
    """The text of a file, decompressed, in blocks.

    Raises:
        DataError: The file is missing, not a regular file, damaged, or cannot be read.
    """
    regular_file_stat(path)
    try:
        with path.open("rb", buffering=0) as file:
            yield from decompressed_blocks(file, path, _BLOCK_BYTES) or read_blocks(file)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def file_lines(path: Path) -> Iterator[bytes]:
    """The lines of a text file, decompressed, each with its end.

    Raises:
        DataError: As :func:`file_blocks`.
    """
    parts: list[bytes] = []
    for block in file_blocks(path):
        *lines, rest = block.split(b"\n")
        for line in lines:
            yield b"".join([*parts, line, b"\n"])
            parts.clear()
        parts.append(rest)
    if last := b"".join(parts):
        yield last


def regular_file_stat(path: Path) -> os.stat_result:
    """What the system says about a text file.

    Raises:
        DataError: The file is missing or not a regular file. A pipe is refused because texts are
            read more than once.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file{meant(path)}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{path}: a directory; name the text files in it")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: not a regular file; write the text to a file first")
    return status
