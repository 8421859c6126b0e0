"""Counts by group: each question once in each of its groups; intervals and shares at known values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.corpus.suites.question import ONE_PREFIX, WHOLE, Pair, Place, Stretch
from lmtrain.inference.judge import Verdict
from lmtrain.inference.tally import Tally, groups_of, wilson_interval

VERDICTS = st.tuples(st.booleans(), st.booleans(), st.booleans()).map(lambda t: Verdict(*t, (0.0, 0.0)))


def pair(test: str, method: str, **groups: str) -> Pair:
    return Pair(Stretch(""), Stretch(""), Place(test, "", groups, method))


@pytest.mark.parametrize(
    ("right", "number", "low", "high"),
    [(50, 100, 0.4038, 0.5962), (10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775), (698, 1000, 0.6688, 0.7257)],
)
def test_wilsons_interval(right: int, number: int, low: float, high: float) -> None:
    assert wilson_interval(right, number) == pytest.approx((low, high), abs=1e-4)


def test_a_tally() -> None:
    tally = Tally.of(
        [
            Verdict(True, False, False, ()),
            Verdict(True, False, True, ()),
            Verdict(False, True, True, ()),
            Verdict(False, False, False, ()),
            Verdict(True, False, False, ()),
        ]
    )
    assert (tally.num, tally.num_right, tally.num_ties, tally.num_unknown) == (5, 3, 1, 2)
    assert (tally.accuracy, tally.unknown_share, tally.known_accuracy) == (0.6, 0.4, 2 / 3)
    assert tally.to_dict()["interval"] == list(tally.interval)
    assert math.isnan(Tally.of([Verdict(True, False, True, ())]).known_accuracy)


def test_groups_and_their_order() -> None:
    questions = [
        pair("b", ONE_PREFIX, set="x", term="t"),
        pair("b", WHOLE, set="x", term="t"),
        pair("b", WHOLE, set="y", term="t"),
        pair("a", ONE_PREFIX, attractors="10"),
        pair("a", ONE_PREFIX, attractors="9"),
        pair("b", WHOLE, set="x", term="t"),
    ]
    verdict = Verdict(True, False, False, ())
    groups = groups_of(questions, [[verdict] * 6, [verdict] * 6])
    assert [(g.test, g.method, g.by, g.name, g.num, g.is_main) for g in groups] == [
        ("b", WHOLE, "set", "x", 2, True),
        ("b", WHOLE, "set", "y", 1, True),
        ("b", WHOLE, "all", "all", 3, True),
        ("b", ONE_PREFIX, "set", "x", 1, False),
        ("b", ONE_PREFIX, "all", "all", 1, False),
        ("a", ONE_PREFIX, "attractors", "9", 1, True),
        ("a", ONE_PREFIX, "attractors", "10", 1, True),
        ("a", ONE_PREFIX, "all", "all", 2, True),
    ]
    assert all(len(group.tallies) == 2 and group.chance == 0.5 for group in groups)
    assert groups[2].sets == {"x": 2, "y": 1}


@given(st.lists(st.tuples(st.sampled_from("xyz"), VERDICTS), min_size=1))
def test_groups_add_up(members: list[tuple[str, Verdict]]) -> None:
    verdicts = [verdict for _, verdict in members]
    *sets, together = groups_of([pair("t", WHOLE, set=name) for name, _ in members], [verdicts])
    assert together.tallies == (Tally.of(verdicts),)
    for count in vars(Tally.of(verdicts)):
        assert sum(getattr(group.tallies[0], count) for group in sets) == getattr(together.tallies[0], count)
