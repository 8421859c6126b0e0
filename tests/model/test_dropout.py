"""What is dropped, where, for how long, and that nothing is dropped when a model is evaluated."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lmtrain.model.cells import CELLS
from lmtrain.model.dropout import Dropout, DropoutRates, LockedDropout, WeightDropout
from lmtrain.model.initialization import initialize
from lmtrain.model.language_model import LanguageModel, Reading
from lmtrain.model.noise import Columns, Noise
from lmtrain.model.recurrent import RecurrentLayer

T, B, H, V = 5, 6, 4, 11
RECURRENT = [key for key, layer in CELLS.items() if layer(H, H).state_maps()]
"""The cells that multiply the state with a weight."""


def noise(seed: int = 7) -> Noise:
    return Noise(torch.Generator().manual_seed(seed))


def make(rates: DropoutRates, **options: object) -> LanguageModel:
    model = LanguageModel(V, 3, H, 2, dropout=rates, noise=noise(), **options)
    initialize(model, torch.Generator().manual_seed(0), init_range=0.5)
    for name, parameter in model.named_parameters():
        if "bias" in name:  # so that no unit is zero before it is dropped
            torch.nn.init.constant_(parameter, 0.1)
    return model


def read(model: LanguageModel, input_ids: Tensor) -> Reading:
    reading: Reading = model(input_ids, model.initial_state(input_ids.shape[1]))
    return reading


def random_ids(seed: int = 1) -> Tensor:
    return torch.randint(0, V, (T, B), generator=torch.Generator().manual_seed(seed))


def test_a_locked_mask_is_one_for_all_time_steps_of_a_window_and_each_stream_has_its_own() -> None:
    dropout, ones = LockedDropout(0.5, noise()), torch.ones(T, 50, 40)
    first, second = dropout(ones), dropout(ones)
    assert set(first.unique().tolist()) == {0.0, 2.0}
    for mask in (first, second):
        assert all(torch.equal(at_a_time, mask[0]) for at_a_time in mask)
        assert len(mask[0].unique(dim=0)) == 50
        assert float(mask[0].mean()) == pytest.approx(1.0, abs=0.1)
    assert not torch.equal(first, second)
    unlocked = Dropout(0.5, noise())(ones)
    assert not any(torch.equal(at_a_time, unlocked[0]) for at_a_time in unlocked[1:])


def test_a_rank_drops_what_its_columns_of_the_whole_batch_are_and_the_same_weights() -> None:
    ones, weight = torch.ones(T, B, H), torch.ones(7, 9)
    for layer, inputs, of_rank in ((LockedDropout, ones, ones[:, 2:4]), (WeightDropout, weight, weight)):
        mine = noise()
        mine.columns = Columns(slice(2, 4), B)
        whole = layer(0.4, noise())(inputs)
        assert torch.equal(layer(0.4, mine)(of_rank), whole[:, 2:4] if inputs is ones else whole)


@pytest.mark.parametrize("is_locked", [False, True])
def test_units_are_dropped_at_their_places(is_locked: bool) -> None:
    model = make(DropoutRates(input=0.5, layers=0.5, output=0.5, locked=is_locked))
    reading = read(model, random_ids())
    for raw, dropped in zip(reading.raw, reading.dropped, strict=True):
        ratio = dropped / raw
        assert set(ratio.unique().tolist()) == {0.0, 2.0}
        assert bool((ratio == ratio[0]).all()) == is_locked


def test_a_dropped_word_is_dropped_wherever_it_is_read_in_a_window() -> None:
    model = make(DropoutRates(words=0.5))
    seen: list[Tensor] = []
    model.dropouts[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    input_ids = torch.arange(V).repeat(B, 2).t()
    for _ in range(2):
        read(model, input_ids)
    for embedded in seen:
        ratio = (embedded / model.embedding(input_ids)).detach()
        assert set(ratio.unique().tolist()) == {0.0, 2.0}
        assert torch.equal(ratio, ratio[:V, :1, :1].repeat(2, B, 3))
    assert not torch.equal(*seen)
    seen[0].sum().backward()
    gradient = model.embedding.weight.grad
    assert torch.equal(gradient, 2 * B * (seen[0] / model.embedding(input_ids))[:V, 0].detach())


def test_a_tied_softmax_still_predicts_a_dropped_word() -> None:
    dropping = make(DropoutRates(words=0.5), last_hidden_size=3, tie_weights=True)
    features = torch.ones(1, 3)
    expected = features @ dropping.softmax.weight.t() + dropping.softmax.bias
    torch.testing.assert_close(dropping.softmax.logits(features), expected)


def recording(layer: RecurrentLayer, seen: list[Tensor]) -> Callable[[], Tensor]:
    original = layer.recurrent_weight

    def recurrent_weight() -> Tensor:
        weight = original()
        if weight.requires_grad and not weight.is_leaf:
            weight.retain_grad()
        seen.append(weight)
        return weight

    return recurrent_weight


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("cell", "activation"), RECURRENT)
def test_recurrent_weights_are_dropped_once_a_window_for_every_cell(
    cell: str, activation: str, precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weight that is multiplied with is masked: the bug to fear is a mask that nothing reads."""
    model = make(DropoutRates(recurrent=0.5), cell=cell, activation=activation, precision=precision)
    whole = make(DropoutRates(), cell=cell, activation=activation, precision=precision)
    layer, seen = model.recurrent_layers()[1], []
    monkeypatch.setattr(layer, "recurrent_weight", recording(layer, seen))
    masks = []
    for _ in range(3):
        seen.clear()
        model.zero_grad()
        reading = read(model, random_ids())
        used = {id(weight): weight for weight in seen}
        assert len(used) == 1
        (weight,) = used.values()
        mask = (weight / layer.state_weight()).detach()
        assert set(mask.unique().tolist()) == {0.0, 2.0}
        masks.append(mask)
        reading.features.float().square().sum().backward()
        raw = layer.weight if cell == "concat_elman" else layer.weight_hh
        torch.testing.assert_close(raw.grad[:, -H:], mask * weight.grad)
        with torch.no_grad():  # a model whose weight is the masked one computes the same
            twin = make(DropoutRates(), cell=cell, activation=activation, precision=precision)
            # The first layer has a mask of its own, so that the second is compared alone.
            twin.recurrent_layers()[1].state_weight().copy_(weight)
        expected, _ = twin.recurrent_layers()[1](reading.raw[0], twin.initial_state(B)[1])
        torch.testing.assert_close(reading.raw[1], expected)
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[1], masks[2])
    assert layer.recurrent_weight() is not weight
    assert torch.equal(layer.recurrent_weight(), layer.state_weight())
    model.eval()
    for of_model, of_whole in zip(read(model, random_ids()).raw, read(whole, random_ids()).raw, strict=True):
        assert torch.equal(of_model, of_whole)


@pytest.mark.parametrize(("cell", "activation"), [key for key in CELLS if key not in RECURRENT])
def test_a_cell_without_recurrent_weights_has_none_to_drop(cell: str, activation: str) -> None:
    make(DropoutRates(words=0.5), cell=cell, activation=activation)
    with pytest.raises(ValueError, match=f"'{cell}' has no recurrent weights to drop"):
        make(DropoutRates(recurrent=0.5), cell=cell, activation=activation)


def test_nothing_is_drawn_when_a_model_is_evaluated() -> None:
    everywhere = DropoutRates(input=0.5, layers=0.5, output=0.5, words=0.5, recurrent=0.5, locked=True)
    model, source = make(everywhere), noise()
    model.eval()
    expected = read(make(DropoutRates()), random_ids()).features
    assert torch.equal(read(model, random_ids()).features, expected)
    assert torch.equal(model.word_dropout._noise.state_dict()["generator"], source.state_dict()["generator"])
