"""Learning-rate schedules: known values and laws."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.training.schedule import Constant, Plateau, StepDecay, WarmupDecay, one_cycle


def test_constant() -> None:
    assert {Constant().factor(step, epoch) for step, epoch in [(0, 0), (1000, 7)]} == {1.0}


def test_step_decay_is_that_of_zaremba() -> None:
    # lr 1 in epochs 1 to 4, halved each epoch from the fifth on.
    schedule = StepDecay(constant_epochs=4, decay=0.5)
    assert [schedule.factor(0, epoch) for epoch in range(7)] == [1, 1, 1, 1, 0.5, 0.25, 0.125]


def test_plateau_divides_by_four_at_each_evaluation_that_is_no_best() -> None:
    schedule = Plateau()
    factors = []
    for loss in [5.0, 4.0, 4.0, 4.5, 3.9, 3.8, 3.95]:
        schedule.on_evaluation(loss)
        factors.append(schedule.factor(0, 0))
    assert factors == [1, 1, 1 / 4, 1 / 16, 1 / 16, 1 / 16, 1 / 64]


def test_plateau_is_patient() -> None:
    schedule = Plateau(decay=0.5, patience=2)
    factors = []
    for loss in [5.0, 5.0, 5.0, 5.0, 5.0]:
        schedule.on_evaluation(loss)
        factors.append(schedule.factor(0, 0))
    assert factors == [1, 1, 1, 0.5, 0.5]


@given(st.lists(st.floats(0, 10), max_size=12), st.lists(st.floats(0, 10), max_size=12))
def test_plateau_continues_from_its_state(before: list[float], after: list[float]) -> None:
    first, second = Plateau(patience=1), Plateau(patience=1)
    for loss in before:
        first.on_evaluation(loss)
    second.load_state_dict(first.state_dict())
    for loss in after:
        first.on_evaluation(loss)
        second.on_evaluation(loss)
    assert second.state_dict() == first.state_dict()


def test_linear_with_warmup() -> None:
    schedule = WarmupDecay(10, "linear", warmup_steps=4, final_fraction=0.4)
    factors = [schedule.factor(step, 0) for step in range(11)]
    falling = [1.0, 0.88, 0.76, 0.64, 0.52, 0.4, 0.4]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1.0, *falling])


def test_cosine_is_half_way_in_the_middle() -> None:
    schedule = WarmupDecay(101, "cosine", final_fraction=0.2)
    assert schedule.factor(0, 0) == 1.0
    assert schedule.factor(50, 0) == pytest.approx(0.6)
    assert schedule.factor(25, 0) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)
    assert schedule.factor(100, 0) == pytest.approx(0.2)


def test_one_cycle_rises_and_falls_further() -> None:
    schedule = one_cycle(101, warmup_fraction=0.3, start_fraction=0.04, final_fraction=1e-4)
    factors = [schedule.factor(step, 0) for step in range(101)]
    assert factors[0] == 0.04
    assert max(factors) == factors[30] == 1.0
    assert factors[:30] == sorted(factors[:30])
    assert factors[30:] == sorted(factors[30:], reverse=True)
    assert factors[100] == 1e-4


@given(st.integers(1, 300), st.sampled_from(["linear", "cosine"]), st.integers(0, 400), st.floats(0, 1))
def test_factors_stay_within_their_bounds(total: int, shape: str, warmup: int, final: float) -> None:
    schedule = WarmupDecay(total, shape, warmup_steps=warmup, final_fraction=final)
    factors = [schedule.factor(step, 0) for step in range(total + 50)]
    assert all(0 <= factor <= 1 + 1e-9 for factor in factors)
    if total > 1:
        assert factors[total - 1] == final
    if 0 < warmup < total:
        assert factors[warmup - 1] == pytest.approx(1.0)


@given(st.integers(2, 300), st.floats(0.0, 1.0), st.floats(0, 1), st.floats(0, 1))
def test_a_cycle_begins_and_ends_as_it_says(total: int, warmup: float, start: float, final: float) -> None:
    schedule = one_cycle(total, warmup, start, final)
    factors = [schedule.factor(step, 0) for step in range(total)]
    assert factors[0] == (start if round(warmup * total) else 1.0)
    assert factors[-1] == final


@pytest.mark.parametrize(
    ("schedule", "ends"),
    [
        (one_cycle(20, 0.3, 0.04, 1e-4), [0.2, 0.0126348]),
        (WarmupDecay(20, "linear"), [1.0, 0.05]),
        (WarmupDecay(20, "cosine", 5), [0.2, 0.0109262]),
    ],
)
def test_a_run_of_old_goes_on_as_it_began(schedule: WarmupDecay, ends: list[float]) -> None:
    assert schedule.state_dict() == {"ends_exactly": True}
    schedule.load_state_dict({})  # lmtrain 0.1.0 kept nothing
    assert [schedule.factor(0, 0), schedule.factor(19, 0)] == pytest.approx(ends, rel=1e-5)
    later = WarmupDecay(20, "linear")
    later.load_state_dict(schedule.state_dict())
    assert later.factor(19, 0) == pytest.approx(0.05)
