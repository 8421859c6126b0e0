"""The whole model: what it predicts, what it shares, what it forgets."""

import math
import sys

import pytest
import torch

from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.cells import CELLS
from lmtrain.model.dropout import DropoutRates
from lmtrain.model.initialization import initialize
from lmtrain.model.language_model import LanguageModel, detach
from lmtrain.model.mixture_softmax import MixtureSoftmax
from lmtrain.model.noise import Noise
from lmtrain.model.sampled_softmax import SampledSoftmax
from lmtrain.model.softmax import Softmax
from lmtrain.training.optimizer import Optimizer

V = 13


def make(**options: object) -> LanguageModel:
    model = LanguageModel(V, 6, 8, 2, **options)
    initialize(model, torch.Generator().manual_seed(0))
    return model


def window() -> tuple[torch.Tensor, torch.Tensor]:
    tokens = torch.randint(0, V, (6, 3), generator=torch.Generator().manual_seed(1))
    return tokens[:-1], tokens[1:]


@pytest.mark.parametrize("cell", ["elman", "concat_elman", "lstm", "gru"])
def test_shapes_and_carried_state(cell: str) -> None:
    model = make(cell=cell)
    input_ids, targets = window()
    reading = model(input_ids, model.initial_state(3))
    assert reading.features.shape == (5, 3, 8)
    whole, at_once = model.loss(input_ids, targets, model.initial_state(3))
    first, between = model.loss(input_ids[:2], targets[:2], model.initial_state(3))
    second, after = model.loss(input_ids[2:], targets[2:], between.state)
    torch.testing.assert_close(first + second, whole)
    torch.testing.assert_close(after.state, at_once.state)
    torch.testing.assert_close(after.state, reading.state)


def test_zero_weights_predict_uniformly() -> None:
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    input_ids, targets = window()
    loss, _ = model.loss(input_ids, targets, model.initial_state(3))
    assert math.exp(loss.item() / targets.numel()) == pytest.approx(V, rel=1e-6)


