"""How often questions were answered rightly, by the groups they are in: counts are summed, divided once."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from lmtrain.corpus.suites.question import ONE_PREFIX, TWO_PREFIXES, WHOLE, Question
from lmtrain.inference.judge import Verdict

ALL = "all"
"""The kind, and the name, of the group of all questions of a test and method."""
_NAMED = ("set", "suite")
"""Kinds of groups that are what was published, or read, as one."""
_METHODS = ("", WHOLE, ONE_PREFIX, TWO_PREFIXES)
_Z = 1.959964
"""Of the normal distribution, 95 % lie within so many standard deviations."""


def wilson_interval(num_right: int, num: int) -> tuple[float, float]:
    """The interval of 95 % for a share; Wilson (1927), "Probable inference, the law of succession"."""
    share = num_right / num
    middle = (share + _Z**2 / (2 * num)) / (1 + _Z**2 / num)
    half = _Z * math.sqrt(share * (1 - share) / num + _Z**2 / (4 * num**2)) / (1 + _Z**2 / num)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Tally:
    """What became of some questions.

    Attributes:
        num: Questions.
        num_right: Those whose claim held.
        num_ties: Those that the model did not decide; they are not right.
        num_unknown: Those that rest on unknown words.
        num_known_right: Right ones among the others.
    """

    num: int
    num_right: int
    num_ties: int
    num_unknown: int
    num_known_right: int

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> Self:
        """Counts."""
        return cls(
            len(verdicts),
            sum(verdict.holds for verdict in verdicts),
            sum(verdict.is_tie for verdict in verdicts),
            sum(verdict.has_unknown for verdict in verdicts),
            sum(verdict.holds and not verdict.has_unknown for verdict in verdicts),
        )

    @property
    def accuracy(self) -> float:
        """Share of the questions that was right."""
        return self.num_right / self.num

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 %, Wilson's."""
        return wilson_interval(self.num_right, self.num)

    @property
    def unknown_share(self) -> float:
        """Share of the questions that rests on unknown words."""
        return self.num_unknown / self.num

    @property
    def known_accuracy(self) -> float:
        """Share that was right of those that do not; NaN where there is none."""
        known = self.num - self.num_unknown
        return self.num_known_right / known if known else math.nan

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **vars(self),
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "unknown_share": self.unknown_share,
            "known_accuracy": self.known_accuracy,
        }


@dataclass(frozen=True)
class Group:
    """Questions that are counted together.

    Attributes:
        test: That they belong to.
        method: What is compared.
        by: The kind of group: ``set``, ``term``, ``attractors``; ``all`` for all of a test and method.
        name: Of the group.
        is_main: Whether it is of the first method of its test, which published figures are of.
        num: Questions.
        chance: How often a model that knows nothing would be right.
        tallies: Of each model.
        sets: How many of the questions are of each set; they may have published figures.
    """

    test: str
    method: str
    by: str
    name: str
    is_main: bool
    num: int
    chance: float
    tallies: tuple[Tally, ...]
    sets: Mapping[str, int]


def groups_of(questions: Sequence[Question], by_model: Sequence[Sequence[Verdict]]) -> list[Group]:
    """All groups: test by test, method by method, kind by kind, the group of all last.

    A kind that has but one group is left out, but for sets and suites. Groups called by numbers are in the
    order of these, others as they come.

    Args:
        questions: In any order.
        by_model: The verdicts of each model, a verdict a question.
    """
    members: dict[tuple[str, str, str], dict[str, list[int]]] = {}
    for i, question in enumerate(questions):
        place = question.place
        for by, name in (*place.groups.items(), (ALL, ALL)):
            members.setdefault((place.test, place.method, by), {}).setdefault(name, []).append(i)
    tests = list(dict.fromkeys(question.place.test for question in questions))
    main: dict[str, str] = {}

    def order(kind: tuple[str, str, str]) -> tuple[int, int, bool]:
        test, method, by = kind
        return tests.index(test), _METHODS.index(method), by == ALL

    groups = []
    for test, method, by in sorted(members, key=order):
        main.setdefault(test, method)
        found = members[test, method, by]
        if len(found) == 1 and by not in (ALL, *_NAMED):
            continue
        for name in _in_order(found):
            chosen = [questions[i] for i in found[name]]
            tallies = tuple(Tally.of([verdicts[i] for i in found[name]]) for verdicts in by_model)
            chance = math.fsum(question.chance for question in chosen) / len(chosen)
            is_main, sets = main[test] == method, Counter(map(_set_of, chosen))
            groups.append(Group(test, method, by, name, is_main, len(chosen), chance, tallies, sets))
    return groups


def _in_order(names: Iterable[str]) -> list[str]:
    listed = list(names)
    return sorted(listed, key=int) if all(name.isdecimal() for name in listed) else listed


def _set_of(question: Question) -> str:
    groups = question.place.groups
    return next((groups[by] for by in _NAMED if by in groups), "")
