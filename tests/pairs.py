"""All pairs of values of some options in few cases: most faults of combinations need two values to show."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

Case = dict[str, int]
"""For each option, the number of its value."""
Pair = tuple[tuple[str, int], tuple[str, int]]
_TRIES = 12


def all_pairs(
    options: Mapping[str, Sequence[Any]], holds: Callable[[Case], bool]
) -> tuple[list[Case], list[Pair]]:
    """Cases in which each pair of values occurs, and the pairs that never hold.

    Args:
        options: The values of each, the first being the default.
        holds: Whether a case is allowed.
    """
    draws = random.Random(0)
    pairs = [pair for a, b in combinations(options, 2) for pair in _of(options, a, b)]
    left, cases, refused = dict.fromkeys(pairs), [], []
    for pair in pairs:
        if pair not in left:
            continue
        candidates = [dict.fromkeys(options, 0) | dict(pair)]
        for _ in range(_TRIES):
            drawn = {name: draws.randrange(len(values)) for name, values in options.items()}
            candidates.append(drawn | dict(pair))
        candidates.sort(key=lambda case: sum(p in left for p in _in(case)), reverse=True)
        found = next((case for case in candidates if holds(case)), None)
        if found is None:
            refused.append(pair)
            del left[pair]
            continue
        cases.append(found)
        for covered in _in(found):
            left.pop(covered, None)
    return cases, refused


def _of(options: Mapping[str, Sequence[Any]], a: str, b: str) -> Iterator[Pair]:
    for i in range(len(options[a])):
        for j in range(len(options[b])):
            yield (a, i), (b, j)


def _in(case: Case) -> Iterator[Pair]:
    yield from combinations(case.items(), 2)
