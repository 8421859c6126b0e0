"""Each cell against torch's own, against a step worked by hand, and against the laws of state."""

import math

import pytest
import torch
from torch import Tensor, nn

from lmtrain.model.cells import CELLS
from lmtrain.model.cells.concat_elman import ConcatElmanLayer
from lmtrain.model.cells.elman import ElmanLayer
from lmtrain.model.cells.gru import GRULayer
from lmtrain.model.cells.lstm import LSTMLayer
from lmtrain.model.recurrent import RecurrentLayer

T, B, E, H = 7, 3, 5, 4


def make(layer_class: type[RecurrentLayer], seed: int = 0) -> RecurrentLayer:
    layer = layer_class(E, H)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0.0, 0.5, generator=generator)
    return layer


def random_inputs(seed: int = 1) -> Tensor:
    return torch.randn(T, B, E, generator=torch.Generator().manual_seed(seed))


def random_state(layer: RecurrentLayer) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.randn(B, H, generator=generator) for _ in range(layer.num_states))


def torch_twin(layer: RecurrentLayer, cell: str, activation: str) -> nn.RNNBase:
    twin = {
        "elman": lambda: nn.RNN(E, H, nonlinearity=activation),
        "lstm": lambda: nn.LSTM(E, H),
        "gru": lambda: nn.GRU(E, H),
    }[cell]()
    with torch.no_grad():
        twin.weight_ih_l0.copy_(layer.weight_ih)
        twin.weight_hh_l0.copy_(layer.weight_hh)
        twin.bias_ih_l0.copy_(layer.bias)
        twin.bias_hh_l0.zero_()
        if isinstance(layer, GRULayer):
            twin.bias_hh_l0[2 * H :] = layer.bias_hh
    return twin


