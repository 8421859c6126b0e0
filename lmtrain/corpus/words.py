"""Words as people write them, and the words of a model that each of them is.

    The    dog's   hall.          original words, apart by whitespace
    the    dog 's  hall .         their parts: what the model reads

This is the one place that maps the former to the latter: what is scored, judged or joined to regions asks
here.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lmtrain.corpus.penn import BRACKETS, PLAIN_QUOTES
from lmtrain.corpus.text import EOS, TextRules, is_punctuation, without_marks
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import DataError

_WORD = re.compile(r"[^ \t\n\r\v\f]+")  # as everywhere here, a no-break space is part of a word
_WRITTEN = {token: (token, bracket) for bracket, token in BRACKETS.items()}
_WRITTEN |= {"``": ("``", '"'), "''": ("''", '"'), "`": ("`", "'")}
"""What a token of the Penn Treebank may have been in the text."""


class Part(NamedTuple):
    """A word of the model, and the place of its characters in the line."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Word:
    """A word between whitespace, as it stands in the text.

    Attributes:
        text: The word.
        start: Of its first character in the line, from 0.
        end: After its last.
        parts: What the model reads for it, in order; none where it is left out.
    """

    text: str
    start: int
    end: int
    parts: tuple[Part, ...]


def words_of(line: str, rules: TextRules, place: str) -> list[Word]:
    """The original words of a line, each with its parts; together, those are the line as the model reads it.

    A word of which a tokeniser would leave nothing (a control character), or which it changes beyond
    recognition, is read as it stands: every word has a part, whose characters are within the word, unless it
    is punctuation that the rules leave out, or a mark: ``<s>`` before all others or ``</s>`` behind them.

    Args:
        line: The line, without its end.
        rules: How text becomes words of the model.
        place: What errors call the line.

    Raises:
        DataError: The line itself holds ``<eos>``.
        UsageError: Moses's tokeniser is not installed, or does not know the language.
    """
    spans = [(found[0], found.start(), found.end()) for found in _WORD.finditer(line)]
    unmarked = without_marks(line)
    parts = _parts(unmarked, rules) if rules.looks_at_lines else [Part(*span) for span in spans]
    if parts is None:
        parts = [part for span in spans for part in _parts_of_word(span, rules)]
    words, index = [], 0
    for text, start, end in spans:
        first = index
        while index < len(parts) and parts[index].start < end:
            index += 1
        own = parts[first:index] or [Part(text, start, end)]
        read = (part._replace(text=rules.normal(part.text)) for part in own if unmarked[part.start] != " ")
        words.append(Word(text, start, end, tuple(part for part in read if part.text)))
    if any(part.text == EOS for word in words for part in word.parts):
        raise DataError(
            f"{place}: the text itself holds {EOS}, which every line end already stands for; remove it"
        )
    return words


def parts_of(words: Iterable[Word]) -> list[str]:
    """What the model reads, without ``<eos>``."""
    return [part.text for word in words for part in word.parts]


def _parts_of_word(span: tuple[str, int, int], rules: TextRules) -> list[Part]:
    text, start, end = span
    found = _parts(text, rules)
    if found is None:
        return [Part(text, start, end)]
    return [Part(part.text, start + part.start, start + part.end) for part in found]


def _parts(line: str, rules: TextRules) -> list[Part] | None:
    """What a tokeniser makes of a line, each token where it stands; None where it cannot be found there."""
    plain = line.translate(PLAIN_QUOTES) if rules.penn else line
    parts, at = [], 0
    for token in rules.tokens(line):
        written = _WRITTEN.get(token, (token,)) if rules.penn else (token,)
        while at < len(plain) and not plain.startswith(written, at):
            if not (plain[at].isspace() or not plain[at].isprintable()):  # what tokenisers drop
                return None
            at += 1
        length = next((len(form) for form in written if plain.startswith(form, at)), None)
        if length is None:
            return None
        parts.append(Part(token, at, at + length))
        at += length
    if plain[at:].strip() and plain[at:].isprintable():
        return None
    return parts if not _spans_whitespace(line, parts) else None


def _spans_whitespace(line: str, parts: Sequence[Part]) -> bool:
    return any(_WORD.fullmatch(line, part.start, part.end) is None for part in parts)


@dataclass(frozen=True)
class Unknown:
    """The words of a text that a model does not know; ``<unk>`` in the text itself is none of them.

    Attributes:
        num_words: Original words of the text.
        words: Those that hold an unknown part: the number of the line, from 1, and the word.
        num_lexical: How many of them hold one that is not mere punctuation.
    """

    num_words: int
    words: tuple[tuple[int, Word], ...]
    num_lexical: int

    @classmethod
    def of(cls, lines: Sequence[Sequence[Word]], vocab: Vocabulary) -> "Unknown":
        """Those of some lines."""
        found, num_lexical = [], 0
        for number, line in enumerate(lines, 1):
            for word in line:
                unknown = [part.text for part in word.parts if part.text not in vocab]
                found += [(number, word)] if unknown else []
                num_lexical += not all(map(is_punctuation, unknown))
        return cls(sum(map(len, lines)), tuple(found), num_lexical)

    @property
    def share(self) -> float:
        """Of the words of the text, from 0 to 1."""
        return len(self.words) / max(1, self.num_words)

    @property
    def lexical_share(self) -> float:
        """The same of those that are unknown for more than their punctuation."""
        return self.num_lexical / max(1, self.num_words)
