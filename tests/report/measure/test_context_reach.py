"""Perplexity after the last k words: what it must be at either end, and that pairs are compared."""

import math

import numpy as np
import pytest
import torch
from tiny_models import VOCAB, make_model, unigram_model
from tiny_texts import random_corpus

from lmtrain.report.measure.context_reach import ContextCost, ContextReach, context_reach
from lmtrain.report.measure.held_out import HeldOutText
from lmtrain.report.measure.predictions import predict


@torch.no_grad()
@pytest.mark.parametrize("context", ["stream", "line"])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_each_cost_is_that_of_reading_the_last_words_alone(cell: str, context: str) -> None:
    model, corpus = make_model(cell=cell), random_corpus(60)
    text = HeldOutText(corpus, context)
    positions = text.sample(25, seed=4)
    found = context_reach(model, text, predict(model, text), positions, lengths=(1, 3, 100))
    before = np.concatenate(([VOCAB.eos_id], corpus.ids[:-1]))
    for cost, k in zip(found.costs, (1, 3, 100, None), strict=True):
        nats = []
        for position, length in zip(positions, text.context_lengths(positions), strict=True):
            seen = before[position + 1 - min(length, k or length) : position + 1]
            features = model(torch.tensor(seen)[:, None].long(), model.initial_state(1)).features
            nats.append(-float(model.softmax.logits(features[-1])[0].log_softmax(0)[corpus.ids[position]]))
        assert cost.loss == pytest.approx(np.mean(nats), rel=1e-5)
    assert found.costs[2].extra == pytest.approx(0.0, abs=1e-6)  # no context is longer
    assert found.costs[0].extra == pytest.approx(found.costs[0].loss - found.whole.loss)
    assert found.num_positions == 25


def test_a_model_without_memory_needs_one_word() -> None:
    model, text = (
        unigram_model([0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1]),
        HeldOutText(random_corpus(200), "stream"),
    )
    found = context_reach(model, text, predict(model, text), text.sample(100, seed=1))
    assert found.reach == 1
    assert [cost.extra for cost in found.costs] == pytest.approx([0.0] * 9, abs=1e-6)
    assert [cost.standard_error for cost in found.costs] == pytest.approx([0.0] * 9, abs=1e-6)


def test_the_reach_is_within_one_per_cent() -> None:
    def reach(*extras: float) -> int | None:
        costs = [ContextCost(10**i, 2.0 + extra, extra, 0.0) for i, extra in enumerate(extras)]
        return ContextReach(9, (*costs, ContextCost(None, 2.0, 0.0, 0.0))).reach

    assert reach(0.5, math.log(1.0101), math.log(1.0099), 0.0) == 100
    assert reach(0.5, 0.1) is None
    assert reach(0.0) == 1