@pytest.mark.parametrize(
    ("cell", "activation"), [("elman", "tanh"), ("elman", "relu"), ("lstm", "tanh"), ("gru", "tanh")]
)
def test_values_and_gradients_agree_with_torch(cell: str, activation: str) -> None:
    layer = make(CELLS[cell, activation])
    twin = torch_twin(layer, cell, activation)
    ours, theirs = random_inputs().requires_grad_(), random_inputs().requires_grad_()
    state = random_state(layer)
    cost_of = torch.randn(T, B, H, generator=torch.Generator().manual_seed(3))

    outputs, state_after = layer(ours, state)
    ((outputs * cost_of).sum() + sum(s.sin().sum() for s in state_after)).backward()
    batched = tuple(s[None] for s in state)
    expected, expected_after = twin(theirs, batched if cell == "lstm" else batched[0])
    if cell != "lstm":
        expected_after = (expected_after,)
    ((expected * cost_of).sum() + sum(s.sin().sum() for s in expected_after)).backward()

    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-6)
    for got, want in zip(state_after, expected_after, strict=True):
        torch.testing.assert_close(got, want[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.weight_ih.grad, twin.weight_ih_l0.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.weight_hh.grad, twin.weight_hh_l0.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.bias.grad, twin.bias_ih_l0.grad, rtol=1e-5, atol=1e-5)
    if isinstance(layer, GRULayer):
        torch.testing.assert_close(layer.bias_hh.grad, twin.bias_hh_l0.grad[2 * H :], rtol=1e-5, atol=1e-5)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def one_unit(layer_class: type[RecurrentLayer], **weights: list[float]) -> RecurrentLayer:
    layer = layer_class(1, 1)
    with torch.no_grad():
        for name, values in weights.items():
            parameter = layer.get_parameter(name)
            parameter.copy_(torch.tensor(values).reshape(parameter.shape))
    return layer


def test_elman_step_by_hand() -> None:
    layer = one_unit(ElmanLayer, weight_ih=[0.5], weight_hh=[-1.5], bias=[0.25])
    outputs, (h,) = layer(torch.tensor([[[2.0]], [[-1.0]]]), (torch.tensor([[0.5]]),))
    first = math.tanh(-1.5 * 0.5 + 0.5 * 2.0 + 0.25)
    second = math.tanh(-1.5 * first + 0.5 * -1.0 + 0.25)
    assert outputs.flatten().tolist() == pytest.approx([first, second], rel=1e-6)
    assert h.item() == pytest.approx(second, rel=1e-6)


def test_concat_elman_step_by_hand() -> None:
    # Rows in the order output, recurrent state.
    layer = one_unit(ConcatElmanLayer, weight=[0.5, -1.5, 2.0, 0.75], bias=[0.25, -0.5])
    outputs, (r,) = layer(torch.tensor([[[2.0]], [[-1.0]]]), (torch.tensor([[0.5]]),))
    r1 = 2.0 * 2.0 + 0.75 * 0.5 - 0.5
    y1 = math.tanh(0.5 * 2.0 - 1.5 * 0.5 + 0.25)
    y2 = math.tanh(0.5 * -1.0 - 1.5 * r1 + 0.25)
    r2 = 2.0 * -1.0 + 0.75 * r1 - 0.5
    assert outputs.flatten().tolist() == pytest.approx([y1, y2], rel=1e-6)
    assert r.item() == pytest.approx(r2, rel=1e-6)


def test_lstm_step_by_hand() -> None:
    # Rows in the order input gate, forget gate, candidate, output gate.
    w, u, b = [0.5, -0.25, 1.5, 0.75], [0.1, 0.2, -0.3, 0.4], [0.0, 1.0, 0.5, -0.5]
    layer = one_unit(LSTMLayer, weight_ih=w, weight_hh=u, bias=b)
    x, h, c = 2.0, -0.5, 0.8
    i, f, g, o = (w[k] * x + u[k] * h + b[k] for k in range(4))
    c_after = sigmoid(f) * c + sigmoid(i) * math.tanh(g)
    h_after = sigmoid(o) * math.tanh(c_after)
    outputs, state = layer(torch.tensor([[[x]]]), (torch.tensor([[h]]), torch.tensor([[c]])))
    assert outputs.item() == pytest.approx(h_after, rel=1e-6)
    assert [s.item() for s in state] == pytest.approx([h_after, c_after], rel=1e-6)


def test_gru_step_by_hand() -> None:
    w, u, b, b_hh = [0.5, -0.25, 1.5], [0.1, 0.2, -0.3], [0.0, 1.0, 0.5], [0.6]
    layer = one_unit(GRULayer, weight_ih=w, weight_hh=u, bias=b, bias_hh=b_hh)
    x, h = 2.0, -0.5
    r, z = sigmoid(w[0] * x + u[0] * h + b[0]), sigmoid(w[1] * x + u[1] * h + b[1])
    n = math.tanh(w[2] * x + b[2] + r * (u[2] * h + b_hh[0]))
    outputs, _ = layer(torch.tensor([[[x]]]), (torch.tensor([[h]]),))
    assert outputs.item() == pytest.approx((1 - z) * n + z * h, rel=1e-6)


@pytest.mark.parametrize("key", list(CELLS), ids="-".join)
def test_state_carries_over_a_cut(key: tuple[str, str]) -> None:
    layer = make(CELLS[key])
    inputs, state = random_inputs(), random_state(layer)
    whole, whole_after = layer(inputs, state)
    first, between = layer(inputs[:3], state)
    second, after = layer(inputs[3:], between)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(after, whole_after)


@pytest.mark.parametrize("key", list(CELLS), ids="-".join)
def test_streams_do_not_mix(key: tuple[str, str]) -> None:
    layer = make(CELLS[key])
    inputs, state = random_inputs(), random_state(layer)
    together, _ = layer(inputs, state)
    alone, _ = layer(inputs[:, 1:2], tuple(s[1:2] for s in state))
    torch.testing.assert_close(alone, together[:, 1:2])


@pytest.mark.parametrize("key", list(CELLS), ids="-".join)
def test_gradient_is_the_slope(key: tuple[str, str]) -> None:
    layer = make(CELLS[key]).double()
    inputs = random_inputs().double()[:3].requires_grad_()
    state = tuple(s.double().requires_grad_() for s in random_state(layer))
    parameters = tuple(p.detach().clone().requires_grad_() for p in layer.parameters())
    names = [name for name, _ in layer.named_parameters()]

    def run(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        weights = dict(zip(names, rest[: len(names)], strict=True))
        outputs, after = torch.func.functional_call(layer, weights, (inputs, tuple(rest[len(names) :])))
        return outputs, *after

    assert torch.autograd.gradcheck(run, (inputs, *parameters, *state))


@pytest.mark.parametrize("key", list(CELLS), ids="-".join)
def test_bfloat16_outputs_and_float32_states(key: tuple[str, str]) -> None:
    layer = make(CELLS[key])
    inputs, state = random_inputs(), random_state(layer)
    outputs, after = layer(inputs.bfloat16(), state)
    expected, expected_after = layer(inputs, state)
    assert outputs.dtype == torch.bfloat16
    assert {s.dtype for s in after} == {torch.float32}
    for got, want in zip((outputs.float(), *after), (expected, *expected_after), strict=True):
        assert (got - want).abs().max() <= 0.05 * want.abs().max()


def test_initial_state_is_zero() -> None:
    for layer_class in CELLS.values():
        layer = make(layer_class)
        state = layer.initial_state(B)
        assert len(state) == layer.num_states
        assert all(s.shape == (B, H) and not s.any() for s in state)


@pytest.mark.parametrize("cell", CELLS)
def test_gates_end_in_what_the_layer_puts_out(cell: tuple[str, str]) -> None:
    layer = make(CELLS[cell])
    inputs, state = random_inputs(), random_state(layer)
    gates = layer.gates(inputs, state)
    outputs, after = layer(inputs, state)
    assert {tensor.shape for tensor in gates.values()} == {(T, B, H)}
    assert not any(tensor.requires_grad for tensor in gates.values())
    torch.testing.assert_close(gates["hidden"], outputs)
    last = gates[{"concat_elman": "recurrent", "sru": "cell"}.get(cell[0], "hidden")][-1]
    torch.testing.assert_close(last, after[0])


def test_gates_of_an_lstm_obey_its_equations() -> None:
    layer = make(LSTMLayer)
    inputs, (h, c) = random_inputs(), random_state(layer)
    i, f, g, o, cells, hidden = layer.gates(inputs, (h, c)).values()
    torch.testing.assert_close(cells, f * torch.cat([c[None], cells[:-1]]) + i * g)
    torch.testing.assert_close(hidden, o * cells.tanh())
    torch.testing.assert_close(cells[-1], layer(inputs, (h, c))[1][1])
    assert list(layer.gates(inputs, (h, c))) == ["input", "forget", "candidate", "output", "cell", "hidden"]


def test_gates_of_a_gru_obey_its_equations() -> None:
    layer = make(GRULayer)
    inputs, (h,) = random_inputs(), random_state(layer)
    r, z, n, hidden = layer.gates(inputs, (h,)).values()
    torch.testing.assert_close(hidden, (1 - z) * n + z * torch.cat([h[None], hidden[:-1]]))
    r_1 = (inputs[0] @ layer.weight_ih[:H].t() + h @ layer.weight_hh[:H].t() + layer.bias[:H]).sigmoid()
    torch.testing.assert_close(r[0], r_1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("num_steps", [1, T])
@pytest.mark.parametrize(
    ("cell", "activation"), [key for key, layer in CELLS.items() if layer(E, H).state_maps()]
)
def test_recurrent_weights_are_replaced_for_a_block(
    cell: str, activation: str, num_steps: int, dtype: torch.dtype
) -> None:
    layer, twin = make(CELLS[cell, activation]), make(CELLS[cell, activation])
    inputs, state = random_inputs()[:num_steps].to(dtype), random_state(layer)
    weight = (2 * layer.recurrent_weight().detach()).requires_grad_()
    with torch.no_grad():
        twin.recurrent_weight().copy_(weight)
    with layer.replacing(weight):
        outputs, after = layer(inputs, state)
        with torch.no_grad():  # the kernel of a single step, too
            torch.testing.assert_close(layer(inputs, state), twin(inputs, state))
    expected, expected_after = twin(inputs, state)
    assert torch.equal(outputs, expected)
    assert all(map(torch.equal, after, expected_after))
    outputs.float().square().sum().backward()
    expected.float().square().sum().backward()
    of_twin = {name: parameter.grad for name, parameter in twin.named_parameters()}
    name = "weight" if cell == "concat_elman" else "weight_hh"
    torch.testing.assert_close(weight.grad, of_twin[name][:, -H:])
    assert torch.equal(layer.recurrent_weight(), layer.state_weight())
    assert not torch.equal(layer(inputs, state)[0], expected)


@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_state_maps_are_rows_of_the_recurrent_weight(cell: str, activation: str) -> None:
    layer = make(CELLS[cell, activation])
    rows = layer.state_weight().split(H)
    for square in layer.state_maps():
        assert square.shape == (H, H)
        assert any(square.data_ptr() == row.data_ptr() for row in rows)
