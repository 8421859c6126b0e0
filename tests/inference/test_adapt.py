"""Strategies of reading that learn: each by its equations, and none ever sees a word before it is scored."""

import copy
import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import EOS, VOCAB, Lines, corpus_of, make_model, random_lines
from torch import Tensor

from lmtrain.inference.adapt import Adaptation, Cache, Dynamic, Statistics, gradient_roots
from lmtrain.inference.evaluation import evaluate
from lmtrain.inference.reader import Reader
from lmtrain.inference.score import Scorer, token_nats
from lmtrain.inference.windows import ordered_windows, stream_windows
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.cells import CELLS
from lmtrain.model.language_model import LanguageModel, detach
from lmtrain.model.mixture_softmax import MixtureSoftmax
from lmtrain.model.sampled_softmax import SampledSoftmax
from lmtrain.model.softmax import FullSoftmax, Softmax

IDS = corpus_of(random_lines(30)).ids
STATISTICS = {name: torch.rand_like(weight) + 0.1 for name, weight in make_model().named_parameters()}

CACHE = Adaptation(Cache(window=7, theta=0.8, weight=0.3))
SGD = Adaptation(dynamic=Dynamic(lr=0.05, every=3))
RMS = Adaptation(dynamic=Dynamic(lr=0.003, every=4, rule="rms", decay=0.02))
BOTH = Adaptation(CACHE.cache, SGD.dynamic, temperature=1.3)
ALL = (CACHE, SGD, RMS, BOTH, Adaptation(temperature=0.7))


def nats(
    model: LanguageModel,
    how: Adaptation,
    ids: npt.NDArray[np.int32] = IDS,
    statistics: Statistics = STATISTICS,
) -> npt.NDArray[np.float64]:
    windows = stream_windows(ids, EOS, window_len=min(how.window_len, 16))
    return token_nats(model, windows, len(ids), strategy=how.strategy(statistics))


@torch.no_grad()
def read_by_hand(model: LanguageModel) -> tuple[Tensor, Tensor]:
    """Log-probabilities (N, V) of all words, and what they are made from (N, H)."""
    inputs = torch.tensor([EOS, *IDS[:-1].tolist()])[:, None]
    (read, _), *_ = Reader(model).costs(stream_windows(IDS, EOS))
    assert read.window.input_ids.tolist() == inputs.tolist()
    return model.softmax.logits(read.features).log_softmax(1).double(), read.features.double()


def test_a_cache_is_the_sum_over_the_words_before() -> None:
    model = make_model()
    log_probs, contexts = read_by_hand(model)
    cache, expected = CACHE.cache, []
    assert cache is not None
    for t, word in enumerate(IDS.tolist()):
        probability = log_probs[t, word].exp().item()
        past = range(max(0, t - cache.window), t)
        if past:
            alike = [math.exp(cache.theta * float(contexts[t] @ contexts[i])) for i in past]
            same = [a for a, i in zip(alike, past, strict=True) if IDS[i] == word]
            probability = 0.7 * probability + 0.3 * sum(same) / sum(alike)
        expected.append(-math.log(probability))
    assert nats(model, CACHE).tolist() == pytest.approx(expected, rel=1e-4)


def test_a_cache_does_not_depend_on_how_the_text_is_cut() -> None:
    model = make_model()
    whole = nats(model, CACHE)
    for window_len in (1, 2, 50, len(IDS)):
        windows = stream_windows(IDS, EOS, window_len=window_len)
        cut = token_nats(model, windows, len(IDS), strategy=CACHE.strategy())
        assert cut.tolist() == pytest.approx(whole.tolist(), rel=1e-4)


def test_a_hit_is_the_most_probable_word_of_the_mixture() -> None:
    model = make_model()
    for how in (Adaptation(Cache(7, 0.8, 0.5)), replace(BOTH, cache=Cache(7, 0.8, 0.5)), SGD):
        windows = list(stream_windows(IDS, EOS, window_len=min(how.window_len, 16)))
        found = [found for _, found in Reader(model, strategy=how.strategy()).costs(windows)]
        details = [found for _, found in Reader(model, strategy=how.strategy()).details(windows)]
        hits = torch.cat([costs.hits for costs in found])
        assert hits.tolist() == (torch.cat([each.rank for each in details]) == 1).tolist()
        assert 0 < hits.sum() < len(IDS)