def test_token_costs_sum_to_the_loss() -> None:
    model = make()
    input_ids, targets = window()
    loss, _ = model.loss(input_ids, targets, model.initial_state(3))
    features = model(input_ids, model.initial_state(3)).features
    costs = model.softmax.token_costs(features.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(costs.nats.sum(), loss)


def test_tied_weights_are_one_matrix() -> None:
    model = LanguageModel(V, 8, 8, 1, tie_weights=True)
    assert model.embedding.weight is model.softmax.weight
    assert "softmax.weight" not in dict(model.named_parameters())
    with pytest.raises(ValueError, match="embedding_dim"):
        LanguageModel(V, 6, 8, 1, tie_weights=True)


def test_layers_of_different_sizes() -> None:
    model = LanguageModel(V, 6, 8, 3, last_hidden_size=6, tie_weights=True)
    sizes = [(layer.input_size, layer.hidden_size) for layer in model.recurrent_layers()]
    assert sizes == [(6, 8), (8, 8), (8, 6)]
    state = model.initial_state(3)
    assert [tuple(tensor.shape for tensor in layer) for layer in state] == [((3, n),) * 2 for n in (8, 8, 6)]
    reading = model(window()[0], state)
    assert reading.features.shape == (5, 3, 6)
    assert model.softmax.logits(reading.features).shape == (5, 3, V)
    with pytest.raises(ValueError, match="the size of the last layer"):
        LanguageModel(V, 8, 8, 3, last_hidden_size=6, tie_weights=True)


@pytest.mark.parametrize("cell", ["lstm", "elman", "sru"])
def test_skip_connections_add_what_a_layer_reads(cell: str) -> None:
    model = LanguageModel(V, 6, 8, 3, cell=cell, skip_connections=True)
    for weight in model.parameters():
        torch.nn.init.uniform_(weight, -0.5, 0.5)
    input_ids, state = window()[0], model.initial_state(3)
    reading = model.eval()(input_ids, state)
    first, second, third = model.recurrent_layers()
    x1 = first(model.embedding(input_ids), state[0])[0]
    y2 = second(x1, state[1])[0]
    x2 = x1 + y2
    y3 = third(x2, state[2])[0]
    torch.testing.assert_close(reading.features, x2 + y3)
    torch.testing.assert_close(reading.raw, [x1, y2, y3])


def test_skip_connections_around_layers_of_zeros_pass_everything_on() -> None:
    model = LanguageModel(V, 6, 8, 3, skip_connections=True)
    initialize(model, torch.Generator().manual_seed(0))
    for layer in model.recurrent_layers()[1:]:
        for weight in layer.parameters():
            torch.nn.init.zeros_(weight)
    reading = model(window()[0], model.initial_state(3))
    torch.testing.assert_close(reading.features, reading.raw[0], rtol=0, atol=0)


def test_skip_connections_need_layers_of_one_size() -> None:
    with pytest.raises(ValueError, match="layers of one size"):
        LanguageModel(V, 6, 8, 3, last_hidden_size=6, skip_connections=True)


def test_a_softmax_without_a_row_for_each_word_is_not_tied() -> None:
    with pytest.raises(ValueError, match="one row a word"):
        LanguageModel(V, 8, 8, 1, tie_weights=True, softmax=AdaptiveSoftmax(8, V))


def test_a_mixture_is_tied_by_its_latent_vectors() -> None:
    model = LanguageModel(V, 6, 8, 1, tie_weights=True, softmax=MixtureSoftmax(8, V, 2, 6))
    assert model.embedding.weight is model.softmax.weight
    with pytest.raises(ValueError, match="embedding_dim"):
        LanguageModel(V, 8, 8, 1, tie_weights=True, softmax=MixtureSoftmax(8, V, 2, 6))


@pytest.mark.parametrize(
    "softmax", [AdaptiveSoftmax(8, V, [4, 8]), SampledSoftmax(8, V, 5), MixtureSoftmax(8, V, 2, 5)]
)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_any_softmax_predicts_in_any_precision(softmax: Softmax, precision: torch.dtype) -> None:
    model = make(softmax=softmax, precision=precision)
    input_ids, targets = window()
    state = model.initial_state(3)
    loss, _ = model.loss(input_ids, targets, state)
    loss.backward()
    assert torch.isfinite(loss)
    assert model.embedding.weight.grad.any()
    with torch.no_grad(), model.evaluating():
        features = model(input_ids, state).features
        costs = model.softmax.token_costs(features.flatten(0, 1), targets.flatten())
        log_probs = model.softmax.logits(features).log_softmax(-1)
    expected = -log_probs.gather(2, targets[..., None]).flatten()
    torch.testing.assert_close(costs.nats, expected)


def test_tied_gradient_is_that_of_both_uses() -> None:
    tied = LanguageModel(V, 8, 8, 1, tie_weights=True)
    initialize(tied, torch.Generator().manual_seed(0))
    apart = LanguageModel(V, 8, 8, 1)
    apart.load_state_dict(tied.state_dict())
    input_ids, targets = window()
    for model in (tied, apart):
        model.loss(input_ids, targets, model.initial_state(3))[0].backward()
    torch.testing.assert_close(
        tied.embedding.weight.grad, apart.embedding.weight.grad + apart.softmax.weight.grad
    )


def test_embedding_activation_is_applied() -> None:
    plain, bent = make(), make(embedding_activation="tanh")
    bent.load_state_dict(plain.state_dict())
    with torch.no_grad():
        plain.embedding.weight.tanh_()
    input_ids, _ = window()
    torch.testing.assert_close(
        plain(input_ids, plain.initial_state(3)).features, bent(input_ids, bent.initial_state(3)).features
    )


@pytest.mark.parametrize("place", ["input", "layers", "output"])
def test_dropout_acts_in_its_place_and_only_in_training(place: str) -> None:
    generator = torch.Generator().manual_seed(5)
    model = make(dropout=DropoutRates(**{place: 0.5}), noise=Noise(generator))
    input_ids, _ = window()
    state = model.initial_state(3)
    first, second = (model(input_ids, state).features for _ in range(2))
    assert not torch.equal(first, second)
    generator.manual_seed(5)
    again = model(input_ids, state).features
    assert torch.equal(first, again)
    if place == "output":
        assert 0.3 < (first == 0).float().mean() < 0.7
    model.eval()
    assert torch.equal(model(input_ids, state).features, model(input_ids, state).features)


def test_dropout_keeps_the_mean() -> None:
    model = make(dropout=DropoutRates(output=0.25), noise=Noise(torch.Generator().manual_seed(0)))
    dropped = model.dropouts[-1](torch.ones(200, 500))
    assert sorted(dropped.unique().tolist()) == pytest.approx([0.0, 1 / 0.75])
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)


