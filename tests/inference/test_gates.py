"""The values of gates: put together again by the equations of the cell, they give what the layer gave."""

import pytest
import torch
from tiny_models import E, H, V, make_model

from lmtrain.inference.gates import Gate, layer_gates, model_gates
from lmtrain.model.recurrent import CELLS, GRULayer, LSTMLayer, RecurrentLayer

T, B = 6, 3


def read(layer: RecurrentLayer) -> tuple[dict[str, torch.Tensor], torch.Tensor, tuple[torch.Tensor, ...]]:
    """The gates of a layer of random weights by name, what it wrote, and the state before."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0.0, 0.7, generator=generator)
    inputs = torch.randn(T, B, E, generator=generator)
    state = tuple(torch.randn(B, H, generator=generator) for _ in range(layer.num_states))
    with torch.no_grad():
        outputs, _ = layer(inputs, state)
    gates = layer_gates(layer, inputs, state, outputs)
    return {gate.name: gate.values for gate in gates}, outputs, state


def test_lstm() -> None:
    gates, outputs, (_, c) = read(LSTMLayer(E, H))
    i, f, g, o = (gates[n] for n in ("input gate i", "forget gate f", "candidate g", "output gate o"))
    for t in range(T):
        c = f[t] * c + i[t] * g[t]
        torch.testing.assert_close(o[t] * c.tanh(), outputs[t])


def test_gru() -> None:
    gates, outputs, (h,) = read(GRULayer(E, H))
    z, n = gates["update gate z"], gates["candidate n"]
    for t in range(T):
        h = (1 - z[t]) * n[t] + z[t] * h
        torch.testing.assert_close(h, outputs[t])
    assert ((gates["reset gate r"] > 0) & (gates["reset gate r"] < 1)).all()


@pytest.mark.parametrize("cell", [name for name in CELLS if "elman" in name[0]])
def test_units_of_cells_without_gates(cell: tuple[str, str]) -> None:
    gates, outputs, _ = read(CELLS[cell](E, H))
    torch.testing.assert_close(gates["unit"], outputs)


@pytest.mark.parametrize("cell", CELLS)
def test_a_model_has_them_for_each_layer(cell: tuple[str, str]) -> None:
    model = make_model(cell=cell[0], activation=cell[1])
    input_ids = torch.arange(T * B).view(T, B) % V
    found = model_gates(model, input_ids, model.initial_state(B))
    assert len(found) == 2
    assert {gate.values.shape for gates in found for gate in gates} == {(T, B, H)}
    assert found[0][0].values.requires_grad is False
    assert not any(layer._forward_hooks for layer in model.layers)
    if len(found[1]) == 1:  # what the top layer writes is what the softmax reads
        torch.testing.assert_close(found[1][0].values, model(input_ids, model.initial_state(B))[0].detach())


def test_a_cell_that_is_not_known() -> None:
    class Other(RecurrentLayer):
        pass

    with pytest.raises(TypeError, match="Other"):
        layer_gates(Other(E, H), torch.zeros(1, 1, E), (torch.zeros(1, H),), torch.zeros(1, 1, H))


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("sigmoid", [0.0, 0.05], [0.95]), ("tanh", [-0.95], [0.95]), ("relu", [0.0], [])],
)
def test_low_and_high(kind: str, low: list[float], high: list[float]) -> None:
    values = torch.tensor(
        {"sigmoid": [0.0, 0.05, 0.5, 0.95], "tanh": [-0.95, 0.0, 0.95], "relu": [0.0, 3.0]}[kind]
    )
    gate = Gate("gate", kind, values)
    assert values[gate.is_low].tolist() == pytest.approx(low)
    assert values[gate.is_high].tolist() == pytest.approx(high)
