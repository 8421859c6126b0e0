r"""Plain text as a stream of words: what a word is, what a line is, and what is refused.

Text is UTF-8. Words are separated by ASCII whitespace, as in SRILM and KenLM (a no-break space is
part of a word), lines by ``\n`` alone; since ``\r`` is whitespace, CRLF files read the same. Every
line, empty ones too, ends in one ``<eos>``; a last line without ``\n`` is a line. With Moses's tokeniser or
Penn's, words are what it makes of each line. See also :mod:`lmtrain.files.text_input`.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lmtrain.corpus import moses, penn
from lmtrain.errors import DataError
from lmtrain.files.text_input import checked_text

EOS = "<eos>"

EOS_BYTES = EOS.encode()
WHITESPACE = b" \t\n\r\v\f"
_BEGIN = re.compile(r"\A\s*<s>(?!\S)", re.ASCII)
_END = re.compile(r"(?<!\S)</s>\s*\Z", re.ASCII)
LONGEST_WORD = 1 << 20
"""Bytes of a word, or of a line for a tokeniser: bounds the memory that a file without spaces can take."""

_NUMBER = re.compile(r"[-+]?(\d+([.,:]\d+)*|[.,]\d+)", re.ASCII)

_QUOTES, _SIGNS = frozenset(("`", "``", "''")), frozenset("%&#@*/'")


@dataclass(frozen=True)
class TextRules:
    """How text becomes words.

    Attributes:
        lowercase: Words are lower-cased with Unicode ``str.lower``, after tokenising.
        moses: The language of Moses's tokeniser, such as ``en``; None where it is not used.
        penn: Whether words are those of the Penn Treebank; where neither is asked for, whitespace alone
            separates words.
        numbers: What stands for every number, such as ``N``; None leaves them.
        no_punctuation: Whether punctuation marks that stand apart are left out.
    """

    lowercase: bool = False
    moses: str | None = None
    penn: bool = False
    numbers: str | None = None
    no_punctuation: bool = False

    @property
    def name(self) -> str:
        """Short form for signatures: ``ws``, ``ws+lower``, ``moses-en``, ``penn+lower+num:N+nopunct``."""
        tokenizer = "penn" if self.penn else "ws" if self.moses is None else f"moses-{self.moses}"
        lower = "+lower" if self.lowercase else ""
        numbers = "" if self.numbers is None else f"+num:{self.numbers}"
        return tokenizer + lower + numbers + ("+nopunct" if self.no_punctuation else "")

    @property
    def looks_at_lines(self) -> bool:
        """Whether what a word is depends on its line."""
        return self.penn or self.moses is not None

    @property
    def looks_at_words(self) -> bool:
        """Whether more happens to a word than that its letters are lower-cased."""
        return self.looks_at_lines or self.numbers is not None or self.no_punctuation

    def tokens(self, line: str) -> list[str]:
        """What the tokeniser alone makes of a line.

        Raises:
            UsageError: Moses's tokeniser is not installed, or does not know the language.
        """
        if self.penn:
            return penn.tokenize(line)
        if self.moses is not None:
            return moses.tokenize(line, self.moses)
        # Arguments of a command can hold bytes that are no UTF-8, which Python keeps as surrogates.
        words = line.encode(errors="surrogatepass").split()
        return [word.decode(errors="surrogatepass") for word in words]

    def normal(self, token: str) -> str:
        """The word of the model that a token is meant to be; empty of one that is left out."""
        if self.no_punctuation and is_punctuation(token):
            return ""
        if self.numbers is not None and _NUMBER.fullmatch(token):
            return self.numbers
        return token.lower() if self.lowercase else token

    def rewrite(self, text: str) -> str:
        """The text with its words separated by whitespace, line by line, and lower-cased.

        Raises:
            UsageError: Moses's tokeniser is not installed, or does not know the language.
        """
        if self.looks_at_words:
            return "\n".join(" ".join(self.split(line)) for line in text.split("\n"))
        return text.lower() if self.lowercase else text

    def split(self, line: str) -> list[str]:
        """The words of a line already in memory, such as a prompt; without ``<eos>``."""
        return list(filter(None, map(self.normal, self.tokens(line))))

    def words(self, line: str, place: str) -> list[str]:
        """The words of a line to be scored; as ``split``, but its end alone is ``<eos>``.

        ``<s>`` before them and ``</s>`` after them, as recognisers write them, are no words.

        Args:
            line: The line, without its end.
            place: What errors call it.

        Raises:
            DataError: The line itself holds ``<eos>``.
        """
        words = self.split(without_marks(line))
        if EOS in words:
            raise DataError(
                f"{place}: the text itself holds {EOS}, which every line end already stands for; remove it"
            )
        return words


def is_punctuation(token: str) -> bool:
    """Whether a token is a punctuation mark or several: ``,``, ``--``, ``-LRB-``, and no sign such as ``%``.

    An apostrophe alone is none, being what the Penn Treebank has of a plural's genitive.
    """
    if token in _QUOTES or token.upper() in penn.BRACKETS.values():
        return True
    return all(unicodedata.category(mark)[0] == "P" and mark not in _SIGNS for mark in token)


def fields(line: str, maxsplit: int = -1) -> list[str]:
    """What stands between ASCII whitespace, which alone separates words; ``str.split`` knows more of it."""
    return [field.decode() for field in line.encode().split(maxsplit=maxsplit)]


def without_marks(line: str) -> str:
    """A line with spaces for ``<s>`` as its first word and ``</s>`` as its last, so that places stay."""
    return _END.sub(_blank, _BEGIN.sub(_blank, line))


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


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
    line = 1
    has_words = False
    is_plain = rules == TextRules()
    separators = b"\n" if rules.looks_at_words else WHITESPACE
    for chunk in _cut_before(separators, checked_text(blocks, name), name):
        text = chunk if is_plain else rules.rewrite(chunk.decode()).encode()
        if EOS_BYTES in text:
            _refuse_eos(text, line, name)
        has_words = has_words or bool(text.strip())
        line += chunk.count(b"\n")
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


def _refuse_eos(text: bytes, first_line: int, name: str) -> None:
    for number, line in enumerate(text.split(b"\n"), first_line):
        if EOS_BYTES in line.split():
            raise DataError(
                f"{name}:{number}: the text itself holds {EOS}, which every line end already"
                " stands for; remove it"
            )
