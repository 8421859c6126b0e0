"""One reading of a text: costs as evaluation finds them, and what they are summed up into."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import VOCAB, make_model, unigram_model
from tiny_texts import corpus_of, random_corpus

from lmtrain.inference.evaluation import Evaluation, evaluate
from lmtrain.inference.windows import held_out_windows
from lmtrain.report.measure.held_out import HeldOutText
from lmtrain.report.measure.predictions import (
    Predictions,
    calibration,
    costly_words,
    predict,
)


@pytest.mark.parametrize("context", ["stream", "line"])
def test_it_finds_what_evaluation_finds(context: str) -> None:
    model, corpus = make_model(), random_corpus(9000)
    found = predict(model, HeldOutText(corpus, context))
    expected = evaluate(model, held_out_windows(corpus, context), VOCAB)
    summed = Evaluation.of_tokens(found.ids, found.nats, VOCAB)
    assert summed.perplexity == pytest.approx(expected.perplexity, rel=1e-6)
    assert [(band.name, band.num_tokens) for band in summed.bands()] == [
        (band.name, band.num_tokens) for band in expected.bands()
    ]
    assert int(found.hits.sum()) == expected.num_correct
    assert found.ids.tolist() == corpus.ids.tolist()
    assert found.nats[found.ids == VOCAB.eos_id].sum() == pytest.approx(
        expected.nats_by_word[VOCAB.eos_id], rel=1e-5
    )


def test_calibration_of_a_model_that_says_one_half() -> None:
    """``the`` has probability 0.5 throughout; it comes in 3 of 4 tokens."""
    model = unigram_model([0.5, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
    corpus = corpus_of(np.array([0, 0, 0, VOCAB.eos_id] * 30))
    found = calibration(predict(model, HeldOutText(corpus, "stream")), num_bins=1)
    assert found.confidence == pytest.approx(0.5)
    assert found.accuracy == 0.75
    assert found.expected_error == pytest.approx(0.25)


def test_bins_hold_equally_many_and_weigh_by_that() -> None:
    confidence = np.array([0.1, 0.2, 0.3, 0.9, 0.8], np.float32)
    hits = np.array([False, False, True, True, False])
    found = calibration(Predictions(np.zeros(5, np.int32), confidence, confidence, hits), num_bins=2)
    assert [b.num_tokens for b in found.bins] == [3, 2]
    assert [b.confidence for b in found.bins] == pytest.approx([0.2, 0.85])
    assert [b.accuracy for b in found.bins] == pytest.approx([1 / 3, 0.5])
    assert found.expected_error == pytest.approx((3 * (1 / 3 - 0.2) + 2 * 0.35) / 5)


@given(
    st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60), st.integers(1, 20)
)
def test_the_error_is_at_least_the_difference_of_the_means(
    pairs: list[tuple[float, bool]], num_bins: int
) -> None:
    confidence = np.array([c for c, _ in pairs], np.float32)
    hits = np.array([hit for _, hit in pairs])
    found = calibration(Predictions(np.zeros(len(pairs), np.int32), confidence, confidence, hits), num_bins)
    assert found.accuracy == pytest.approx(hits.mean())
    assert abs(found.confidence - found.accuracy) - 1e-6 <= found.expected_error <= 1 + 1e-6
    assert sum(b.num_tokens for b in found.bins) == len(pairs)


def test_costly_words() -> None:
    ids, nats = [0] * 9 + [2] * 5 + [4] * 4, [1.0] * 9 + [1.5] * 5 + [9.0] * 4
    found = costly_words(Evaluation.of_tokens(np.array(ids), np.array(nats), VOCAB), VOCAB)
    assert [(w.word, w.count, w.nats) for w in found.in_all] == [
        ("sat", 4, 36),
        ("the", 9, 9),
        ("cat", 5, 7.5),
    ]
    assert [(w.word, w.mean_nats) for w in found.each_time] == [("cat", 1.5), ("the", 1.0)]  # "sat": too few
    assert found.total_nats == 52.5
