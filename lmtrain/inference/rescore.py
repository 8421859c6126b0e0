"""Which hypothesis of an n-best list is best by several scores, and with which weights it errs least.

The total of a hypothesis is

    acoustic + first_pass · its recogniser's language model + language · ours + insertion · number of words

with all scores in nats.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from lmtrain.corpus.nbest import Hypothesis, NbestList
from lmtrain.corpus.text import TextRules, fields
from lmtrain.errors import DataError, UsageError
from lmtrain.inference.score import Floats, ScoredLine, Scorer

Ints = npt.NDArray[np.int64]

LANGUAGE_WEIGHTS = (0.0, *(2.0 ** (k / 4) for k in range(-24, 25)))
"""That are tried: 0, and from 1/64 to 64 in quarters of an octave."""
MAX_INSERTION = 10.0
"""Nats a word, times the weight of the language model where that is above 1: the furthest that is tried."""

_ROUNDING = 1e-9
"""A range of insertions, as a share of what is tried, that is none."""


@dataclass(frozen=True)
class Weights:
    """What scores are multiplied by."""

    language: float = 1.0
    insertion: float = 0.0
    """Nats a word: above 0, longer hypotheses are preferred."""
    first_pass: float = 0.0


@dataclass(frozen=True, eq=False)
class Scores:
    """Of the hypotheses for an utterance, each of shape (hypotheses,); nats."""

    acoustic: Floats
    first_pass: Floats
    language: Floats
    num_words: Floats

    def totals(self, weights: Weights) -> Floats:
        """What hypotheses are compared by, shape (hypotheses,)."""
        return (
            self.acoustic
            + weights.first_pass * self.first_pass
            + weights.language * self.language
            + weights.insertion * self.num_words
        )

    def best(self, weights: Weights) -> int:
        """The hypothesis of the highest total, of equals the first."""
        return int(self.totals(weights).argmax())


@dataclass(frozen=True, eq=False)
class ScoredList:
    """The hypotheses for an utterance and their scores."""

    name: str | None
    hypotheses: list[Hypothesis]
    scores: Scores
    num_tokens: int = 0
    """That the language model scored, in all hypotheses, ends of lines included."""
    num_unk: int = 0
    """Of these, those scored as ``<unk>``."""

    def best(self, weights: Weights) -> Hypothesis | None:
        """That of the highest total; None where there is no hypothesis."""
        return self.hypotheses[self.scores.best(weights)] if self.hypotheses else None


@dataclass(frozen=True)
class Tally:
    """Word errors over some utterances."""

    num_words: int
    """Of the references."""
    errors: int
    first: int
    """Errors of the first hypotheses of the lists, the recogniser's best."""
    fewest: int
    """Errors of the hypotheses nearest to the references: no weights can do better."""

    @property
    def rate(self) -> float:
        """Word error rate: errors a word of the references; NaN where these hold none."""
        return self.errors / self.num_words if self.num_words else math.nan


def score_lists(
    scorer: Scorer,
    rules: TextRules,
    groups: Iterable[Sequence[NbestList]],
    refuse: Callable[[DataError], object],
    *,
    goes_on: bool = False,
) -> Iterator[ScoredList]:
    """Scores lists as they come.

    Args:
        scorer: Of the model, in ``line`` context.
        rules: Those by which the model's text became words.
        groups: Lists of utterances in their order; those of a group are scored together, which is faster.
        refuse: Called with what is wrong with a hypothesis, which is left out if this returns.
        goes_on: Whether each utterance goes on from the first hypothesis for the one before. Lists are then
            scored one by one.

    Raises:
        DataError: By ``refuse``; the lists before have been handed out.
    """
    for group in groups:
        read: list[_Read] = []
        failure: DataError | None = None
        for each in group:
            try:
                read.append(_Read.of(each, rules, refuse))
            except DataError as error:
                failure = error
                break
        if goes_on:
            for one in read:
                yield one.scored(scorer.score_hypotheses(one.sentences) if one.sentences else [])
        else:
            lines = iter(scorer.score([words for one in read for words in one.sentences]))
            yield from [one.scored(list(islice(lines, len(one.sentences)))) for one in read]
        if failure:
            raise failure


@dataclass(frozen=True, eq=False)
class _Read:
    """A list and the words of those hypotheses that can be used."""

    name: str | None
    hypotheses: list[Hypothesis]
    sentences: list[list[str]]

    @classmethod
    def of(cls, each: NbestList, rules: TextRules, refuse: Callable[[DataError], object]) -> "_Read":
        found = cls(each.name, [], [])
        for hypothesis in each.hypotheses:
            try:
                found.sentences.append(rules.words(hypothesis.text, hypothesis.place))
                found.hypotheses.append(hypothesis)
            except DataError as error:
                refuse(error)
        return found

    def scored(self, lines: Sequence[ScoredLine]) -> ScoredList:
        columns = (
            [hypothesis.acoustic for hypothesis in self.hypotheses],
            [hypothesis.first_pass for hypothesis in self.hypotheses],
            [line.log_prob for line in lines],
            [hypothesis.num_words for hypothesis in self.hypotheses],
        )
        scores = Scores(*(np.array(column, dtype=np.float64) for column in columns))
        num_tokens, num_unk = sum(len(line.tokens) for line in lines), sum(sum(line.is_unk) for line in lines)
        return ScoredList(self.name, self.hypotheses, scores, num_tokens, num_unk)


