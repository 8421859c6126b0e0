"""Gates of a whole model: layer upon layer, and nothing disturbed."""

import pytest
import torch
from tiny_models import H, make_model

from lmtrain.inference.gates import Gate, gate_activations, model_gates
from lmtrain.model.cells import CELLS
from lmtrain.model.dropout import DropoutRates
from lmtrain.model.noise import Noise


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("elman", ["hidden"]),
        ("concat_elman", ["recurrent", "hidden"]),
        ("lstm", ["input", "forget", "candidate", "output", "cell", "hidden"]),
        ("gru", ["reset", "update", "candidate", "hidden"]),
    ],
)
@pytest.mark.parametrize("skip", [False, True])
def test_names_shapes_and_the_state_they_end_in(skip: bool, cell: str, names: list[str]) -> None:
    model = make_model(cell=cell, embedding_activation="tanh", skip_connections=skip)
    input_ids = torch.tensor([[0, 1], [2, 3], [4, 5]])
    activations = gate_activations(model, input_ids, model.initial_state(2))
    assert list(activations) == [f"layers.{i}/{name}" for i in range(2) for name in names]
    assert {tensor.shape for tensor in activations.values()} == {(3, 2, H)}
    with torch.no_grad():
        reading = model(input_ids, model.initial_state(2))
    torch.testing.assert_close([activations[f"layers.{i}/hidden"] for i in range(2)], reading.raw)


def test_a_model_in_training_is_left_as_it_was() -> None:
    generator = torch.Generator().manual_seed(7)
    model = make_model(dropout=DropoutRates(0.5, 0.5, 0.5), noise=Noise(generator), precision=torch.bfloat16)
    model.train()
    before = generator.get_state(), torch.get_rng_state()
    first, second = (gate_activations(model, torch.tensor([[1]]), model.initial_state(1)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert {tensor.dtype for tensor in first.values()} == {torch.float32}
    assert model.training
    assert model.precision == torch.bfloat16
    assert torch.equal(generator.get_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("cell", CELLS)
def test_what_can_be_saturated_of_each_cell(cell: tuple[str, str]) -> None:
    model = make_model(cell=cell[0], activation=cell[1])
    input_ids = torch.tensor([[0, 1], [2, 3], [4, 5]])
    gates = model_gates(model, input_ids, model.initial_state(2))
    of_lstm = ["input gate i", "forget gate f", "candidate", "output gate o"]
    expected = {
        "lstm": of_lstm,
        "gru": ["reset gate r", "update gate z", "candidate"],
        "mogrifier": of_lstm,
        "sru": ["forget gate f", "output gate o"],
    }
    assert [[gate.name for gate in layer] for layer in gates] == [expected.get(cell[0], ["unit"])] * 2
    for gate in (gate for layer in gates for gate in layer):
        assert gate.values.shape == (3, 2, H)
        low, high = {"sigmoid": (0, 1), "tanh": (-1, 1), "relu": (0, float("inf"))}[gate.kind]
        assert ((gate.values >= low) & (gate.values <= high)).all()
        assert gate.kind == ("sigmoid" if "gate" in gate.name else cell[1])


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
