"""Signs that a text is not tokenised as one would think, or not clean: each a guess, none an error."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nlargest

_NUM_EXAMPLES = 5


@dataclass(frozen=True)
class Suspicion:
    """Something that deserves a look.

    Attributes:
        kind: A short name, for programs.
        message: What it is and what can be done.
        count: How many words or lines are concerned.
        share: Of all words, or of all lines.
        examples: Words with their counts, or line numbers.
    """

    kind: str
    message: str
    count: int
    share: float
    examples: list[str]


@dataclass(frozen=True)
class _Sign:
    """A kind of word that arouses suspicion.

    Attributes:
        kind: See ``Suspicion``.
        message: See ``Suspicion``.
        is_in: Whether a word is of that kind.
        from_share: Of all words, from which on it is worth telling.
    """

    kind: str
    message: str
    is_in: Callable[[str], object]
    from_share: float = 0.0


_FOREIGN_MARKS = frozenset(
    mark
    for name in ("s", "/s", "eos", "bos", "unk", "unknown", "oov", "pad", "sep", "mask")
    for mark in (f"<{name}>", f"<{name.upper()}>", f"[{name}]", f"[{name.upper()}]")
) - {"<unk>", "<eos>"}

_GLUED = re.compile(r"""^[("“«\[{]\w|\w[,;:!?"”»)\]}]$""")
_ESCAPE = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d+|#x[0-9a-fA-F]+);")


def _is_glued(word: str) -> bool:
    return bool(_GLUED.search(word)) and word not in _FOREIGN_MARKS and not _ESCAPE.search(word)


_SIGNS = (
    _Sign(
        "glued_punctuation",
        "words with punctuation stuck to them: not tokenised? data.tokenizer: moses splits it off",
        _is_glued,
        from_share=0.002,
    ),
    _Sign(
        "escapes",
        "words with XML escapes such as &quot;: written by a tokeniser that escapes, or cut from HTML",
        _ESCAPE.search,
    ),
    _Sign(
        "foreign_marks",
        "marks of other programs, read as ordinary words here; <unk> and line ends are ours",
        _FOREIGN_MARKS.__contains__,
    ),
    _Sign(
        "control_characters",
        "words with control characters in them",
        re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]").search,
    ),
    _Sign(
        "invisible_characters",
        "words with invisible characters: no-break and other wide or narrow spaces do not separate words",
        re.compile("[\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]").search,
    ),
    _Sign(
        "misread_characters",
        "words that were decoded wrongly before, such as Ã© for é",
        re.compile("\ufffd|[ÂÃ][\u0080-\u00bf]|â€").search,
    ),
    _Sign(
        "not_nfc",
        "words in another Unicode form than NFC: what looks the same may count as two words",
        lambda word: not unicodedata.is_normalized("NFC", word),
    ),
    _Sign(
        "long_words",
        "words of more than 60 characters: addresses? a script without spaces?",
        re.compile(".{61}").search,
    ),
)


def suspicious_words(counts: Mapping[str, int]) -> Iterator[Suspicion]:
    """What is suspicious about the words of a text.

    Args:
        counts: How often each occurs.
    """
    num_words = sum(counts.values())
    for sign in _SIGNS:
        found = {word: count for word, count in counts.items() if sign.is_in(word)}
        count = sum(found.values())
        if found and count >= sign.from_share * num_words:
            most = nlargest(_NUM_EXAMPLES, found, key=lambda word: (found[word], word))
            examples = [f"{shown(word)} ({found[word]:,})" for word in most]
            yield Suspicion(sign.kind, sign.message, count, count / num_words, examples)


def shown(word: str) -> str:
    """A word as it can be printed: what does not show is escaped, what is long is cut."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in word)
    return shown if len(shown) <= 40 else f"{shown[:39]}…"
