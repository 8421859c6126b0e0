"""The choice of a word: filters, draws, and the log-probability that goes with it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.inference.sampling import Draws, Sampling, _filtered, _inverse_cdf, choose

CPU = torch.device("cpu")
WEIGHTS = st.lists(st.sampled_from([0.0, 1e-30, 1e-7, 0.1, 1.0, 3.0]), min_size=1, max_size=40).filter(any)
DRAW = st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, 1 - 2**-53]))


def kept_by_hand(p: list[float], sampling: Sampling) -> set[int]:
    """The words that the filters leave, one after the other."""
    ranked = sorted(range(len(p)), key=lambda i: (-p[i], i))[: sampling.top_k]
    if sampling.top_p is not None:
        total, before, nucleus = sum(p[i] for i in ranked), 0.0, []
        for i in ranked:
            if before < sampling.top_p * total:
                nucleus.append(i)
            before += p[i]
        ranked = nucleus
    return {i for i in ranked if p[i] > 0 and p[i] >= (sampling.min_p or 0) * p[ranked[0]]}


@given(
    weights=st.lists(st.lists(st.integers(0, 8), min_size=9, max_size=9).filter(any), min_size=1, max_size=4),
    top_k=st.none() | st.integers(1, 12),
    top_p=st.none() | st.sampled_from([0.01, 0.3, 0.51, 0.77, 0.9, 1.0]),
    min_p=st.none() | st.sampled_from([0.0, 0.2, 0.5, 1.0]),
)
def test_filters_keep_what_they_should_and_ties_go_to_the_first(
    weights: list[list[int]], top_k: int | None, top_p: float | None, min_p: float | None
) -> None:
    sampling = Sampling(top_k=top_k, top_p=top_p, min_p=min_p)
    probabilities = torch.tensor(weights, dtype=torch.float32) / 64  # exact, so that ties are ties
    before = probabilities.clone()
    found = _filtered(probabilities, sampling)
    for row, old, new in zip(weights, before.tolist(), found.tolist(), strict=True):
        kept = kept_by_hand([w / 64 for w in row], sampling)
        assert {i for i, p in enumerate(new) if p > 0} == kept
        assert all(new[i] == old[i] for i in kept)


@given(weights=WEIGHTS, draws=st.tuples(DRAW, DRAW))
def test_the_word_is_where_cumulative_distributions_pass_the_draws(
    weights: list[float], draws: tuple[float, float]
) -> None:
    p = torch.tensor([weights], dtype=torch.float32)
    (word,) = _inverse_cdf(p, torch.tensor([draws], dtype=torch.float64)).tolist()
    assert weights[word] > 0
    size = math.isqrt(len(weights) - 1) + 1
    blocks = [p[0, i : i + size].double() for i in range(0, len(weights), size)]
    sums = torch.stack([block.sum() for block in blocks])
    for shares, place, draw in (
        (sums / sums.sum(), word // size, draws[0]),
        (blocks[word // size] / sums[word // size], word % size, draws[1]),
    ):
        assert shares[:place].sum() <= draw + 1e-6
        assert shares[: place + 1].sum() >= draw - 1e-6


def test_a_model_that_diverged_still_gives_words_of_its_vocabulary() -> None:
    draws = torch.tensor([[0.0, 0.9], [0.5, 0.0], [0.9, 0.9]], dtype=torch.float64)
    for sampling in (Sampling(), Sampling(greedy=True), Sampling(top_k=3, top_p=0.5, min_p=0.1)):
        words, log_probs = choose(torch.full((3, 7), math.nan), draws, sampling, 3)
        assert all(0 <= word < 7 for word in words.tolist())
        assert log_probs.isnan().all()


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.3}, {"top_k": 2}, {"greedy": True}, {"min_p": 0.1}]
)
def test_log_probs_are_those_of_the_model_itself(options: dict[str, float]) -> None:
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(1))
    expected = logits.double().log_softmax(1)
    draws = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    words, log_probs = choose(logits.clone(), draws, Sampling(**options), 3)  # type: ignore[arg-type]
    torch.testing.assert_close(
        log_probs.double(), expected.gather(1, words[:, None])[:, 0], rtol=1e-5, atol=1e-5
    )
    assert 3 not in words


def test_a_model_sure_of_unk_gives_other_words_by_their_own_odds() -> None:
    logits = torch.tensor([[0.0, 1.0, 1.0, 500.0]]).repeat(300, 1)
    draws = torch.rand(300, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    words, log_probs = choose(logits, draws, Sampling(), 3)
    shares = words.bincount(minlength=4) / 300
    torch.testing.assert_close(shares, torch.tensor([0.0, 1.0, 1.0, -math.inf]).softmax(0), atol=0.1, rtol=0)
    assert ((log_probs == -499) | (log_probs == -500)).all()


def test_rows_draw_by_seed_prompt_and_number_alone() -> None:
    def drawn(seed: int, *rows: tuple[list[int], int]) -> list[list[list[float]]]:
        draws = Draws(seed, rows, CPU)
        return torch.stack([draws.next() for _ in range(70)], dim=1).tolist()  # type: ignore[no-any-return]

    rows: list[tuple[list[int], int]] = [([], 0), ([], 1), ([0], 0), ([0, 0], 0), ([5, 2], 0), ([2, 5], 0)]
    together = drawn(1, *rows)
    assert [drawn(1, row)[0] for row in rows] == together
    every = [pair for row in (*together, *drawn(2, *rows)) for pair in map(tuple, row)]
    assert len(set(every)) == 2 * len(rows) * 70
    assert all(0 <= x < 1 for pair in every for x in pair)


def test_rows_that_are_kept_go_on_as_before() -> None:
    rows: list[tuple[list[int], int]] = [([], i) for i in range(5)]
    draws, shorter = Draws(3, rows, CPU), Draws(3, rows, CPU)
    for _ in range(10):
        draws.next()
        shorter.next()
    keep = torch.tensor([1, 4])
    shorter.keep(keep)
    for _ in range(60):
        assert torch.equal(shorter.next(), draws.next()[keep])


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_min_p_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="--greedy"):
        Sampling(temperature=0.0)
    with pytest.raises(ValueError, match="min-p"):
        Sampling(min_p=value)


@pytest.mark.parametrize("temperature", [1e30, 1e39, 1e300])
def test_the_highest_temperatures_choose_among_all_words_but_unk(temperature: float) -> None:
    logits = torch.tensor([[0.0, 9.0, -9.0, 3.0]]).repeat(4, 1)
    draws = torch.tensor([(block, word) for block in (0.2, 0.8) for word in (0.2, 0.8)], dtype=torch.float64)
    words, log_probs = choose(logits, draws, Sampling(temperature=temperature), 3)
    assert set(words.tolist()) == {0, 1, 2}
    assert log_probs.isfinite().all()