def test_what_is_impossible_for_a_float_has_a_cost() -> None:
    model = make_model()
    with torch.no_grad():
        model.softmax.bias[3] = -1000.0
    costs = nats(model, CACHE, np.array([3, 3], dtype=np.int32))
    assert costs[0] > 900
    assert costs[1] == pytest.approx(-math.log(0.3), rel=1e-4)  # all the cache has is this word


def test_a_temperature_divides_the_logits() -> None:
    model = make_model()
    log_probs, _ = read_by_hand(model)
    expected = -(log_probs / 0.7).log_softmax(1)[torch.arange(len(IDS)), torch.from_numpy(IDS).long()]
    assert nats(model, Adaptation(temperature=0.7)).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.03, 2.0])
def test_steps_of_sgd(decay: float) -> None:
    how = Adaptation(dynamic=Dynamic(lr=0.05, every=3, decay=decay))
    adapted, model = nats(make_model(), how), make_model()
    trained = [weight.detach().clone() for weight in model.parameters()]
    optimizer, state, expected = torch.optim.SGD(model.parameters(), 0.05), model.initial_state(1), []
    for step, window in enumerate(stream_windows(IDS, EOS, window_len=3), 1):
        reading = model(window.input_ids, state)
        state = detach(reading.state)
        logits = reading.features[:, 0] @ model.softmax.weight.t() + model.softmax.bias
        costs = torch.nn.functional.cross_entropy(logits, window.targets[:, 0], reduction="none")
        expected += costs.tolist()
        optimizer.zero_grad()
        costs.sum().backward()
        optimizer.step()
        if step % 10 == 0:
            for weight, before in zip(model.parameters(), trained, strict=True):
                weight.data += (1 - (1 - min(1, decay)) ** 10) * (before - weight.data)
    assert step > 20
    assert adapted.tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_full_softmax_descends_as_any_other(precision: torch.dtype) -> None:
    model = make_model()
    features, targets = torch.randn(9, 6).to(precision), torch.randint(7, (9,))
    other = copy.deepcopy(model.softmax)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if precision == torch.float32 else {"rtol": 0.02, "atol": 0.02}
    torch.testing.assert_close(
        model.softmax.descend(features, targets, 0.1),
        Softmax.descend(other, features, targets, 0.1),
        **tolerance,
    )
    for ours, theirs in zip(model.softmax.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance)


def test_tied_weights_get_both_gradients() -> None:
    torch.manual_seed(3)
    model = LanguageModel(7, 4, 4, 1, tie_weights=True)
    for weight in model.parameters():
        torch.nn.init.uniform_(weight, -0.5, 0.5)
    window, *_ = stream_windows(IDS[:6], EOS)
    strategy = Adaptation(dynamic=Dynamic(lr=0.1, every=6)).strategy()
    list(Reader(model, strategy=strategy).costs([window]))
    loss, _ = model.loss(window.input_ids, window.targets, model.initial_state(1))
    loss.backward()
    for trained, adapted in zip(model.parameters(), strategy.model.parameters(), strict=True):
        assert trained.grad is not None
        torch.testing.assert_close(adapted, trained - 0.1 * trained.grad, rtol=1e-4, atol=1e-6)


