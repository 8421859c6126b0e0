"""The simple recurrent unit against steps worked by hand."""

import math

import pytest
import torch
from torch import Tensor

from lmtrain.model.cells.sru import SRULayer

T, B, H = 6, 3, 4


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def make(input_size: int) -> SRULayer:
    layer = SRULayer(input_size, H)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0.0, 0.5, generator=generator)
    return layer


@pytest.mark.parametrize("has_map", [False, True])
def test_two_steps_by_hand(has_map: bool) -> None:
    layer = SRULayer(2 if has_map else 1, 1)
    # Rows in the order candidate, forget gate, output gate, and what the highway carries.
    w, b = [1.5, -0.5, 0.75, 0.25], [0.1, 1.0, -0.5, 0.2]
    with torch.no_grad():
        weight = torch.tensor(w)[: len(layer.weight), None]
        layer.weight.copy_(weight if not has_map else torch.cat([weight, torch.zeros(4, 1)], dim=1))
        layer.bias.copy_(torch.tensor(b)[: len(layer.weight)])
    c, expected = 0.5, []
    for x in (2.0, -1.0):
        z, f, r, skipped = (w[k] * x + b[k] for k in range(4))
        c = sigmoid(f) * c + (1 - sigmoid(f)) * z
        expected.append(sigmoid(r) * c + (1 - sigmoid(r)) * (skipped if has_map else x))
    inputs = torch.tensor([2.0, -1.0]).view(2, 1, 1)
    outputs, (after,) = layer(
        torch.cat([inputs, inputs], dim=2) if has_map else inputs, (torch.tensor([[0.5]]),)
    )
    assert outputs.flatten().tolist() == pytest.approx(expected, rel=1e-6)
    assert after.item() == pytest.approx(c, rel=1e-6)


@pytest.mark.parametrize("input_size", [H, H + 1])
def test_gradient_is_the_slope(input_size: int) -> None:
    layer = make(input_size).double()
    generator = torch.Generator().manual_seed(1)
    names = [name for name, _ in layer.named_parameters()]
    leaves = [torch.randn(T, B, input_size, generator=generator), torch.randn(B, H, generator=generator)]
    leaves = [leaf.detach().double().requires_grad_() for leaf in (*leaves, *layer.parameters())]

    def run(inputs: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        outputs, after = torch.func.functional_call(
            layer, dict(zip(names, weights, strict=True)), (inputs, (c,))
        )
        return outputs, *after

    assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.parametrize("input_size", [H, H + 1])
def test_gates_obey_the_equations(input_size: int) -> None:
    layer = make(input_size)
    inputs, c = torch.linspace(-1, 1, T * B * input_size).view(T, B, -1), torch.full((B, H), 0.3)
    f, r, cells, hidden = layer.gates(inputs, (c,)).values()
    z, _, _, *mapped = torch.nn.functional.linear(inputs, layer.weight, layer.bias).split(H, dim=2)
    torch.testing.assert_close(cells, f * torch.cat([c[None], cells[:-1]]) + (1 - f) * z)
    torch.testing.assert_close(hidden, r * cells + (1 - r) * (mapped[0] if mapped else inputs))
    torch.testing.assert_close(layer(inputs, (c,)), (hidden, (cells[-1],)))


def test_no_matrix_is_between_states() -> None:
    layer = make(H)
    assert layer.state_maps() == ()
    assert layer.state_weight().shape == (0, H)


def test_nothing_leaves_the_device() -> None:
    with torch.device("meta"):
        layer, inputs = SRULayer(5, H), torch.empty(T, B, 5, dtype=torch.bfloat16, requires_grad=True)
    outputs, (c,) = layer(inputs, layer.initial_state(B))
    assert (outputs.is_meta, outputs.dtype, c.dtype) == (True, torch.bfloat16, torch.float32)
    outputs.float().sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
