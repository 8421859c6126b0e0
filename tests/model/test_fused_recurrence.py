"""The fused recurrences against torch's, in both precisions and by every path."""

from collections.abc import Callable

import pytest
import torch
from drawn import distance, draw
from torch import Tensor

from lmtrain.model.fused_recurrence import elman, lstm, lstm_step

T, B, E, H = 6, 3, 5, 4


def recurrence(
    function: Callable[..., tuple[Tensor, ...]], inputs: list[Tensor], dtype: torch.dtype
) -> list[Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    outputs = function(leaves[0].to(dtype), *leaves[1:])
    sum((o.float() * draw(*o.shape, seed=9)).sum() for o in outputs).backward()
    return [*(o.detach() for o in outputs), *(leaf.grad for leaf in leaves)]


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1, T])
@pytest.mark.parametrize("is_relu", [False, True])
def test_elman_agrees_with_torch(dtype: torch.dtype, length: int, is_relu: bool) -> None:
    inputs = [draw(length, B, E), *(draw(*s, seed=1, scale=0.5) for s in [(B, H), (H, E), (H, H), (H,)])]
    theirs_function = torch.rnn_relu if is_relu else torch.rnn_tanh

    def theirs(x: Tensor, h: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        zeros = torch.zeros(H)
        return theirs_function(x, h[None], [*weights, zeros], True, 1, 0.0, True, False, False)[:1]

    ours = recurrence(lambda *a: (elman(*a, is_relu),), inputs, dtype)
    for got, expected in zip(ours, recurrence(theirs, inputs, torch.float32), strict=True):
        assert distance(got, expected) < (1e-6 if dtype == torch.float32 else 3e-2)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1, T])
def test_lstm_agrees_with_torch(dtype: torch.dtype, length: int) -> None:
    shapes = [(B, H), (B, H), (4 * H, E), (4 * H, H), (4 * H,)]
    inputs = [draw(length, B, E), *(draw(*s, seed=i, scale=0.5) for i, s in enumerate(shapes, 1))]

    def theirs(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        parameters = [*weights, torch.zeros(4 * H)]
        outputs, _, c = torch.lstm(x, (h[None], c[None]), parameters, True, 1, 0.0, True, False, False)
        return outputs, c[0]

    ours = recurrence(lstm, inputs, dtype)
    assert ours[1].dtype == torch.float32  # the cell
    for got, expected in zip(ours, recurrence(theirs, inputs, torch.float32), strict=True):
        assert distance(got, expected) < (1e-6 if dtype == torch.float32 else 3e-2)


@pytest.mark.usefixtures("library")
def test_lstm_step_agrees_with_torch() -> None:
    shapes = [(B, E), (B, H), (B, H), (4 * H, E), (4 * H, H), (4 * H,), (4 * H,)]
    x, h, c, *weights = (draw(*s, seed=i) for i, s in enumerate(shapes))
    with torch.inference_mode():
        torch.testing.assert_close(lstm_step(x, (h, c), *weights), torch.lstm_cell(x, (h, c), *weights))


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_gradients_are_those_of_finite_differences(cell: str) -> None:
    gates, function = (1, elman) if cell == "elman" else (4, lstm)
    states = [(B, H)] if cell == "elman" else [(B, H), (B, H)]
    shapes = [(T, B, E), *states, (gates * H, E), (gates * H, H), (gates * H,)]
    inputs = [draw(*s, seed=i).double().requires_grad_() for i, s in enumerate(shapes)]
    assert torch.autograd.gradcheck(function, inputs)
