"""What a look through a text found; made by ``lmtrain.corpus.checking.check``."""

from dataclasses import asdict, dataclass
from typing import Any

from lmtrain.corpus.checking.line_hashes import Overlap, Repetition
from lmtrain.corpus.checking.suspicions import Suspicion


@dataclass(frozen=True)
class Fault:
    """Something that training would refuse.

    Attributes:
        line: From 1.
        byte: Of the line, from 1; None if the whole line is meant.
        message: What is wrong.
    """

    line: int
    byte: int | None
    message: str


@dataclass(frozen=True)
class Unknown:
    """Words that a vocabulary does not have.

    Attributes:
        vocabulary: Where it is from.
        num_oov: Tokens that would be scored as ``<unk>``, literal ones included.
        oov_rate: Of all tokens, line ends included, as in ``lmtrain eval``.
        num_types: Different words that are unknown.
        most_frequent: The most frequent of them, and how often they occur.
    """

    vocabulary: str
    num_oov: int
    oov_rate: float
    num_types: int
    most_frequent: list[tuple[str, int]]


@dataclass(frozen=True)
class TextReport:
    """All that a look through a text found.

    Attributes:
        sha256: Of the text, decompressed, in hexadecimal.
        num_bytes: Of the text, decompressed.
        num_lines: Lines, which is the number of ``<eos>`` tokens.
        num_empty_lines: Lines without a word.
        num_words: Words.
        num_types: Different words.
        num_types_lowercase: Different words when lower-cased.
        num_singletons: Words that occur once.
        num_unk: Words that are a literal ``<unk>``.
        longest_line: Its number, and its words.
        num_faults: Faults found.
        faults: The first of them.
        suspicions: What deserves a look.
        repetition: What repeats within the text.
        unknown: Words a vocabulary lacks; None if none was named, or there are faults.
        overlap: Lines shared with training texts; None if none were named.
    """

    sha256: str
    num_bytes: int
    num_lines: int
    num_empty_lines: int
    num_words: int
    num_types: int
    num_types_lowercase: int
    num_singletons: int
    num_unk: int
    longest_line: tuple[int, int]
    num_faults: int
    faults: list[Fault]
    suspicions: list[Suspicion]
    repetition: Repetition
    unknown: Unknown | None
    overlap: Overlap | None

    @property
    def is_usable(self) -> bool:
        """Whether training would take the text."""
        return self.num_faults == 0

    @property
    def num_tokens(self) -> int:
        """Words and one ``<eos>`` a line."""
        return self.num_words + self.num_lines

    def to_dict(self) -> dict[str, Any]:
        """The fields of ``data check --json``."""
        return {"is_usable": self.is_usable, "num_tokens": self.num_tokens, **asdict(self)}