def test_one_layer_has_no_place_between_layers() -> None:
    model = LanguageModel(V, 6, 8, 1, dropout=DropoutRates(layers=0.9))
    input_ids, _ = window()
    state = model.initial_state(3)
    assert torch.equal(model(input_ids, state).features, model(input_ids, state).features)


def test_detach_cuts_the_graph() -> None:
    model = make()
    input_ids, targets = window()
    state = model.loss(input_ids, targets, model.initial_state(3))[1].state
    assert any(s.requires_grad for layer in state for s in layer)
    assert not any(s.requires_grad for layer in detach(state) for s in layer)


def test_unknown_cell_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lstm.*relu"):
        LanguageModel(V, cell="lstm", activation="relu")


@pytest.mark.parametrize("is_sampled", [False, True])
def test_tied_weights_are_trained_the_same_when_gradients_are_sparse(is_sampled: bool) -> None:
    weights = []
    for is_sparse in (False, True):
        noise = Noise(torch.Generator().manual_seed(3))
        softmax = SampledSoftmax(6, V, 4, noise=noise) if is_sampled else None
        model = LanguageModel(V, 6, 6, 1, tie_weights=True, softmax=softmax)
        initialize(model, torch.Generator().manual_seed(0))
        optimizer = Optimizer(model.parameters(), "sgd", 0.5, 0.3)
        if is_sparse:
            optimizer.add_gradient_of(model.use_sparse_gradients(), model.embedding.weight)
        words = torch.arange(12).view(4, 3) % V
        for step in range(3):
            loss, _ = model.loss(words, words.flip(0), model.initial_state(3))
            loss.backward()
            assert model.embedding.weight.grad.is_sparse == (is_sampled and is_sparse)
            optimizer.update(loss, 1.0, step)
        weights.append(model.embedding.weight.detach())
    torch.testing.assert_close(*weights)


def test_a_reading_has_the_outputs_of_each_layer_before_and_after_dropout() -> None:
    model = make(dropout=DropoutRates(0.5, 0.5, 0.5), noise=Noise(torch.Generator().manual_seed(5)))
    input_ids, _ = window()
    reading = model(input_ids, model.initial_state(3))
    assert reading.features is reading.dropped[-1]
    for raw, dropped, (h, _) in zip(reading.raw, reading.dropped, reading.state, strict=True):
        torch.testing.assert_close(raw[-1], h)
        torch.testing.assert_close(dropped, torch.where(dropped == 0, 0.0, 2 * raw))
        assert 0.2 < (dropped == 0).float().mean() < 0.8
    reading = model.eval()(input_ids, model.initial_state(3))
    assert all(map(torch.equal, reading.raw, reading.dropped))


def test_sizes_are_told_without_memory_and_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose import takes as long as that of torch: whoever scores a line would wait for it."""
    for module in ("torch._dynamo", "sympy"):
        monkeypatch.setitem(sys.modules, module, None)
    for cell, activation in CELLS:
        with torch.device("meta"):
            model = LanguageModel(V, 6, 8, 2, cell=cell, activation=activation)
        assert all(weight.is_meta for weight in model.parameters())
