"""Gates of a whole model: layer upon layer, and nothing disturbed."""

import pytest
import torch
from tiny_models import H, make_model

from lmtrain.inference.gates import gate_activations
from lmtrain.model.dropout import DropoutRates


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("elman", ["hidden"]),
        ("concat_elman", ["recurrent", "hidden"]),
        ("lstm", ["input", "forget", "candidate", "output", "cell", "hidden"]),
        ("gru", ["reset", "update", "candidate", "hidden"]),
    ],
)
def test_names_shapes_and_the_state_they_end_in(cell: str, names: list[str]) -> None:
    model = make_model(cell=cell, embedding_activation="tanh")
    input_ids = torch.tensor([[0, 1], [2, 3], [4, 5]])
    activations = gate_activations(model, input_ids, model.initial_state(2))
    assert list(activations) == [f"layers.{i}/{name}" for i in range(2) for name in names]
    assert {tensor.shape for tensor in activations.values()} == {(3, 2, H)}
    with torch.no_grad():
        features, _ = model(input_ids, model.initial_state(2))
    torch.testing.assert_close(activations["layers.1/hidden"], features)


def test_a_model_in_training_is_left_as_it_was() -> None:
    generator = torch.Generator().manual_seed(7)
    model = make_model(dropout=DropoutRates(0.5, 0.5, 0.5), generator=generator, precision=torch.bfloat16)
    model.train()
    before = generator.get_state(), torch.get_rng_state()
    first, second = (gate_activations(model, torch.tensor([[1]]), model.initial_state(1)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert {tensor.dtype for tensor in first.values()} == {torch.float32}
    assert model.training
    assert model.precision == torch.bfloat16
    assert torch.equal(generator.get_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