def test_a_step_of_rms() -> None:
    model, how = make_model(), RMS.dynamic
    assert how is not None
    strategy = RMS.strategy(STATISTICS)
    windows = list(stream_windows(IDS[:8], EOS, window_len=4))
    list(Reader(model, strategy=strategy).costs(windows[:1]))
    loss, _ = model.loss(windows[0].input_ids, windows[0].targets, model.initial_state(1))
    loss.backward()
    roots = torch.cat([root.flatten() for root in STATISTICS.values()])
    for (name, trained), adapted in zip(model.named_parameters(), strategy.model.parameters(), strict=True):
        root = STATISTICS[name]
        assert trained.grad is not None
        # The first step starts from the trained weights, to which nothing pulls back yet.
        expected = trained - how.lr * trained.grad / (root + 1e-8)
        torch.testing.assert_close(adapted, expected, rtol=1e-4, atol=1e-6)
    before = {name: weight.detach().clone() for name, weight in strategy.model.named_parameters()}
    strategy._descent.follow([torch.zeros_like(weight) for weight in before.values()])  # type: ignore[attr-defined]
    for (name, trained), adapted in zip(model.named_parameters(), strategy.model.parameters(), strict=True):
        pull = (how.decay * STATISTICS[name] / roots.mean()).clamp(max=1)
        torch.testing.assert_close(adapted, before[name] + pull * (trained - before[name]))


@pytest.mark.parametrize("how", ALL, ids=str)
def test_the_model_stays_as_it_is(how: Adaptation) -> None:
    model = make_model()
    before = [weight.clone() for weight in model.parameters()]
    first = nats(model, how)
    assert all(map(torch.equal, model.parameters(), before))
    assert nats(model, how).tolist() == first.tolist()


@settings(max_examples=15, deadline=None)
@given(how=st.sampled_from(ALL), cut=st.integers(1, 40), seed=st.integers(0, 1000))
def test_the_future_has_no_say(how: Adaptation, cut: int, seed: int) -> None:
    other = IDS.copy()
    other[cut:] = np.random.default_rng(seed).permutation(other[cut:])
    model = make_model()
    assert nats(model, how, other)[:cut].tolist() == pytest.approx(nats(model, how)[:cut].tolist(), rel=1e-5)


@pytest.mark.parametrize("how", ALL, ids=str)
def test_each_distribution_sums_to_one(how: Adaptation) -> None:
    model, total = make_model(), np.zeros(3)
    for word in range(len(VOCAB)):
        for i, place in enumerate((0, 5, 20)):
            ids = np.append(IDS[:place], np.int32(word))
            total[i] += math.exp(-nats(model, how, ids)[-1])
    assert total.tolist() == pytest.approx([1, 1, 1], rel=1e-5)


@pytest.mark.parametrize("how", ALL, ids=str)
def test_details_are_of_the_adapted_distribution(how: Adaptation) -> None:
    model = make_model()
    windows = list(stream_windows(IDS, EOS, window_len=min(how.window_len, 16)))
    details = [found for _, found in Reader(model, strategy=how.strategy(STATISTICS)).details(windows)]
    assert torch.cat([found.nats for found in details]).tolist() == pytest.approx(
        nats(model, how).tolist(), rel=1e-4
    )
    guessed = Reader(model, strategy=how.strategy(STATISTICS)).details(windows, 7)
    assert all(found.top_nats.neg().exp().sum(dim=1).allclose(torch.ones(1)) for _, found in guessed)
    evaluation = evaluate(model, windows, VOCAB, strategy=how.strategy(STATISTICS))
    assert sum(int((found.rank == 1).sum()) for found in details) >= evaluation.num_correct > 0  # type: ignore[operator]
    assert all(
        (found.entropy >= 0).all() and (found.entropy <= math.log(7) + 1e-6).all() for found in details
    )


