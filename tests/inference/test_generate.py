"""Generated text: chosen from the right distribution, the same for the same seed, and as text."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import VOCAB, H, V, log_prob_of, make_model, unigram_model

from lmtrain.corpus.vocab import Vocabulary
from lmtrain.inference import generate as module
from lmtrain.inference.continuation import Continuation, Length, to_text
from lmtrain.inference.generate import generate, generate_many
from lmtrain.inference.sampling import Sampling
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.dropout import DropoutRates
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.noise import Noise

EOS, UNK = VOCAB.eos_id, VOCAB.unk_id
PROBABILITIES = (0.4, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02)  # of the; <unk> has 0.1
PROMPT = [VOCAB.id_of(word) for word in ("the", "cat", "sat")]


def by_hand(model: LanguageModel, prompt: list[int], number: int) -> list[int]:
    """The most probable word, word after word; <unk> left out."""
    words = list(prompt)
    with torch.no_grad():
        for _ in range(number):
            features = model(torch.tensor([EOS, *words])[:, None], model.initial_state(1)).features
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
        features = model(torch.tensor([EOS, *PROMPT])[:, None], model.initial_state(1)).features
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
        (Sampling(True, min_p=0.49), 2),
        (Sampling(True, min_p=0.0), V),
        (Sampling(True, min_p=1.0), 1),
        (Sampling(True, top_k=5, min_p=0.24), 4),
        (Sampling(True, top_p=0.5, min_p=0.01), 2),
    ],
)
def test_filters_keep_the_most_probable_words(sampling: Sampling, kept: int) -> None:
    weights = [p if i < kept else 0.0 for i, p in enumerate(PROBABILITIES)]
    assert agree(frequencies(unigram_model(PROBABILITIES), sampling), weights)


@pytest.mark.parametrize("options", [{}, {"greedy": True}, {"top_k": 1}, {"top_p": 0.5}, {"min_p": 0.5}])
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
    model = make_model(dropout=DropoutRates(0.5, 0.5, 0.5), noise=Noise(generator)).train(is_training)
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


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru", "concat_elman"])
@pytest.mark.parametrize("num_samples", [1, 5])
def test_one_step_is_as_a_window_of_one(cell: str, num_samples: int) -> None:
    model = make_model(cell=cell)
    words = torch.arange(num_samples)[None]
    state = model.initial_state(num_samples)
    with_gradient = model(words, state)
    with torch.inference_mode():
        without = model(words, state)
    torch.testing.assert_close(without.features, with_gradient.features.detach(), rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(sum(without.state, ()), sum(with_gradient.state, ()), strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


MANY = [[], PROMPT, [0], [2, 2, 2, 2, 2, 2, 2], [], [4, 5], PROMPT[:2], [6] * 12]


def many(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    length: Length,
    num_samples: int = 1,
    seed: int = 1,
    **options: Any,
) -> list[list[Continuation]]:
    decoding = Sampling(**options)
    found = generate_many(
        model, VOCAB, prompts, length=length, num_samples=num_samples, decoding=decoding, seed=seed
    )
    return list(found)


def ids_of(found: list[list[Continuation]]) -> list[list[list[int]]]:
    return [[text.ids for text in texts] for texts in found]


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "concat_elman"])
@pytest.mark.parametrize("length", [Length(12), Length(30, 2)])
def test_a_text_is_the_same_whatever_is_written_beside_it(cell: str, length: Length) -> None:
    model = make_model(cell=cell)
    together = ids_of(many(model, MANY, length, num_samples=5))
    for prompt, texts in zip(MANY, together, strict=True):
        assert ids_of(many(model, [prompt], length, num_samples=3)) == [texts[:3]]
    assert ids_of(many(model, MANY[::-1], length)) == [texts[:1] for texts in together[::-1]]


def test_generate_is_one_prompt_of_many() -> None:
    model = make_model()
    found = ids_of(many(model, MANY, Length(9), num_samples=2, seed=7))
    assert [generate(model, VOCAB, prompt, num_words=9, num_samples=2, seed=7) for prompt in MANY] == found


def test_different_prompts_draw_differently() -> None:
    model = unigram_model(PROBABILITIES)  # for which a prompt makes no difference
    first, second, again = ids_of(many(model, [[0], [2], [0]], Length(30)))
    assert first == again != second


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_batches_change_nothing_and_are_made_as_prompts_come(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sizes, taken = make_model(), [], []
    expected = ids_of(many(model, MANY, Length(8, 1), num_samples=3))
    monkeypatch.setattr(module, "_MAX_ROWS", rows)
    monkeypatch.setattr(module, "_MIN_ROWS", 1)
    choose = module.choose

    def spy(logits: torch.Tensor, *arguments: Any) -> Any:
        sizes.append(len(logits))
        return choose(logits, *arguments)

    def prompts() -> Iterator[list[int]]:
        for prompt in MANY:
            taken.append(prompt)
            yield prompt

    monkeypatch.setattr(module, "choose", spy)
    found = generate_many(model, VOCAB, prompts(), length=Length(8, 1), num_samples=3, decoding=Sampling())
    first = next(found)
    assert len(taken) <= 1 + rows // 3
    assert ids_of([first, *found]) == expected
    assert max(sizes) == rows


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_text_ends_with_the_last_sentence_asked_for(number: int) -> None:
    model = make_model()
    endless = ids_of(many(model, MANY, Length(60), num_samples=4))
    ended = ids_of(many(model, MANY, Length(60, number), num_samples=4))
    lengths = set()
    for long, short in zip(chain(*endless), chain(*ended), strict=True):
        ends = [i + 1 for i, word in enumerate(long) if word == EOS]
        expected = ends[number - 1] if len(ends) >= number else 60
        assert short == long[:expected]
        lengths.add(expected)
    assert len(lengths) > 5


def test_texts_that_have_ended_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    choose = module.choose
    monkeypatch.setattr(module, "choose", lambda x, *args: (rows.append(len(x)), choose(x, *args))[1])
    found = many(make_model(), [[]], Length(10_000, 1), num_samples=50)
    assert sum(rows) == sum(len(text.ids) for text in found[0])


@pytest.mark.parametrize(
    ("length", "max_words"),
    [
        (Length(), 100),
        (Length(7), 7),
        (Length(num_sentences=3), 300),
        (Length(250, 3), 250),
        (Length(0, 1), 0),
    ],
)
def test_how_long_a_text_may_get(length: Length, max_words: int) -> None:
    assert length.max_words == max_words
    eternal = unigram_model([1 - 6e-9, *[1e-9] * 6])
    assert [len(text.ids) for text in many(eternal, [[]], length)[0]] == [max_words]


@pytest.mark.parametrize(("options", "name"), [((-1, None), "num-words"), ((None, 0), "num-sentences")])
def test_lengths_out_of_range_are_refused_by_name(options: tuple[int, int], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Length(*options)


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.5}, {"top_k": 2}, {"greedy": True}, {"allow_unk": True}]
)
@pytest.mark.parametrize("softmax", ["full", "adaptive"])
def test_log_prob_is_what_scoring_the_same_words_costs(softmax: str, options: dict[str, Any]) -> None:
    layer = AdaptiveSoftmax(H, V, [2, 4]) if softmax == "adaptive" else None
    model = make_model(softmax=layer)
    found = many(model, MANY, Length(20, 2), num_samples=3, **options)
    for prompt, texts in zip(MANY, found, strict=True):
        for text in texts:
            assert text.log_prob == pytest.approx(log_prob_of(model, prompt, text.ids), rel=1e-5)


def test_nothing_asked_for() -> None:
    model = make_model()
    assert many(model, [], Length(5)) == []
    assert many(model, MANY[:2], Length(0), 2) == [[Continuation([], 0.0)] * 2] * 2
    assert many(model, MANY[:3], Length(5), 0) == [[], [], []]
