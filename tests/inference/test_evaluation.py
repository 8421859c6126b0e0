"""Perplexity: known values, an independent computation, and what must not change a figure."""

import dataclasses
import functools
import math
import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import (
    EOS,
    UNK,
    VOCAB,
    E,
    H,
    Lines,
    V,
    corpus_of,
    make_model,
    random_lines,
    texts,
    unigram_model,
)
from torch import Tensor, nn

from lmtrain.inference.evaluation import Evaluation, evaluate, perplexity
from lmtrain.inference.windows import held_out_windows, stream_windows
from lmtrain.model.dropout import DropoutRates
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.noise import Noise
from lmtrain.model.softmax import TokenCosts


def evaluated(model: LanguageModel, lines: Lines, context: str = "stream", **options: int) -> Evaluation:
    return evaluate(model, held_out_windows(corpus_of(lines), context, **options), VOCAB)


def same(a: Evaluation, b: Evaluation) -> bool:
    return (
        a.num_correct == b.num_correct
        and np.array_equal(a.counts_by_word, b.counts_by_word)
        and np.allclose(a.nats_by_word, b.nats_by_word, rtol=1e-6, atol=1e-9)
        and a.nll_nats == pytest.approx(b.nll_nats, rel=1e-6)
    )


@pytest.mark.parametrize("context", ["stream", "line"])
def test_a_uniform_model_has_perplexity_v(context: str) -> None:
    result = evaluated(unigram_model([1 / V] * V), random_lines(40), context)
    assert result.perplexity == pytest.approx(V, rel=1e-6)
    assert result.bits_per_word == pytest.approx(math.log2(V), rel=1e-6)
    assert result.loss == pytest.approx(math.log(V), rel=1e-6)
    assert result.nll_nats == pytest.approx(result.num_tokens * math.log(V), rel=1e-6)


@pytest.mark.parametrize("context", ["stream", "line"])
def test_figures_of_a_known_distribution(context: str) -> None:
    p = {"the": 0.3, "<eos>": 0.2, "cat": 0.1, "<unk>": 0.05, "sat": 0.15, "on": 0.1, "mat": 0.1}
    model = unigram_model([p[word] for word in VOCAB.words])
    result = evaluated(model, [["the", "dog", "sat"], [], ["<unk>"]], context)
    known = [p["the"], p["sat"], *3 * [p["<eos>"]]]
    assert result.num_tokens == 7
    assert result.num_eos == 3
    assert result.num_oov == 2  # "dog" and the literal <unk>
    assert result.oov_rate == pytest.approx(2 / 7)
    assert result.num_correct == 1  # "the" is always the most probable
    assert result.accuracy == pytest.approx(1 / 7)
    everything = math.prod([*known, p["<unk>"], p["<unk>"]])
    assert result.perplexity == pytest.approx(everything ** (-1 / 7), rel=1e-6)
    assert result.perplexity_without_unk == pytest.approx(math.prod(known) ** (-1 / 5), rel=1e-6)
    words = everything / p["<eos>"] ** 3
    assert result.perplexity_without_eos == pytest.approx(words ** (-1 / 4), rel=1e-6)


def test_of_equally_probable_words_the_first_counts() -> None:
    result = evaluated(unigram_model([1 / V] * V), [["the", "cat"], ["the"]])
    assert VOCAB.id_of("the") == 0
    assert (result.num_correct, result.num_tokens) == (2, 5)


