"""First weights: their distribution, and that the generator alone decides."""

import math

import pytest
import torch

from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.initialization import initialize
from lmtrain.model.language_model import LanguageModel


def drawn(cell: str = "lstm", tie_weights: bool = False, **options: object) -> LanguageModel:
    model = LanguageModel(300, 64, 64, 2, cell=cell, tie_weights=tie_weights)
    initialize(model, torch.Generator().manual_seed(1), **options)
    return model


def test_uniform_fills_its_range() -> None:
    weight = drawn(init_range=0.05).softmax.weight
    assert weight.abs().max().item() == pytest.approx(0.05, rel=0.01)
    assert weight.std().item() == pytest.approx(0.05 / math.sqrt(3), rel=0.03)


def test_lecun_normal_has_the_variance_of_its_fan_in() -> None:
    model = drawn(init="lecun_normal")
    assert model.embedding.weight.std().item() == pytest.approx(1.0, rel=0.03)
    assert model.layers[0].weight_hh.std().item() == pytest.approx(1 / 8, rel=0.03)
    assert model.softmax.weight.std().item() == pytest.approx(1 / 8, rel=0.03)
    tied = drawn(init="lecun_normal", tie_weights=True)
    assert tied.softmax.weight.std().item() == pytest.approx(1 / 8, rel=0.03)


def test_clusters_are_drawn_like_other_weights() -> None:
    softmax = AdaptiveSoftmax(64, 3000, [1000])
    initialize(LanguageModel(3000, 64, 64, 1, softmax=softmax), torch.Generator(), init="lecun_normal")
    assert softmax.projections[0].std().item() == pytest.approx(1 / 8, rel=0.1)
    assert softmax.clusters[0].std().item() == pytest.approx(1 / 4, rel=0.03)
    assert not softmax.bias.any()


def test_biases_start_at_zero() -> None:
    model = drawn(cell="gru")
    biases = [p for name, p in model.named_parameters() if "bias" in name]
    assert len(biases) == 5
    assert not any(b.any() for b in biases)


@pytest.mark.parametrize("cell", ["elman", "concat_elman", "lstm", "gru"])
def test_recurrent_maps(cell: str) -> None:
    for kind in ("orthogonal", "identity"):
        model = drawn(cell=cell, recurrent_init=kind)
        for layer in model.layers:
            for square in layer.state_maps():
                torch.testing.assert_close(square @ square.t(), torch.eye(64), atol=1e-5, rtol=0)
                assert torch.equal(square, torch.eye(64)) == (kind == "identity")


@pytest.mark.parametrize("cell", ["lstm", "mogrifier"])
def test_forget_gate_bias_is_that_of_the_forget_gate(cell: str) -> None:
    bias = drawn(cell, forget_gate_bias=1.5).layers[0].bias
    assert bias.reshape(4, 64)[1].eq(1.5).all()
    assert not bias.reshape(4, 64)[[0, 2, 3]].any()


def test_the_generator_alone_decides() -> None:
    torch.manual_seed(7)
    first = drawn(recurrent_init="orthogonal")
    torch.manual_seed(8)
    second = drawn(recurrent_init="orthogonal")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
