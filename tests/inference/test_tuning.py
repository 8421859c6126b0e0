"""Values found by tuning are the best of those tried, and the weights between models the best there are."""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import corpus_of, make_model, random_lines

from lmtrain.corpus.corpus import Corpus
from lmtrain.errors import ModelError
from lmtrain.inference import tuning
from lmtrain.inference.adapt import Adaptation, Cache, Dynamic
from lmtrain.inference.mixture import interpolate, tune_weight
from lmtrain.inference.score import token_nats
from lmtrain.inference.tuning import Tuner, mixture_weights
from lmtrain.inference.windows import HeldOutWindow, ordered_windows

CORPUS = corpus_of([["the", "cat", "sat", "on", "the", "mat"]] * 12)
"""A text that repeats itself: what was read says much of what comes."""
OF_NGRAM = np.log(np.random.default_rng(1).uniform(0.05, 0.9, CORPUS.num_tokens))


def loss(how: Adaptation, weight: float | None = None, corpus: Corpus = CORPUS) -> float:
    windows = ordered_windows(corpus, "stream", how.window_len)
    nats = token_nats(make_model(), windows, corpus.num_tokens, strategy=how.strategy())
    return float((nats if weight is None else -interpolate(-nats, OF_NGRAM, weight)).mean())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_two_weights_are_those_of_the_halved_interval(seed: int) -> None:
    parts = np.random.default_rng(seed).dirichlet(np.ones(50), size=2) + 1e-6
    weights, found = mixture_weights(parts)
    best = tune_weight(*np.log(parts))
    assert found == pytest.approx(-np.log((1 - best) * parts[0] + best * parts[1]).mean(), abs=1e-5)
    assert weights.sum() == pytest.approx(1)


def test_weights_of_three_against_a_grid() -> None:
    parts = np.random.default_rng(3).uniform(0, 1, (3, 200)) ** 3
    _, found = mixture_weights(parts)
    grid = [w for w in itertools.product(np.linspace(0, 1, 41), repeat=2) if sum(w) <= 1]
    best = min(-np.log(np.array([a, b, 1 - a - b]) @ parts).mean() for a, b in grid)
    assert found <= best + 1e-6


def test_an_impossible_token_has_no_say() -> None:
    weights, found = mixture_weights(np.array([[0.0, 0.5], [0.0, 0.1]]))
    assert weights.tolist() == pytest.approx([1, 0], abs=1e-3)
    assert found == pytest.approx(math.log(2), rel=1e-3)


def test_what_is_certain_is_no_endless_search() -> None:
    assert mixture_weights(np.ones((2, 3))) == (pytest.approx([0.5, 0.5]), 0.0)


def test_a_cache_that_knows_all_leaves_the_model_a_share() -> None:
    found = Tuner(make_model(), corpus_of([["sat"] * 9_000])).tune(Adaptation(Cache(20)))
    assert found.adaptation.cache is not None
    assert 0.99 < found.adaptation.cache.weight < 1


def test_scores_that_are_no_numbers_are_told() -> None:
    model = make_model()
    model.softmax.bias.data[0] = math.nan
    with pytest.raises(ModelError, match="not numbers"):
        Tuner(model, CORPUS).tune(Adaptation(Cache(20)))


@pytest.mark.parametrize("with_ngram", [False, True])
def test_a_cache_and_a_temperature_against_all_that_are_tried(
    with_ngram: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "TEMPERATURES", (0.9, 1.2))
    monkeypatch.setattr(tuning, "THETAS", (0.0, 0.5))
    monkeypatch.setattr(tuning, "WINDOWS", (5,))
    tuner = Tuner(make_model(), CORPUS, of_ngram=OF_NGRAM if with_ngram else None)
    found = tuner.tune(Adaptation(Cache(window=30)))
    assert loss(found.adaptation, found.ngram_weight) == pytest.approx(found.loss, rel=1e-4)
    assert (found.ngram_weight is not None) == with_ngram
    for temperature, theta, window in itertools.product((0.9, 1.2), (0.0, 0.5), (5, 30)):
        for weight in (0.05, 0.2, 0.4, 0.6):
            other = Adaptation(Cache(window, theta, weight), None, temperature)
            assert loss(other, found.ngram_weight) >= found.loss - 1e-4


def test_a_rate_from_whose_neighbours_none_is_better() -> None:
    found = Tuner(make_model(), CORPUS).tune(Adaptation(dynamic=Dynamic(lr=0.001, every=3)))
    best = found.adaptation.dynamic
    assert best is not None
    assert best.lr != 0.001
    here = loss(Adaptation(dynamic=best))
    for factor in (0.5, 2.0):
        assert loss(Adaptation(dynamic=replace(best, lr=best.lr * factor))) >= here


def test_what_suits_the_beginning_alone_is_left_for_what_suits_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuning, "_LINE_TOKENS", 60)
    changing = corpus_of([*[["the", "cat", "sat"]] * 15, *random_lines(60, seed=2)])
    start, progress = Adaptation(dynamic=Dynamic(lr=0.02, every=3)), []

    def watch(windows: Iterable[HeldOutWindow], num_tokens: int) -> Iterator[HeldOutWindow]:
        progress.append([0, num_tokens])
        for window in windows:
            progress[-1][0] += len(window.positions)
            yield window

    def found_on(corpus: Corpus) -> Dynamic:
        best = Tuner(make_model(), corpus, watch=watch).tune(start).adaptation.dynamic
        assert best is not None
        return best

    of_beginning, of_whole = found_on(changing.beginning(60)), found_on(changing)
    assert of_whole.lr < of_beginning.lr
    assert loss(Adaptation(dynamic=of_whole), corpus=changing) < loss(
        Adaptation(dynamic=of_beginning), corpus=changing
    )
    assert all(read == announced for read, announced in progress)


def test_a_rate_that_runs_wild_is_none() -> None:
    found = Tuner(make_model(), CORPUS).tune(Adaptation(dynamic=Dynamic(lr=1e6, every=3)))
    assert found.adaptation.dynamic is not None
    assert found.adaptation.dynamic.lr < 1e3
    assert math.isfinite(found.loss)


def test_what_is_tuned_is_what_is_printed() -> None:
    found = Tuner(make_model(), CORPUS).tune(Adaptation(Cache(), Dynamic(every=4)))
    cache = found.adaptation.cache
    assert cache is not None
    assert float(f"{cache.weight:.4g}") == cache.weight
    assert loss(found.adaptation) == pytest.approx(found.loss, rel=1e-3)
    assert loss(found.adaptation) < loss(Adaptation())