@pytest.mark.parametrize("options", [{"context": "line"}, {"streams": 4}])
def test_padding_does_not_reach_the_softmax(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = make_model(), []
    costs_of = model.softmax.token_costs

    def watched(features: Tensor, targets: Tensor) -> TokenCosts:
        rows.append(len(features))
        return costs_of(features, targets)

    monkeypatch.setattr(model.softmax, "token_costs", watched)
    result = evaluated(model, random_lines(31), **options)
    assert sum(rows) == result.num_tokens


@pytest.mark.parametrize("context", ["stream", "line"])
def test_bfloat16_is_near(context: str) -> None:
    model, corpus = make_model(), corpus_of(random_lines(60))
    exact, near = (
        evaluate(model, held_out_windows(corpus, context), VOCAB, precision)
        for precision in (torch.float32, torch.bfloat16)
    )
    assert near.nll_nats != exact.nll_nats
    assert near.nll_nats == pytest.approx(exact.nll_nats, rel=0.01)
    assert model.precision == torch.float32


def test_the_limits_of_perplexity() -> None:
    assert perplexity(7 * math.log(3), 7) == pytest.approx(3)
    assert perplexity(1e9, 2) == math.inf
    assert math.isnan(perplexity(0.0, 0))


@settings(max_examples=40, deadline=None)
@given(lines=texts, window_len=st.integers(1, 70))
def test_the_window_length_changes_no_figure(lines: Lines, window_len: int) -> None:
    model, ids = make_model(), corpus_of(lines).ids
    windows = stream_windows(ids, EOS, window_len=window_len)
    assert same(evaluate(model, windows, VOCAB), evaluated(model, lines))


@settings(max_examples=40, deadline=None)
@given(lines=texts, batch_size=st.integers(1, 12))
def test_the_batch_size_changes_no_figure_in_line_context(lines: Lines, batch_size: int) -> None:
    model = make_model(cell="gru")
    assert same(evaluated(model, lines, "line", batch_size=batch_size), evaluated(model, lines, "line"))


@settings(max_examples=40, deadline=None)
@given(lines=texts)
def test_line_context_is_each_line_alone(lines: Lines) -> None:
    model = make_model()
    alone = [evaluated(model, [words]) for words in lines]
    assert same(evaluated(model, lines, "line"), functools.reduce(operator.add, alone))


def test_bands_hold_every_token_once() -> None:
    result = evaluated(make_model(), random_lines(60))
    bands = {band.name: band for band in result.bands()}
    assert list(bands) == ["1-7", "<eos>", "<unk>"]
    assert sum(band.num_tokens for band in bands.values()) == result.num_tokens
    assert sum(band.nll_nats for band in bands.values()) == pytest.approx(result.nll_nats)
    assert bands["<eos>"].num_tokens == 60
    assert bands["<unk>"].num_tokens == result.num_oov > 0
    total = result.nll_nats - bands["<eos>"].nll_nats
    assert result.perplexity_without_eos == pytest.approx(perplexity(total, result.num_tokens - 60))


@pytest.mark.parametrize(
    ("vocab_size", "names"), [(10, ["1-10"]), (11, ["1-10", "11-11"]), (250, ["1-10", "11-100", "101-250"])]
)
def test_bands_are_decades_of_ranks(vocab_size: int, names: list[str]) -> None:
    nats, counts = np.arange(vocab_size, dtype=np.float64), np.arange(vocab_size)
    bands = Evaluation(nats, counts, None, 0, 1, 1.0).bands()
    assert [band.name for band in bands] == [*names, "<eos>", "<unk>"]
    assert [band.num_tokens for band in bands[:1]] == [sum(range(2, 10))]
    assert sum(band.num_tokens for band in bands) == sum(range(vocab_size))


def test_what_is_not_known_of_one_text_is_not_known_of_two() -> None:
    one = evaluated(make_model(), random_lines(5))
    unknown = dataclasses.replace(one, num_correct=None)
    assert math.isnan(unknown.accuracy)
    assert (one + unknown).num_correct is None
    assert (one + one).accuracy == one.accuracy


@settings(max_examples=40, deadline=None)
@given(lines=texts, streams=st.integers(1, 9))
def test_streams_are_separate_texts(lines: Lines, streams: int) -> None:
    model, ids = make_model(), corpus_of(lines).ids
    count = min(streams, len(ids))
    cuts = [i * len(ids) // count for i in range(count + 1)]
    parts = [ids[a:b] for a, b in pairwise(cuts)]
    alone = [evaluate(model, stream_windows(part, EOS), VOCAB) for part in parts]
    result = evaluated(model, lines, streams=streams)
    assert result.num_tokens == sum(one.num_tokens for one in alone)
    assert result.nll_nats == pytest.approx(sum(one.nll_nats for one in alone), rel=1e-6)
    assert result.num_correct == sum(one.num_correct for one in alone)


class PlainLstm(nn.Module):
    """The same two-layer LSTM written with torch's own parts."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.embedding, self.softmax = nn.Embedding(V, E), nn.Linear(H, V)
        self.lstm = nn.LSTM(E, H, num_layers=2)
        ours: dict[str, Tensor] = dict(model.named_parameters())
        state = {name: ours[name] for name in ("embedding.weight", "softmax.weight", "softmax.bias")}
        for i in range(2):
            state[f"lstm.bias_hh_l{i}"] = torch.zeros(4 * H)
            for theirs, name in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"), ("bias_ih", "bias")):
                state[f"lstm.{theirs}_l{i}"] = ours[f"layers.{i}.{name}"]
        self.load_state_dict(state)

    @torch.no_grad()
    def costs(self, ids: Sequence[int]) -> Tensor:
        """-ln p of each token, read in one go after an ``<eos>``."""
        outputs, _ = self.lstm(self.embedding(torch.tensor([EOS, *ids[:-1]])[:, None]))
        return nn.functional.cross_entropy(self.softmax(outputs[:, 0]), torch.tensor(ids), reduction="none")


def test_stream_context_equals_torchs_own_lstm() -> None:
    model, lines = make_model(), random_lines(60)
    ids = corpus_of(lines).ids.tolist()
    costs = PlainLstm(model).costs(ids).double()
    result = evaluated(model, lines)
    is_eos, is_unk = torch.tensor(ids) == EOS, torch.tensor(ids) == UNK
    assert is_unk.any()
    assert result.nll_nats == pytest.approx(costs.sum().item(), rel=1e-6)
    assert result.perplexity_without_eos == pytest.approx(costs[~is_eos].mean().exp().item(), rel=1e-6)
    assert result.perplexity_without_unk == pytest.approx(costs[~is_unk].mean().exp().item(), rel=1e-6)


def test_line_context_equals_torchs_own_lstm_line_by_line() -> None:
    model, lines = make_model(), random_lines(60)
    plain = PlainLstm(model)
    costs = torch.cat([plain.costs(VOCAB.encode_line(words)) for words in lines]).double()
    assert evaluated(model, lines, "line").nll_nats == pytest.approx(costs.sum().item(), rel=1e-6)


def test_context_matters() -> None:
    """Else the tests above would not tell one context from another."""
    model, lines = make_model(), random_lines(60)
    results = (evaluated(model, lines), evaluated(model, lines, "line"), evaluated(model, lines, streams=7))
    assert len({round(result.perplexity, 4) for result in results}) == 3


@pytest.mark.parametrize("is_training", [True, False])
def test_the_model_is_left_as_it_was_and_drops_nothing(is_training: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    model = make_model(dropout=DropoutRates(0.5, 0.5, 0.5), noise=Noise(generator)).train(is_training)
    drawn, weights = generator.get_state(), [p.clone() for p in model.parameters()]
    result = evaluated(model, random_lines(20))
    assert all(module.training == is_training for module in model.modules())
    assert torch.equal(generator.get_state(), drawn)
    assert all(map(torch.equal, model.parameters(), weights))
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert same(result, evaluated(make_model(), random_lines(20)))


def test_the_mode_is_restored_after_a_fault() -> None:
    model = make_model().train()

    def fail(number: int) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model, map(fail, range(1)), VOCAB)
    assert model.training


@pytest.mark.parametrize("options", [{}, {"streams": 7}, {"context": "line"}])
def test_memory_is_independent_of_length(options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The model reads windows of bounded size, one after the other, and nothing keeps a graph."""
    sizes: list[int] = []
    model = make_model()
    forward = model.forward

    def watched(input_ids: Tensor, state: list[tuple[Tensor, ...]]) -> object:
        sizes.append(input_ids.numel())
        reading = forward(input_ids, state)
        assert not any(t.requires_grad for t in (reading.features, *sum(reading.state, ())))
        return reading

    monkeypatch.setattr(model, "forward", watched)
    context = options.pop("context", "stream")
    largest = []
    for length in (2_000, 8_000):
        sizes.clear()
        evaluated(model, random_lines(length), context, **options)  # type: ignore[arg-type]
        largest.append(max(sizes))
        assert len(sizes) > 2
    assert largest[0] == pytest.approx(largest[1], rel=0.01)
    assert max(largest) <= 4096