def count_errors(lists: Sequence[ScoredList], references: Sequence[Sequence[str]]) -> list[Ints]:
    """Word errors of each hypothesis against the reference of its utterance.

    Raises:
        UsageError: The package that counts them is not installed.
    """
    return [
        np.array([word_errors(said, fields(each.text)) for each in one.hypotheses], dtype=np.int64)
        for one, said in zip(lists, references, strict=True)
    ]


def tally(
    lists: Sequence[ScoredList],
    errors: Sequence[Ints],
    references: Sequence[Sequence[str]],
    weights: Weights,
) -> Tally:
    """What the best hypotheses err; where there is none, every word is missing."""
    best, first, fewest = 0, 0, 0
    for each, of_hypotheses, said in zip(lists, errors, references, strict=True):
        found = of_hypotheses if each.hypotheses else np.array([len(said)])
        best += int(found[each.scores.best(weights)] if each.hypotheses else found[0])
        first += int(found[0])
        fewest += int(found.min())
    return Tally(sum(map(len, references)), best, first, fewest)


def word_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The fewest substitutions, deletions and insertions of words that make one of the other.

    Raises:
        UsageError: The package that counts them is not installed.
    """
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as error:
        raise UsageError(
            f"word errors need more than is installed ({error}): pip install 'lmtrain[rescore]'"
        ) from error
    return Levenshtein.distance(reference, hypothesis)


def tune(lists: Sequence[ScoredList], errors: Sequence[Ints], first_pass: float = 0.0) -> Weights:
    """The weights by which the best hypotheses of some utterances have the fewest word errors.

    The number of errors is a step function of the weights. For each of ``LANGUAGE_WEIGHTS``, all word
    insertions up to ``MAX_INSERTION`` are looked through exactly: of an utterance, the hypotheses that some
    insertion makes the best are the upper envelope of lines, one for each number of words. Of weights that
    do equally well, those are taken that have most room around them: the middle of the widest range of
    insertions, as a share of what is tried, and of equals the lowest weight.

    Source: Och (2003), "Minimum error rate training in statistical machine translation", section 5.

    Args:
        lists: Of each utterance; those without a hypothesis say nothing.
        errors: Word errors of each hypothesis, in the same order.
        first_pass: The weight of the recogniser's language model, which is not tuned.
    """
    scores = [each.scores for each in lists if each.hypotheses]
    errors = [each for each in errors if len(each)]
    best = (math.inf, 0.0, Weights(first_pass=first_pass))
    for language in LANGUAGE_WEIGHTS:
        weights = Weights(language, 0.0, first_pass)
        furthest = MAX_INSERTION * max(language, 1.0)
        fewest, low, high = _fewest(
            [_envelope(each.totals(weights), each.num_words) for each in scores], errors, furthest
        )
        found = (fewest, (low - high) / furthest, Weights(language, (low + high) / 2, first_pass))
        if found[:2] < (best[0], best[1] - _ROUNDING):
            best = found
    return best[2]


def _envelope(intercepts: Floats, slopes: Floats) -> list[tuple[float, int]]:
    """Which line is the highest from where on, in the order of x; of equal lines the first."""
    order = np.lexsort((-intercepts, slopes))
    _, firsts = np.unique(slopes[order], return_index=True)
    parts: list[tuple[float, int]] = []
    for i in order[firsts].tolist():
        start = -math.inf
        while parts:
            last_start, last = parts[-1]
            start = float((intercepts[last] - intercepts[i]) / (slopes[i] - slopes[last]))
            if start > last_start:
                break
            parts.pop()
            start = -math.inf
        parts.append((start, i))
    return parts


def _fewest(
    envelopes: Sequence[list[tuple[float, int]]], errors: Sequence[Ints], furthest: float
) -> tuple[int, float, float]:
    """The fewest errors for any x from ``-furthest`` to ``furthest``, and the widest range that has them."""
    changes = {-furthest: 0}
    for parts, of_hypotheses in zip(envelopes, errors, strict=True):
        before = 0
        for start, i in parts:
            if start < furthest:
                count = int(of_hypotheses[i])
                at = max(start, -furthest)
                changes[at] = changes.get(at, 0) + count - before
                before = count
    ranges: list[tuple[int, float, float]] = []
    total, starts = 0, sorted(changes)
    for low, high in zip(starts, [*starts[1:], furthest], strict=True):
        total += changes[low]
        if ranges and ranges[-1][0] == total:
            ranges[-1] = (total, ranges[-1][1], high)
        else:
            ranges.append((total, low, high))
    wide = (each for each in ranges if each[2] - each[1] > _ROUNDING * furthest)
    return min(wide, key=lambda each: (each[0], each[1] - each[2]))
