"""Averages of weights worked by hand, when they begin, and what a model has meanwhile."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lmtrain.training.averaging import ExponentialAverage, TriggeredAverage


def weights(*values: float) -> dict[str, Tensor]:
    return {"a": torch.tensor(values), "b": torch.tensor([[-values[0]]])}


def step(trained: dict[str, Tensor], averaging: ExponentialAverage, *values: float) -> None:
    for name, weight in weights(*values).items():
        trained[name].copy_(weight)
    averaging.on_step()


def average_of(averaging: ExponentialAverage) -> list[float]:
    return averaging.evaluated_weights()["a"].tolist()


def test_before_any_step_the_weights_themselves_are_evaluated() -> None:
    trained = weights(1.0, 2.0)
    averaging = ExponentialAverage(trained, 0.5)
    trained["a"] += 1
    assert average_of(averaging) == [2.0, 3.0]
    assert averaging.state_dict()["weights"] is None


def test_an_exponential_average_by_hand() -> None:
    trained = weights(9.0, 9.0)
    averaging = ExponentialAverage(trained, 0.75)
    expected = [[8.0, 0.0], [6.0, 2.0], [6.0, 4.0], [6.5, 3.0], [5.875, 4.25]]
    # Shares of 1, 1/2, 1/3, then 1/4 for ever: from 6.5 a quarter of the way to 4 is 5.875.
    for values, average in zip(((8, 0), (4, 4), (6, 8), (8, 0), (4, 8)), expected, strict=True):
        step(trained, averaging, *values)
        assert average_of(averaging) == pytest.approx(average)
        assert averaging.evaluated_weights()["b"].item() == pytest.approx(-average[0])
        assert trained["a"].tolist() == list(values)


def test_a_triggered_average_is_the_mean_since_then() -> None:
    trained = weights(0.0, 0.0)
    averaging = TriggeredAverage(trained, nonmono=1)
    for loss in (3.0, 2.0, 2.5):
        step(trained, averaging, 100.0, 100.0)
        assert average_of(averaging) == [100.0, 100.0]
        averaging.on_evaluation(loss)
    step(trained, averaging, 50.0, 50.0)  # 2.5 is not above 3.0, the least of all but the last one
    assert average_of(averaging) == [50.0, 50.0]
    averaging.on_evaluation(2.1)  # above 2.0
    for values in ((1.0, 2.0), (3.0, 2.0), (5.0, 8.0)):
        step(trained, averaging, *values)
    assert average_of(averaging) == pytest.approx([3.0, 4.0])
    averaging.on_evaluation(0.1)  # once begun it goes on
    step(trained, averaging, 7.0, 8.0)
    assert average_of(averaging) == pytest.approx([4.0, 5.0])


@pytest.mark.parametrize("nonmono", [1, 2, 5])
def test_it_is_triggered_where_the_authors_code_switches(nonmono: int) -> None:
    losses = torch.rand(40, generator=torch.Generator().manual_seed(nonmono)).tolist()
    averaging, before = TriggeredAverage(weights(1.0, 1.0), nonmono), []
    for loss in losses:
        averaging.on_evaluation(loss)
        if len(before) > nonmono and loss > min(before[:-nonmono]):
            break
        assert not averaging._is_triggered
        before.append(loss)
    assert averaging._is_triggered
    assert nonmono < len(before) < 40


def test_a_model_has_the_average_for_a_block_and_its_own_weights_again() -> None:
    trained = weights(0.0, 0.0)
    memory = trained["a"].data_ptr()
    averaging = ExponentialAverage(trained, 0.9)
    step(trained, averaging, 1.1, 2.0)
    step(trained, averaging, 0.3, 7.0)
    average, raw = averaging.evaluated_weights()["a"].clone(), trained["a"].clone()

    def within() -> None:
        with averaging.standing_in():
            assert torch.equal(trained["a"], average)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        within()
    assert torch.equal(trained["a"], raw)
    assert torch.equal(averaging.evaluated_weights()["a"], average)
    assert trained["a"].data_ptr() == memory


def triggered(trained: dict[str, Tensor]) -> TriggeredAverage:
    return TriggeredAverage(trained, nonmono=1)


def exponential(trained: dict[str, Tensor]) -> ExponentialAverage:
    return ExponentialAverage(trained, decay=0.7)


@pytest.mark.parametrize("make", [exponential, triggered])
@pytest.mark.parametrize("num_steps", [0, 2, 3, 4, 6])
def test_continues_from_its_state(make: Any, num_steps: int) -> None:
    def run(trained: dict[str, Tensor], averaging: ExponentialAverage, first: int, last: int) -> None:
        for i in range(first, last):
            averaging.on_evaluation(float(i % 3))
            step(trained, averaging, 1.0 / (i + 1), float(i))

    trained = weights(0.5, 0.5)
    whole = make(trained)
    run(trained, whole, 0, num_steps)
    evaluated = {name: weight.clone() for name, weight in whole.evaluated_weights().items()}
    part = make(evaluated)  # the weights of a model that was read from a snapshot
    state = whole.state_dict()
    held = None if state["weights"] is None else {name: w.clone() for name, w in state["weights"].items()}
    part.load_state_dict({**state, "weights": held})
    run(trained, whole, num_steps, 9)
    run(evaluated, part, num_steps, 9)
    assert torch.equal(trained["a"], evaluated["a"])
    assert average_of(whole) == average_of(part) != trained["a"].tolist()


@pytest.mark.parametrize("other", [{"a": torch.zeros(1), "b": torch.zeros(1, 1)}, {"a": torch.zeros(2)}])
def test_the_state_of_other_weights_is_refused(other: dict[str, Tensor]) -> None:
    averaging = ExponentialAverage(weights(1.0, 1.0), 0.9)
    with pytest.raises(ValueError, match="not those of the model"):
        averaging.load_state_dict({"num_averaged": 3, "weights": other})
