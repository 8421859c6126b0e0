"""Penalties on activations, worked by hand."""

import pytest
import torch
from torch import Tensor

from lmtrain.model.language_model import Reading
from lmtrain.training.regularization import ActivationPenalty

RAW = torch.tensor([[[1.0, 2.0]], [[3.0, 2.0]], [[3.0, -1.0]]])  # (T, B, H) = (3, 1, 2)
DROPPED = torch.tensor([[[2.0, 0.0]], [[6.0, 0.0]], [[0.0, -2.0]]])


def reading(raw: Tensor = RAW, dropped: Tensor = DROPPED) -> Reading:
    first = torch.full((3, 1, 4), 9.0)
    return Reading([first, raw], [first, dropped], [])


@pytest.mark.parametrize(
    ("alpha", "beta", "expected"),
    [
        (1.0, 0.0, (4 + 36 + 4) / 6),
        (0.0, 1.0, (4 + 0 + 0 + 9) / 4),
        (2.0, 0.5, 2 * 44 / 6 + 0.5 * 13 / 4),
    ],
)
def test_by_hand(alpha: float, beta: float, expected: float) -> None:
    assert float(ActivationPenalty(alpha, beta).of(reading())) == pytest.approx(expected)


def test_gradients_reach_raw_outputs_and_dropped_ones_apart() -> None:
    raw, dropped = RAW.clone().requires_grad_(), DROPPED.clone().requires_grad_()
    ActivationPenalty(3.0, 2.0).of(reading(raw, dropped)).backward()
    torch.testing.assert_close(dropped.grad, 3.0 * 2 * DROPPED / 6)
    changes = torch.tensor([[[-2.0, 0.0]], [[2.0, 3.0]], [[0.0, -3.0]]])
    torch.testing.assert_close(raw.grad, 2.0 * 2 * changes / 4)


def test_a_window_of_one_word_changes_nothing_over_time() -> None:
    short = reading(RAW[:1], DROPPED[:1])
    assert float(ActivationPenalty(1.0, 5.0).of(short)) == pytest.approx(2.0)


def test_half_precision_is_summed_in_full() -> None:
    half = reading(RAW.bfloat16(), DROPPED.bfloat16())
    penalty = ActivationPenalty(1.0, 1.0).of(half)
    assert penalty.dtype == torch.float32
    assert float(penalty) == pytest.approx(44 / 6 + 13 / 4)