@pytest.mark.parametrize("key", CELLS, ids=str)
@pytest.mark.parametrize("softmax", [FullSoftmax, AdaptiveSoftmax, SampledSoftmax, MixtureSoftmax])
@pytest.mark.parametrize("how", [SGD, RMS, BOTH], ids=str)
def test_every_cell_and_softmax(key: tuple[str, str], softmax: type, how: Adaptation) -> None:
    """Each adapts, and to nothing that it has not read yet."""
    more = {SampledSoftmax: (5,), AdaptiveSoftmax: ([3],), MixtureSoftmax: (2, 4)}.get(softmax, ())
    torch.manual_seed(1)
    model = LanguageModel(7, 4, 4, 1, cell=key[0], activation=key[1], softmax=softmax(4, 7, *more))
    for weight in model.parameters():
        torch.nn.init.uniform_(weight, -0.5, 0.5)
    statistics = {name: torch.full_like(weight, 0.5) for name, weight in model.named_parameters()}
    ids, cut = IDS[:60], 30
    found = nats(model, how, ids, statistics)
    assert np.isfinite(found).all()
    assert found.tolist() != pytest.approx(nats(model, Adaptation(), ids).tolist(), rel=1e-3)
    other = ids.copy()
    other[cut:] = np.random.default_rng(1).permutation(other[cut:])
    assert nats(model, how, other, statistics)[:cut].tolist() == pytest.approx(found[:cut].tolist(), rel=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Cache(window=0),
        lambda: Cache(theta=-1),
        lambda: Cache(weight=1),
        lambda: Dynamic(lr=0),
        lambda: Dynamic(every=0),
        lambda: Dynamic(rule="adam"),
        lambda: Dynamic(decay=-1),
        lambda: Adaptation(temperature=0),
        lambda: Adaptation(temperature=math.nan),
    ],
)
def test_values_out_of_range(wrong: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        wrong()  # type: ignore[operator]


def test_names_for_a_signature() -> None:
    assert str(Adaptation()) == "none"
    assert str(Adaptation(Cache())) == "cache(2000,0.3,0.1)"
    assert str(BOTH) == "cache(7,0.8,0.3)+dynamic(sgd,0.05,3,0.005)"
    assert str(RMS) == "dynamic(rms,0.003,4,0.02)"
    assert str(Dynamic(decay=0.0)) == "dynamic(sgd,0.02,20)"


def test_scores_are_those_at_the_moment_of_reading() -> None:
    model, lines = make_model(), random_lines(12)
    for how in ALL:
        for context in ("stream", "line"):
            together = scored(model, how, context, [lines])
            first = scored(model, how, context, [lines[:1]])
            assert together[: len(first)] == pytest.approx(first, rel=1e-5)
            other = [*lines[:6], *random_lines(5, seed=3)]  # the future has no say
            past = scored(model, how, context, [lines[:6]])
            assert scored(model, how, context, [other])[: len(past)] == pytest.approx(past, rel=1e-5)


@pytest.mark.parametrize("context", ["stream", "line"])
@pytest.mark.parametrize("how", ALL, ids=str)
def test_scores_do_not_depend_on_how_many_lines_come_at_once(how: Adaptation, context: str) -> None:
    """Lines come as a pipe brings them: the steps of descent are where those of an evaluation are."""
    model, lines = make_model(), random_lines(12)
    corpus = corpus_of(lines)
    windows = ordered_windows(corpus, context, how.window_len)
    expected = token_nats(model, windows, corpus.num_tokens, strategy=how.strategy(STATISTICS)).tolist()
    for size, with_details in ((1, False), (5, True), (12, False)):
        groups = [lines[start : start + size] for start in range(0, len(lines), size)]
        found = scored(model, how, context, groups, with_details=with_details)
        assert found == pytest.approx(expected, rel=1e-4)


def scored(
    model: LanguageModel, how: Adaptation, context: str, groups: list[Lines], *, with_details: bool = False
) -> list[float]:
    scorer = Scorer(model, VOCAB, context, adaptation=how, statistics=STATISTICS, with_details=with_details)
    return [cost for group in groups for line in scorer.score(group) for cost in line.nats.tolist()]


def test_roots_of_mean_square_gradients() -> None:
    model, windows = make_model(), list(stream_windows(IDS[:24], EOS, streams=2, window_len=6))
    squares = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    state = model.initial_state(2)
    for window in windows:
        loss, reading = model.loss(window.input_ids, window.targets, state)
        state = detach(reading.state)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        for name, gradient in zip(squares, gradients, strict=True):
            squares[name] += gradient**2 / len(windows)
    for name, root in gradient_roots(model, windows).items():
        torch.testing.assert_close(root, squares[name].sqrt(), rtol=1e-4, atol=1e-6)
