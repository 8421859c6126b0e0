import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.errors import ModelError
from lmtrain.inference.mixture import interpolate, mean_probability, tune_weight

LOG_PROBS = st.floats(-30, 0)
PAIRS = st.lists(st.tuples(LOG_PROBS, LOG_PROBS), min_size=1, max_size=30)
WEIGHTS = st.floats(0, 1)


def likelihood(pairs: list[tuple[float, float]], weight: float) -> float:
    model, ngram = np.transpose(pairs)
    return float(interpolate(model, ngram, weight).sum())


def test_a_mixture_worked_by_hand() -> None:
    result = interpolate(np.log([0.5, 0.2]), np.log([0.1, 0.4]), 0.25)
    assert np.exp(result) == pytest.approx([0.4, 0.25])
    assert result.dtype == np.float64


@given(PAIRS, WEIGHTS)
def test_is_the_weighted_sum_of_the_probabilities(pairs: list[tuple[float, float]], weight: float) -> None:
    model, ngram = np.transpose(pairs)
    expected = (1 - weight) * np.exp(model) + weight * np.exp(ngram)
    assert np.exp(interpolate(model, ngram, weight)) == pytest.approx(expected, rel=1e-12, abs=0)


def test_the_ends_are_the_models_themselves() -> None:
    model = np.float32([-0.1, -math.inf, -3.3, math.nan])
    ngram = np.array([-math.inf, -0.2, math.nan, -7.7])
    np.testing.assert_array_equal(interpolate(model, ngram, 0), model.astype(np.float64))
    np.testing.assert_array_equal(interpolate(model, ngram, 1), ngram)


def test_an_impossible_word_is_possible_where_one_model_has_it() -> None:
    result = interpolate([-math.inf, 0.0, -math.inf], [0.0, -math.inf, -math.inf], 0.25)
    assert np.exp(result).tolist() == pytest.approx([0.25, 0.75, 0])


def test_probabilities_too_small_for_a_float_are_mixed() -> None:
    assert interpolate([-2000.0], [-2000.0], 0.3) == pytest.approx([-2000.0])
    assert interpolate([-2000.0], [-1000.0], 0.5) == pytest.approx([-1000.0 + math.log(0.5)])


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan, math.inf])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        interpolate([0.0], [0.0], weight)


def test_models_of_different_texts_are_refused() -> None:
    for function in (tune_weight, lambda model, ngram: interpolate(model, ngram, 0.5)):
        with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
            function([-1.0, -2.0], [-1.0])


def test_a_weight_tuned_by_hand() -> None:
    # The slope 2 · 0.5 / (0.25 + 0.5 w) - 0.5 / (0.75 - 0.5 w) is zero where 2 (0.75 - 0.5 w) = 0.25 + 0.5 w.
    model, ngram = np.log([0.25, 0.25, 0.75]), np.log([0.75, 0.75, 0.25])
    assert tune_weight(model, ngram) == pytest.approx(5 / 6, abs=1e-11)


@given(PAIRS)
def test_no_other_weight_gives_more(pairs: list[tuple[float, float]]) -> None:
    best = likelihood(pairs, tune_weight(*np.transpose(pairs)))
    others = [likelihood(pairs, weight) for weight in np.linspace(0, 1, 101)]
    assert best >= max(others) - 1e-9 * max(1, abs(best))


@given(PAIRS)
def test_the_slope_is_zero_at_the_optimum(pairs: list[tuple[float, float]]) -> None:
    model, ngram = np.exp(np.transpose(pairs))
    weight = tune_weight(*np.transpose(pairs))

    def slope(w: float) -> float:
        return float(np.sum((ngram - model) / ((1 - w) * model + w * ngram)))

    if weight < 1:
        assert slope(min(weight + 1e-9, 1)) <= 1e-9
    if weight > 0:
        assert slope(max(weight - 1e-9, 0)) >= -1e-9


@given(PAIRS, st.floats(-5, 5), st.randoms())
def test_depends_on_neither_order_nor_scale(
    pairs: list[tuple[float, float]], shift: float, random: Random
) -> None:
    model, ngram = np.transpose(pairs)
    weight = tune_weight(model, ngram)
    best = likelihood(pairs, weight)
    mixed = list(pairs)
    random.shuffle(mixed)
    for other in (mixed, [(m + shift, n + shift) for m, n in pairs], pairs + pairs):
        again = tune_weight(*np.transpose(other))
        assert likelihood(pairs, again) == pytest.approx(best, rel=1e-9, abs=1e-9)
    swapped = 1 - tune_weight(ngram, model)
    assert likelihood(pairs, swapped) == pytest.approx(best, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("model", "ngram", "expected"),
    [
        ([], [], 0),
        ([-1.0, -2.0], [-1.0, -2.0], 0),
        ([-1.0, -2.0], [-2.0, -3.0], 0),
        ([-2.0, -3.0], [-1.0, -2.0], 1),
        ([-math.inf, -math.inf], [-math.inf, -math.inf], 0),
        ([-math.inf], [-1.0], 1),
        ([-1.0], [-math.inf], 0),
        ([-math.inf, -1.0, -math.inf], [-2.0, -math.inf, -math.inf], 0.5),
        ([-2000.0, -1.0, -1.0, -1.0], [-1.0, -2000.0, -2000.0, -2000.0], 0.25),
    ],
)
def test_extreme_cases(model: list[float], ngram: list[float], expected: float) -> None:
    assert tune_weight(model, ngram) == pytest.approx(expected, abs=1e-11)


def test_nothing_is_tuned_on_what_is_not_a_number() -> None:
    with pytest.raises(ModelError, match="NaN"):
        tune_weight([-1.0, math.nan], [-1.0, -1.0])


def test_a_mean_of_probabilities_beyond_a_float() -> None:
    found = mean_probability([[1000.0, 0.0, np.inf, 2.0], [1000.0, np.inf, np.inf, 1.0]])
    expected = [1000.0, math.log(2), math.inf, -math.log((math.exp(-2) + math.exp(-1)) / 2)]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
