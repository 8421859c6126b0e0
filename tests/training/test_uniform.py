"""A loss that stays above ln V."""

import math

import pytest

from lmtrain.errors import DivergenceError
from lmtrain.training.uniform import UniformGuard

LN_V = math.log(1000)  # 6.9


def ends_at(losses: list[float], every: int = 50, *, again_each_line: bool = False) -> int | None:
    """The step at which the run ends; None if it does not."""
    guard = UniformGuard(1000)
    for line, loss in enumerate(losses, 1):
        if again_each_line:
            state, guard = guard.state_dict(), UniformGuard(1000)
            guard.load_state_dict(state)
        try:
            guard.check(line * every, loss)
        except DivergenceError:
            return line * every
    return None


@pytest.mark.parametrize("again_each_line", [False, True])
@pytest.mark.parametrize(
    ("losses", "every", "end"),
    [
        ([LN_V] * 9, 50, None),  # it warms up, or does not learn
        ([1.04 * LN_V] * 9, 50, None),
        ([101.3, 165.2, 201.9, 220.4], 25, 75),
        ([101.3, 165.2, 201.9, 220.4], 50, 150),
        ([39.7, 34.5, 34.7, 49.4, 43.1, 34.0], 50, 250),  # down once, which is learning
        ([30.0, 25.0, 20.0, 15.0, 10.0, 7.0, 6.0], 50, None),  # weights were large
        ([6.0, 5.0, 8.0, 9.0, 5.0, 8.0, 9.0, 4.0], 50, None),  # peaks
        ([6.0, 5.0, 8.0, 9.0, 8.5], 50, 250),
        ([8.0] * 60, 1, 50),  # three steps prove nothing
        ([6.0, 5.0, 8.0, 9.0, 8.5, 7.0], 1, None),
    ],
)
def test_when_a_run_ends(losses: list[float], every: int, end: int | None, again_each_line: bool) -> None:
    assert ends_at(losses, every, again_each_line=again_each_line) == end


def test_it_is_told_before_and_once() -> None:
    guard = UniformGuard(1000, ends_run=False)
    told = [guard.check(50 * line, 100.0 + line) for line in range(1, 8)]
    assert [line for line, text in enumerate(told, 1) if text] == [2]
    assert told[1] == (
        "at step 100 train/loss is 102 and no longer falls; guessing all words alike would cost "
        "ln V = 6.908; lower train.optimizer.lr"
    )


def test_the_end_names_what_to_do() -> None:
    guard = UniformGuard(1000)
    guard.check(50, 100.0)
    guard.check(100, 100.0)
    with pytest.raises(DivergenceError, match=r"step 150 .* lower train\.optimizer\.lr, or set .*: false"):
        guard.check(150, 100.0)
