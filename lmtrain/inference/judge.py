"""What a model says to questions: which of two alternatives surprises it more, which predictions hold."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Protocol

import numpy as np

from lmtrain.corpus.suites.question import Metric, Question, Stretch
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import UNK, Vocabulary
from lmtrain.corpus.words import Part, Word, words_of
from lmtrain.inference.score import Floats, ScoredLine

Tokens = tuple[str, ...]
Watch = Callable[[Sequence[Sequence[Tokens]]], Iterable[Sequence[Tokens]]]
"""Hands on groups of lines, and may show how far it has come."""

_LINES_AT_ONCE = 2000

_METRICS: dict[Metric, Callable[[Floats], float]] = {
    "sum": np.sum,
    "mean": np.mean,
    "median": np.median,
    "range": np.ptp,
    "max": np.max,
    "min": np.min,
}


class LineScorer(Protocol):
    """Whatever scores lines, each on its own."""

    def score(self, lines: Sequence[Sequence[str]]) -> list[ScoredLine]:
        """See ``Scorer``."""


@dataclass(frozen=True)
class Verdict:
    """What became of a question.

    Attributes:
        holds: Whether the claim is true.
        is_tie: Whether the model does not decide: both alternatives are equally probable to it.
        has_unknown: Whether words that matter are unknown: those in which the lines differ, and what is
            measured where that is not a whole sentence.
        bits: The figure of each stretch.
    """

    holds: bool
    is_tie: bool
    has_unknown: bool
    bits: tuple[float, ...]


@dataclass(frozen=True)
class _Line:
    """A line as a model reads it."""

    parts: list[Part]
    tokens: Tokens
    """The texts of the parts, ``<unk>`` where a word is unknown."""

    @property
    def texts(self) -> list[str]:
        """Of the parts."""
        return [part.text for part in self.parts]

    def place(self, stretch: Stretch) -> slice:
        """Of its tokens, among those of the line and its end."""
        end = math.inf if stretch.end is None else stretch.end
        inside = [i for i, part in enumerate(self.parts) if stretch.start <= part.start < end]
        begin = inside[0] if inside else 0
        return slice(begin, begin + len(inside) + stretch.with_eos)


class Judge:
    """Puts questions to a model.

    Lines that are the same to the model are scored once, so that what it cannot tell apart costs exactly the
    same.

    Args:
        scorer: In ``line`` context.
        vocab: Of the model.
        rules: How text becomes its words.
        watch: Shows how far it has come.

    Attributes:
        words: Of each line that was read.
    """

    def __init__(self, scorer: LineScorer, vocab: Vocabulary, rules: TextRules, watch: Watch = iter) -> None:
        self._scorer, self._vocab, self._rules, self._watch = scorer, vocab, rules, watch
        self.words: dict[str, list[Word]] = {}

    def verdicts(self, questions: Sequence[Question]) -> list[Verdict]:
        """What becomes of each question.

        Raises:
            DataError: A line holds ``<eos>``.
            ModelError: The model gives scores that are not numbers (NaN).
        """
        where = {s.line: question.place.where for question in questions for s in question.stretches}
        lines = {line: self._read(line, place) for line, place in where.items()}
        bits = self._bits({line.tokens for line in lines.values()})
        return [self._verdict(question, lines, bits) for question in questions]

    def _read(self, line: str, where: str) -> _Line:
        self.words[line] = words_of(line, self._rules, where)
        parts = [part for word in self.words[line] for part in word.parts]
        return _Line(parts, tuple(part.text if part.text in self._vocab else UNK for part in parts))

    def _bits(self, lines: Iterable[Tokens]) -> dict[Tokens, Floats]:
        """The surprisal of each token of some lines, and of their ends."""
        ordered = sorted(lines, key=lambda tokens: (len(tokens), tokens))  # alike lengths fill a window
        groups = [ordered[i : i + _LINES_AT_ONCE] for i in range(0, len(ordered), _LINES_AT_ONCE)]
        return {
            tokens: scored.surprisal
            for group in self._watch(groups)
            for tokens, scored in zip(group, self._scorer.score(group), strict=True)
        }

    def _verdict(self, question: Question, lines: dict[str, _Line], bits: dict[Tokens, Floats]) -> Verdict:
        read = [(stretch, lines[stretch.line]) for stretch in question.stretches]
        measure = _METRICS[question.metric]
        figures = tuple(float(measure(bits[line.tokens][line.place(stretch)])) for stretch, line in read)
        has_unknown = any(UNK in tokens for tokens in _that_matter(read))
        return Verdict(question.holds(figures), question.is_tie(figures), has_unknown, figures)


def _that_matter(read: Sequence[tuple[Stretch, _Line]]) -> Iterator[Tokens]:
    """The tokens on which an answer rests."""
    for stretch, line in read:
        if not stretch.with_eos:
            yield line.tokens[line.place(stretch)]
    lines = {id(line): line for _, line in read}
    first, *others = lines.values()
    for other in others:
        alignment = SequenceMatcher(a=first.texts, b=other.texts, autojunk=False)
        for kind, a, b, c, d in alignment.get_opcodes():
            if kind != "equal":
                yield first.tokens[a:b] + other.tokens[c:d]
