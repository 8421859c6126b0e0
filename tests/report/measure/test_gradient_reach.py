"""Gradients by the state k steps back: networks whose Jacobian is known, and finite differences."""

import numpy as np
import pytest
import torch
from tiny_models import VOCAB, H, make_model
from tiny_texts import text_of

from lmtrain.corpus.batching import IGNORED
from lmtrain.inference.windows import HeldOutWindow
from lmtrain.model.language_model import LanguageModel
from lmtrain.report.measure import gradient_reach as gradient_reach_module
from lmtrain.report.measure.gradient_reach import GradientReach, batch_norms, gradient_reach

T = 30


def linear_network(recurrence: torch.Tensor) -> LanguageModel:
    """r_t = M r_{t-1} + U x_t, and logits linear in it: the Jacobian from step to step is M everywhere."""
    model = make_model(cell="concat_elman", activation="relu")
    model.layers, model.dropouts = model.layers[:1], model.dropouts[:2]
    (layer,) = model.recurrent_layers()
    with torch.no_grad():
        layer.state_maps()[0].copy_(recurrence)
    return model


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.1])
def test_a_multiple_of_a_rotation_shrinks_or_grows_by_that_factor(factor: float) -> None:
    rotation, _ = torch.linalg.qr(torch.randn(H, H, generator=torch.Generator().manual_seed(3)))
    text = text_of(np.arange(120) % len(VOCAB))
    found = gradient_reach(linear_network(factor * rotation), text, bptt_len=10, num_positions=9, max_steps=T)
    assert found.whole == pytest.approx(factor ** np.arange(T), rel=1e-4)
    assert found.low == pytest.approx(found.high, rel=1e-4)
    assert found.parts["layer 1 h"] == pytest.approx(found.whole)
    assert found.peak == pytest.approx(max(1.0, factor ** (T - 1)), rel=1e-4)
    # 0.8 ** 20 = 0.0115, 0.8 ** 21 = 0.0092; k = 1 stands for the power 0
    assert found.reach == (22 if factor == 0.8 else None)
    assert found.verdict == "too short"


def test_a_few_words_with_huge_gradients_do_not_rule() -> None:
    fading = 0.5 ** np.arange(10)
    norms = np.tile(fading, (21, 2, 1))
    norms[:2] = 1e6  # of two words, which do not fade
    norms[2] = 0.0
    found = gradient_reach_module._summary(norms, ["layer 1 h"], 5)
    assert found.whole == pytest.approx(fading)
    assert found.parts["layer 1 h"] == pytest.approx(fading)
    assert found.mean == pytest.approx(1.0, abs=1e-4)
    assert found.reach == 8  # 0.5 ** 7 < 1 %
    assert (found.low <= found.whole).all()
    assert (found.whole <= found.high).all()


def test_a_network_through_which_no_gradient_passes_has_none_left() -> None:
    found = gradient_reach_module._summary(np.zeros((21, 2, 5)), ["layer 1 h"], 5)
    assert found.reach == 1


@pytest.mark.parametrize("cell", ["elman", "concat_elman", "lstm", "gru"])
def test_it_is_the_derivative_of_the_loss(cell: str) -> None:
    """Each state is moved a little, one number at a time, and the rest of the text is read again."""
    model = make_model(cell=cell).double()
    ids = torch.tensor([[0], [2], [4], [5], [1], [6]])
    targets = torch.tensor([[IGNORED]] * 5 + [[3]])
    with torch.enable_grad():
        norms = batch_norms(model, HeldOutWindow(ids, targets, np.array([6]), goes_on=False), 4)
    names = [(layer, part) for layer in range(2) for part in range(2 if cell == "lstm" else 1)]

    def loss(k: int, layer: int, part: int, unit: int, step: float) -> float:
        state = model(ids[:-k], model.initial_state(1)).state
        state[layer][part][0, unit] += step
        features = model(ids[-k:], state).features
        return float(model.softmax.logits(features[-1])[0].double().log_softmax(0)[3])

    with torch.no_grad():
        for k in (1, 3):
            squares = []
            for layer, part in names:
                difference = [
                    (loss(k, layer, part, unit, 1e-2) - loss(k, layer, part, unit, -1e-2)) / 2e-2
                    for unit in range(H)
                ]
                squares.append(np.square(difference).sum())
            assert norms[0, 1:, k - 1] == pytest.approx(np.sqrt(squares), rel=1e-2, abs=1e-5)
            assert norms[0, 0, k - 1] == pytest.approx(np.sqrt(np.sum(squares)), rel=1e-2)


def test_in_line_context_it_ends_at_the_start_of_the_line() -> None:
    line = np.array([0, 2, 4, 5, 6, 1])
    for num_lines, max_steps in ((20, 5), (10, 4)):  # 6 - k positions a line have k steps behind them
        text = text_of(np.tile(line, num_lines), context="line")
        found = gradient_reach(make_model(), text, bptt_len=None, max_steps=50)
        assert found.max_steps == max_steps
        assert found.verdict == "whole lines"


def test_a_short_text_is_followed_as_far_as_it_goes() -> None:
    found = gradient_reach(make_model(), text_of(np.array([0, 1])), bptt_len=35)
    assert found.max_steps == 1
    assert found.verdict == "unknown"


def reach_of(*norms: float, bptt_len: int | None = 4) -> GradientReach:
    whole = np.array(norms)
    return GradientReach(1, whole, whole, whole, whole, {}, bptt_len)


def test_the_reach_is_where_it_falls_below_one_per_cent_for_good() -> None:
    assert reach_of(1, 0.1, 0.009, 0.02, 0.009, 0.001).reach == 5
    assert reach_of(1, 0.1).reach is None


def test_verdicts() -> None:
    fading = (1, 0.1, 0.02, 0.001, 0.0001)
    assert reach_of(*fading, bptt_len=3).verdict == "too short"
    assert reach_of(*fading, bptt_len=4).verdict == "about right"
    assert reach_of(*fading, bptt_len=16).verdict == "about right"
    assert reach_of(*fading, bptt_len=17).verdict == "wasted"
    assert reach_of(1, 0.5, bptt_len=1).verdict == "too short"
    assert reach_of(1, 0.5, bptt_len=2).verdict == "unknown"
