"""Generated text: chosen from the right distribution, the same for the same seed, and as text."""

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import VOCAB, V, make_model, unigram_model

from lmtrain.corpus.vocab import Vocabulary
from lmtrain.inference.generate import Sampling, _inverse_cdf, generate, to_text
from lmtrain.model.dropout import DropoutRates
from lmtrain.model.language_model import LanguageModel

EOS, UNK = VOCAB.eos_id, VOCAB.unk_id
PROBABILITIES = (0.4, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02)  # of the; <unk> has 0.1
PROMPT = [VOCAB.id_of(word) for word in ("the", "cat", "sat")]


def by_hand(model: LanguageModel, prompt: list[int], number: int) -> list[int]:
    """The most probable word, word after word; <unk> left out."""
    words = list(prompt)
    with torch.no_grad():
        for _ in range(number):
            features, _ = model(torch.tensor([EOS, *words])[:, None], model.initial_state(1))
            logits = model.softmax.logits(features[-1, 0]).tolist()
            words.append(max((i for i in range(V) if i != UNK), key=logits.__getitem__))
    return words[len(prompt) :]


def frequencies(model: LanguageModel, sampling: Sampling, number: int = 4000) -> list[float]:
    """How often each word comes first after the prompt."""
    samples = generate(model, VOCAB, PROMPT, num_words=1, num_samples=number, sampling=sampling)
    counts = Counter(word for (word,) in samples)
    return [counts[i] / number for i in range(V)]


def agree(found: list[float], weights: list[float], number: int = 4000) -> bool:
    """Whether frequencies lie within five standard deviations; what has no weight must not occur."""
    expected = [weight / sum(weights) for weight in weights]
    return all(
        abs(f - p) <= 5 * math.sqrt(p * (1 - p) / number) for f, p in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "concat_elman"])
@pytest.mark.parametrize("prompt", [[], PROMPT])
def test_greedy_equals_an_argmax_loop(cell: str, prompt: list[int]) -> None:
    model = make_model(cell=cell)
    expected = by_hand(model, prompt, 20)
    found = generate(model, VOCAB, prompt, num_words=20, num_samples=2, sampling=Sampling(greedy=True))
    assert found == [expected, expected]


@settings(max_examples=30, deadline=None)
@given(prompt=st.lists(st.integers(0, V - 1), max_size=6), seed=st.integers(0, 2**63 - 1))
@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-9}])
def test_no_room_for_chance_is_greedy(options: dict[str, Any], prompt: list[int], seed: int) -> None:
    model = make_model()
    found = generate(model, VOCAB, prompt, num_words=8, sampling=Sampling(**options), seed=seed)
    assert found == generate(model, VOCAB, prompt, num_words=8, sampling=Sampling(greedy=True))


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 0.01}])
def test_a_tie_goes_to_the_same_word_as_in_argmax(options: dict[str, Any]) -> None:
    vocab = Vocabulary((*(f"w{i}" for i in range(500)), "<eos>", "<unk>"))
    model = LanguageModel(len(vocab), 2, 2, 1)
    for parameter in model.parameters():
        parameter.detach().zero_()
    model.softmax.bias.detach()[100:400] = 50.0  # 1/300 each
    ((found,),) = generate(model, vocab, [], num_words=1, sampling=Sampling(**options))
    ((greedy,),) = generate(model, vocab, [], num_words=1, sampling=Sampling(greedy=True))
    assert greedy == 100
    assert 100 <= found < 100 + (1 if "top_k" in options else 4)


def test_the_coldest_temperature_there_is() -> None:
    sampling = Sampling(temperature=5e-324)
    assert generate(make_model(), VOCAB, [], num_words=8, sampling=sampling) == [by_hand(make_model(), [], 8)]


def test_frequencies_of_a_known_distribution() -> None:
    found = frequencies(unigram_model(PROBABILITIES), Sampling(allow_unk=True))
    assert agree(found, list(PROBABILITIES))
    assert not agree(found, [1.0] * V)


def test_frequencies_after_a_prompt() -> None:
    model = make_model()
    with torch.no_grad():
        features, _ = model(torch.tensor([EOS, *PROMPT])[:, None], model.initial_state(1))
        probabilities = model.softmax.logits(features[-1, 0]).softmax(0).tolist()
    assert agree(frequencies(model, Sampling(allow_unk=True)), probabilities)
    probabilities[UNK] = 0.0
    assert agree(frequencies(model, Sampling()), probabilities)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_is_a_power_of_the_probabilities(temperature: float) -> None:
    found = frequencies(unigram_model(PROBABILITIES), Sampling(True, temperature))
    assert agree(found, [p ** (1 / temperature) for p in PROBABILITIES])


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(True, top_k=3), 3),
        (Sampling(True, top_k=V), V),
        (Sampling(True, top_k=1000), V),
        (Sampling(True, top_p=0.5), 2),  # 0.4 are not enough
        (Sampling(True, top_p=0.61), 3),
        (Sampling(True, top_p=1.0), V),
        (Sampling(True, top_k=3, top_p=0.7), 2),  # 0.6 of the 0.75 that are left
        (Sampling(True, top_k=1, top_p=0.9), 1),
    ],
)
def test_top_k_and_top_p_keep_the_most_probable_words(sampling: Sampling, kept: int) -> None:
    weights = [p if i < kept else 0.0 for i, p in enumerate(PROBABILITIES)]
    assert agree(frequencies(unigram_model(PROBABILITIES), sampling), weights)


