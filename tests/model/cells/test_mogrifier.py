"""The Mogrifier LSTM against steps worked by hand, an LSTM, and the slope of its own outputs."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lmtrain.model.cells.lstm import LSTMLayer
from lmtrain.model.cells.mogrifier import MogrifierLayer

T, B, E, H = 4, 3, 5, 4
OPTIONS: list[dict[str, Any]] = [
    {"rounds": 0},
    {"rounds": 0, "cap_input_gate": True},
    {"rounds": 1},
    {"rounds": 2, "rank": 2},
    {"rounds": 5, "rank": 3, "cap_input_gate": True},
    {"rounds": 6},
]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return 0.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make(**options: Any) -> MogrifierLayer:
    layer = MogrifierLayer(E, H, **options)
    with torch.no_grad():
        for seed, parameter in enumerate(layer.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed))
    return layer


def states() -> tuple[Tensor, Tensor]:
    return draw(B, H, seed=98), draw(B, H, seed=99)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("is_capped", [False, True])
def test_a_step_of_three_rounds_by_hand(is_capped: bool) -> None:
    # Rows in the order input gate, forget gate, candidate, output gate.
    w, u, b = [0.5, -0.25, 1.5, 0.75], [0.1, 0.2, -0.3, 0.4], [0.0, 1.0, 0.5, -0.5]
    q1, r2, q3, biases = 0.8, -1.2, 0.6, [0.1, 0.2, -0.3]
    x, h, c = 2.0, -0.5, 0.8
    x1 = 2 * sigmoid(q1 * h + 0.1) * x
    h2 = 2 * sigmoid(r2 * x1 + 0.2) * h
    x3 = 2 * sigmoid(q3 * h2 - 0.3) * x1
    i, f, g, o = (w[k] * x3 + u[k] * h2 + b[k] for k in range(4))
    assert sigmoid(i) > 1 - sigmoid(f)
    gate = 1 - sigmoid(f) if is_capped else sigmoid(i)
    c_after = sigmoid(f) * c + gate * math.tanh(g)
    h_after = sigmoid(o) * math.tanh(c_after)

    layer = MogrifierLayer(1, 1, rounds=3, cap_input_gate=is_capped)
    values = [w, u, b, *(v for bias, q in zip(biases, (q1, r2, q3), strict=True) for v in ([bias], [q]))]
    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(value).reshape(parameter.shape))
    outputs, state = layer(torch.tensor([[[x]]]), (torch.tensor([[h]]), torch.tensor([[c]])))
    assert outputs.item() == pytest.approx(h_after, rel=1e-6)
    assert [s.item() for s in state] == pytest.approx([h_after, c_after], rel=1e-6)


@pytest.mark.parametrize("rounds", [0, 4])
def test_it_is_an_lstm_without_rounds_or_with_rounds_that_change_nothing(rounds: int) -> None:
    layer, lstm = make(rounds=rounds), LSTMLayer(E, H)
    lstm.load_state_dict({name: p for name, p in layer.state_dict().items() if "modulations" not in name})
    with torch.no_grad():
        for parameter in layer.modulations.parameters():
            parameter.zero_()  # 2σ(0) = 1
    inputs = draw(T, B, E, seed=97)
    outputs, after = layer(inputs, states())
    expected, expected_after = lstm(inputs, states())
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(after, expected_after)


def test_low_rank_is_a_product_of_two_matrices() -> None:
    low, full = make(rounds=3, rank=2), make(rounds=3)
    weights = low.state_dict()
    for i in range(3):
        first, second = (weights.pop(f"modulations.{i}.weights.{k}") for k in range(2))
        weights[f"modulations.{i}.weights.0"] = second @ first
    full.load_state_dict(weights)
    inputs = draw(T, B, E, seed=97)
    torch.testing.assert_close(low(inputs, states()), full(inputs, states()))


def test_shapes_of_the_maps() -> None:
    maps = [[tuple(w.shape) for w in m.weights] for m in make(rounds=2).modulations]
    assert maps == [[(E, H)], [(H, E)]]
    maps = [[tuple(w.shape) for w in m.weights] for m in make(rounds=2, rank=3).modulations]
    assert maps == [[(3, H), (E, 3)], [(3, E), (H, 3)]]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradient_is_the_slope(options: dict[str, Any]) -> None:
    layer = make(**options).double()
    names = [name for name, _ in layer.named_parameters()]
    leaves = [draw(T, B, E, seed=97), *states(), *layer.parameters()]
    leaves = [leaf.detach().double().requires_grad_() for leaf in leaves]

    def run(inputs: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(names, weights, strict=True))
        outputs, after = torch.func.functional_call(layer, named, (inputs, (h, c)))
        return outputs, *after

    assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gates_obey_the_equations(options: dict[str, Any]) -> None:
    layer, inputs, (h, c) = make(**options), draw(T, B, E, seed=97), states()
    i, f, g, o, cells, hidden = layer.gates(inputs, (h, c)).values()
    torch.testing.assert_close(cells, f * torch.cat([c[None], cells[:-1]]) + i * g)
    torch.testing.assert_close(hidden, o * cells.tanh())
    torch.testing.assert_close(hidden, layer(inputs, (h, c))[0])


def test_a_capped_cell_stays_within_one() -> None:
    layer = make(cap_input_gate=True)
    h, c = states()
    gates = layer.gates(20 * draw(50, B, E, seed=97), (h, c.clamp(-1, 1)))
    assert (gates["input"] <= 1 - gates["forget"]).all()
    assert gates["cell"].abs().max() <= 1
    assert make().gates(20 * draw(50, B, E, seed=97), (h, c))["cell"].abs().max() > 1


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_nothing_leaves_the_device(options: dict[str, Any]) -> None:
    with torch.device("meta"):
        layer = MogrifierLayer(E, H, **options)
        inputs = torch.empty(T, B, E, dtype=torch.bfloat16, requires_grad=True)
    outputs, (h, c) = layer(inputs, layer.initial_state(B))
    assert outputs.is_meta
    assert (outputs.dtype, h.dtype, c.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    outputs.float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())
