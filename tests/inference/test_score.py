"""Scores of words: an independent computation, the sums of an evaluation, and what must change nothing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import EOS, UNK, VOCAB, Lines, V, corpus_of, make_model, random_lines, texts, unigram_model
from torch.nn.functional import log_softmax

from lmtrain.errors import ModelError
from lmtrain.inference.evaluation import evaluate
from lmtrain.inference.score import ScoredLine, Scorer
from lmtrain.inference.windows import held_out_windows
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.softmax import FullSoftmax, Softmax


def nats(lines: list[ScoredLine]) -> list[float]:
    return [value for line in lines for value in line.nats.tolist()]


def read_alone(model: LanguageModel, ids: list[int]) -> torch.Tensor:
    """The log-probabilities of all words at each token, read word by word after an ``<eos>``."""
    state, rows = model.initial_state(1), []
    with torch.no_grad():
        for i in [EOS, *ids[:-1]]:
            reading = model(torch.tensor([[i]]), state)
            state = reading.state
            rows.append(log_softmax(model.softmax.logits(reading.features[0]), dim=1)[0])
    return torch.stack(rows)


@pytest.mark.parametrize("context", ["line", "stream"])
def test_scores_are_those_of_reading_word_by_word(context: str) -> None:
    model, lines = make_model(), random_lines(30)
    encoded = [VOCAB.encode_line(words) for words in lines]
    texts = encoded if context == "line" else [[i for line in encoded for i in line]]
    expected = [-row[i].item() for ids in texts for row, i in zip(read_alone(model, ids), ids, strict=True)]
    assert nats(Scorer(model, VOCAB, context).score(lines)) == pytest.approx(expected, rel=1e-5)


def test_entropy_and_rank() -> None:
    model, lines = make_model(), random_lines(30)
    scored = Scorer(model, VOCAB, with_details=True).score(lines)
    for words, line in zip(lines, scored, strict=True):
        ids = VOCAB.encode_line(words)
        rows = read_alone(model, ids).double()
        assert line.details is not None
        entropy = -(rows.exp() * rows).sum(dim=1) / math.log(2)
        assert line.details.entropy.tolist() == pytest.approx(entropy.tolist(), rel=1e-5)
        ranks = [
            sorted(row.tolist(), reverse=True).index(row[i].item()) + 1
            for row, i in zip(rows, ids, strict=True)
        ]
        assert line.details.rank.tolist() == ranks
    plain = Scorer(model, VOCAB).score(lines)
    assert plain[0].details is None
    assert nats(scored) == pytest.approx(nats(plain), rel=1e-5)


@pytest.mark.parametrize("num_guesses", [0, 1, 3, V + 5])
@pytest.mark.parametrize("softmax", [FullSoftmax(6, V), AdaptiveSoftmax(6, V, [2, 4], 2.0)])
def test_guesses_are_the_most_probable_words_in_each_place(num_guesses: int, softmax: Softmax) -> None:
    model, lines = make_model(softmax=softmax), random_lines(8)
    scored = Scorer(model, VOCAB, with_details=True, num_guesses=num_guesses).score(lines)
    for words, line in zip(lines, scored, strict=True):
        assert line.details is not None
        for row, guesses in zip(
            read_alone(model, VOCAB.encode_line(words)), line.details.guesses, strict=True
        ):
            found = row.sort(descending=True)
            assert [guess.word for guess in guesses] == [VOCAB.words[i] for i in found.indices[:num_guesses]]
            assert [-guess.nats for guess in guesses] == pytest.approx(
                found.values[:num_guesses].tolist(), rel=1e-4
            )


def test_details_of_scores_that_are_large() -> None:
    """What is added to the scores of all words changes nothing, not even by rounding."""
    p = [0.3, 0.2, 0.1, 0.05, 0.15, 0.1, 0.1]
    model = unigram_model(p)
    assert isinstance(model.softmax, FullSoftmax)
    with torch.no_grad():
        model.softmax.bias.copy_((model.softmax.bias * 1024).round() / 1024)  # so that the sum is exact
    near = Scorer(model, VOCAB, with_details=True).score([["the", "cat"]])[0]
    with torch.no_grad():
        model.softmax.bias += 4096
    far = Scorer(model, VOCAB, with_details=True).score([["the", "cat"]])[0]
    assert near.details is not None
    assert far.details is not None
    assert far.nats.tolist() == pytest.approx(near.nats.tolist(), rel=1e-6)
    assert far.details.entropy.tolist() == pytest.approx(near.details.entropy.tolist(), rel=1e-6)
    assert far.details.rank.tolist() == near.details.rank.tolist()


def test_what_is_not_a_number_is_no_score() -> None:
    model = unigram_model([math.nan] * V)
    with pytest.raises(ModelError, match="not numbers"):
        Scorer(model, VOCAB).score([["the"]])


def test_a_uniform_model_is_as_uncertain_as_can_be() -> None:
    (line,) = Scorer(unigram_model([1 / V] * V), VOCAB, with_details=True).score([["the", "cat"]])
    assert line.details is not None
    assert line.surprisal.tolist() == pytest.approx([math.log2(V)] * 3)
    assert line.details.entropy.tolist() == pytest.approx([math.log2(V)] * 3)
    assert line.details.rank.tolist() == [1, 1, 1]


def test_what_a_line_says_of_itself() -> None:
    p = {"the": 0.3, "<eos>": 0.2, "cat": 0.1, "<unk>": 0.05, "sat": 0.15, "on": 0.1, "mat": 0.1}
    (line,) = Scorer(unigram_model([p[w] for w in VOCAB.words]), VOCAB).score([["the", "dog", "<unk>"]])
    assert line.tokens == ["the", "dog", "<unk>", "<eos>"]
    assert line.is_unk == [False, True, True, False]
    assert line.scored_tokens == ["the", "<unk>", "<unk>", "<eos>"]
    assert line.log_prob == pytest.approx(math.log(0.3 * 0.05 * 0.05 * 0.2), rel=1e-5)
    assert line.surprisal.sum() == pytest.approx(-line.log_prob / math.log(2))


@settings(max_examples=30, deadline=None)
@given(lines=texts, context=st.sampled_from(["line", "stream"]))
def test_the_sum_is_that_of_an_evaluation(lines: Lines, context: str) -> None:
    model = make_model()
    result = evaluate(model, held_out_windows(corpus_of(lines), context), VOCAB)
    scored = Scorer(model, VOCAB, context).score(lines)
    assert -sum(line.log_prob for line in scored) == pytest.approx(result.nll_nats, rel=1e-6)
    assert sum(len(line.tokens) for line in scored) == result.num_tokens
    assert sum(sum(line.is_unk) for line in scored) == result.num_oov


@settings(max_examples=30, deadline=None)
@given(lines=texts, context=st.sampled_from(["line", "stream"]), data=st.data())
def test_lines_may_come_in_any_portions(lines: Lines, context: str, data: st.DataObject) -> None:
    model = make_model(cell="gru")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=4)))
    scorer = Scorer(model, VOCAB, context)
    portions = [lines[a:b] for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    scored = [line for portion in portions for line in scorer.score(portion)]
    whole = Scorer(model, VOCAB, context).score(lines)
    assert [line.tokens for line in scored] == [line.tokens for line in whole]
    assert nats(scored) == pytest.approx(nats(whole), rel=1e-5, abs=1e-6)


def test_the_order_is_kept_however_long_lines_are() -> None:
    model, lines = make_model(), random_lines(300, seed=2)
    scored = Scorer(model, VOCAB).score(lines)
    assert [line.tokens[:-1] for line in scored] == lines
    one_by_one = [Scorer(model, VOCAB).score([words])[0] for words in lines]
    assert nats(scored) == pytest.approx(nats(one_by_one), rel=1e-5, abs=1e-6)


def test_a_line_longer_than_any_window() -> None:
    model, words = make_model(), ["the", "cat", "sat"] * 3000
    (line,) = Scorer(model, VOCAB).score([words])
    expected = read_alone(model, VOCAB.encode_line(words))
    ids = torch.tensor(VOCAB.encode_line(words))
    assert -line.log_prob == pytest.approx(-expected.gather(1, ids[:, None]).double().sum().item(), rel=1e-5)


def test_details_of_an_adaptive_softmax() -> None:
    softmax = AdaptiveSoftmax(6, V, [2, 4], 2.0)
    model, lines = make_model(softmax=softmax), random_lines(10)
    for words, line in zip(lines, Scorer(model, VOCAB, with_details=True).score(lines), strict=True):
        rows = read_alone(model, VOCAB.encode_line(words))
        assert line.details is not None
        assert line.details.entropy.tolist() == pytest.approx(
            (-(rows.exp() * rows).sum(dim=1) / math.log(2)).tolist(), rel=1e-4
        )


def test_a_mixture_is_made_of_what_the_model_says() -> None:
    model, lines = make_model(), random_lines(5)
    plain = Scorer(model, VOCAB).score(lines)
    asked = []

    def mix(costs: np.ndarray, ids: np.ndarray) -> np.ndarray:
        asked.append((costs.tolist(), ids.tolist()))
        return costs / 2

    mixed = Scorer(model, VOCAB, mix=mix).score(lines)
    assert asked == [(nats(plain), corpus_of(lines).ids.tolist())]
    assert nats(mixed) == [value / 2 for value in nats(plain)]


def test_nothing_is_scored_as_nothing() -> None:
    scorer = Scorer(make_model(), VOCAB, "stream")
    assert scorer.score([]) == []
    (line,) = scorer.score([[]])
    assert line.tokens == ["<eos>"]


def test_the_model_is_left_as_it_was() -> None:
    model = make_model().train()
    Scorer(model, VOCAB).score(random_lines(3))
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert UNK in VOCAB.encode_line(["dog"])