@pytest.mark.parametrize("options", [{}, {"greedy": True}, {"top_k": 1}, {"top_p": 0.5}])
def test_unk_is_not_produced_unless_allowed(options: dict[str, Any]) -> None:
    model = unigram_model([0.02, 0.02, 0.02, 0.88, 0.02, 0.02, 0.02])

    def produces_unk(allow_unk: bool) -> bool:
        sampling = Sampling(allow_unk, **options)
        samples = generate(model, VOCAB, [UNK], num_words=40, num_samples=20, sampling=sampling)
        return any(UNK in sample for sample in samples)

    assert produces_unk(True)
    assert not produces_unk(False)


def test_the_seed_decides() -> None:
    model = make_model()
    first, again, other = (generate(model, VOCAB, PROMPT, num_words=30, seed=seed) for seed in (5, 5, 6))
    assert first == again != other


@pytest.mark.parametrize("number", [1, 2, 17, 100])
def test_a_sample_is_the_same_among_however_many(number: int) -> None:
    model = make_model()
    many = generate(model, VOCAB, PROMPT, num_words=12, num_samples=120)
    assert len({tuple(sample) for sample in many}) > 100
    assert generate(model, VOCAB, PROMPT, num_words=12, num_samples=number) == many[:number]


def test_a_longer_sample_starts_like_a_shorter_one() -> None:
    model = make_model()
    assert generate(model, VOCAB, [], num_words=50)[0][:20] == generate(model, VOCAB, [], num_words=20)[0]


@pytest.mark.parametrize(("num_words", "num_samples"), [(0, 3), (5, 0), (0, 0), (1, 1)])
def test_as_many_words_and_samples_as_asked_for(num_words: int, num_samples: int) -> None:
    samples = generate(make_model(), VOCAB, PROMPT, num_words=num_words, num_samples=num_samples)
    assert [len(sample) for sample in samples] == [num_words] * num_samples


@pytest.mark.parametrize("is_training", [True, False])
def test_the_model_and_the_generators_are_left_as_they_were(is_training: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    model = make_model(dropout=DropoutRates(0.5, 0.5, 0.5), generator=generator).train(is_training)
    drawn, drawn_by_torch = generator.get_state(), torch.get_rng_state()
    found = generate(model, VOCAB, PROMPT, num_words=20)
    assert torch.equal(generator.get_state(), drawn)
    assert torch.equal(torch.get_rng_state(), drawn_by_torch)
    assert all(module.training == is_training for module in model.modules())
    assert found == generate(make_model(), VOCAB, PROMPT, num_words=20)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("temperature", value) for value in (0.0, -1.0, math.inf, math.nan)),
        *(("top_k", value) for value in (0, -3)),
        *(("top_p", value) for value in (0.0, -0.1, 1.1, math.nan)),
    ],
)
def test_values_out_of_range_are_refused_by_name(option: str, value: float) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(ValueError, match=option.replace("_", "-")):
        Sampling(**options)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", ""),
        ("the cat", "the cat"),
        ("the <eos> cat sat <eos>", "the\ncat sat\n"),
        ("<eos> <eos> cat", "\n\ncat"),
    ],
)
def test_line_breaks_stand_for_eos(words: str, text: str) -> None:
    assert to_text(words.split()) == text


@given(
    weights=st.lists(st.sampled_from([0.0, 1e-30, 1e-7, 0.1, 1.0, 3.0]), min_size=1, max_size=40).filter(any),
    draw=st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, 1 - 2**-53])),
)
def test_the_word_is_where_the_cumulative_distribution_passes_the_draw(
    weights: list[float], draw: float
) -> None:
    probabilities = torch.tensor([weights], dtype=torch.float32)
    (word,) = _inverse_cdf(probabilities, torch.tensor([draw], dtype=torch.float64)).tolist()
    assert weights[word] > 0
    shares = probabilities[0].double() / probabilities.double().sum()
    assert shares[:word].sum() <= draw + 1e-6
    assert shares[: word + 1].sum() >= draw - 1e-6


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru", "concat_elman"])
@pytest.mark.parametrize("num_samples", [1, 5])
def test_one_step_is_as_a_window_of_one(cell: str, num_samples: int) -> None:
    model = make_model(cell=cell)
    words = torch.arange(num_samples)[None]
    state = model.initial_state(num_samples)
    with_gradient, after = model(words, state)
    with torch.inference_mode():
        without, after_without = model(words, state)
    torch.testing.assert_close(without, with_gradient.detach(), rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(sum(after_without, ()), sum(after, ()), strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_a_model_that_diverged_still_gives_words_of_its_vocabulary() -> None:
    words = _inverse_cdf(torch.full((3, 7), math.nan), torch.tensor([0.0, 0.5, 0.9], dtype=torch.float64))
    assert all(0 <= word < 7 for word in words.tolist())
