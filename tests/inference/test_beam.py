"""Beam search: with a beam that holds everything it is exhaustive, with a beam of one it is greedy."""

import itertools
import math
from collections.abc import Sequence

import pytest
from tiny_models import VOCAB, V, log_prob_of, make_model, unigram_model

from lmtrain.inference.beam import BeamSearch, beam_search
from lmtrain.inference.continuation import Continuation, Length
from lmtrain.inference.generate import generate, generate_many
from lmtrain.inference.sampling import Sampling
from lmtrain.model.language_model import LanguageModel

EOS, UNK = VOCAB.eos_id, VOCAB.unk_id
PROMPTS = [[], [0, 2], [4, 5, 6, 0], [2]]


def search(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    beam: BeamSearch,
    num_words: int = 4,
    num_sentences: int | None = None,
    num_best: int | None = None,
) -> list[list[Continuation]]:
    length = Length(num_words, num_sentences)
    return beam_search(model, VOCAB, prompts, length=length, num_best=num_best or beam.width, search=beam)


def every_text(num_words: int, num_sentences: int) -> list[list[int]]:
    """All texts that end with the last <eos> or at the last word; none with <unk>."""
    texts = []
    words = [i for i in range(V) if i != UNK]
    for length in range(1, num_words + 1):
        for ids in itertools.product(words, repeat=length):
            ended = ids.count(EOS) == num_sentences and ids[-1] == EOS
            cut = length == num_words and ids.count(EOS) < num_sentences
            if ended or cut:
                texts.append(list(ids))
    return texts


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("num_sentences", [1, 2])
def test_a_beam_that_holds_everything_finds_the_best(num_sentences: int, length_penalty: float) -> None:
    model, prompt = make_model(), [0, 2]
    texts = every_text(3, num_sentences)

    def score(ids: list[int]) -> float:
        return log_prob_of(model, prompt, ids) / len(ids) ** length_penalty

    expected = sorted(texts, key=score, reverse=True)
    beam = BeamSearch(400, length_penalty)
    (found,) = search(model, [prompt], beam, 3, num_sentences)
    assert [text.ids for text in found] == expected
    assert [text.log_prob for text in found] == pytest.approx(
        [log_prob_of(model, prompt, i) for i in expected]
    )


@pytest.mark.parametrize("cell", ["lstm", "elman"])
@pytest.mark.parametrize("allow_unk", [True, False])
def test_a_beam_of_one_is_greedy(cell: str, allow_unk: bool) -> None:
    model = make_model(cell=cell)
    for prompt, (found,) in zip(
        PROMPTS, search(model, PROMPTS, BeamSearch(1, allow_unk=allow_unk), 12), strict=True
    ):
        sampling = Sampling(allow_unk, greedy=True)
        assert [found.ids] == generate(model, VOCAB, prompt, num_words=12, sampling=sampling)


def test_of_equals_the_first_word_is_the_better() -> None:
    model = unigram_model([1 / V] * V)
    (found,) = search(model, [[]], BeamSearch(3, allow_unk=True), 2)
    assert [text.ids for text in found] == [[0, 0], [0, 1], [0, 2]]
    assert [text.log_prob for text in found] == pytest.approx([-2 * math.log(V)] * 3)


def test_a_wider_beam_finds_what_greed_misses() -> None:
    model = make_model()
    best = [
        max(search(model, [[0]], BeamSearch(width), 6)[0], key=lambda t: t.log_prob).log_prob
        for width in (1, 64)
    ]
    assert best[1] > best[0] + 0.01


def test_prompts_do_not_disturb_each_other() -> None:
    model, beam = make_model(), BeamSearch(5)
    together = search(model, PROMPTS, beam, 9, 2)
    for prompt, found in zip(PROMPTS, together, strict=True):
        (alone,) = search(model, [prompt], beam, 9, 2)
        assert [text.ids for text in found] == [text.ids for text in alone]
        assert [text.log_prob for text in found] == pytest.approx([text.log_prob for text in alone])
        for text in found:
            assert text.log_prob == pytest.approx(log_prob_of(model, prompt, text.ids), rel=1e-5)


def test_as_many_as_there_are_and_no_more() -> None:
    (found,) = search(make_model(), [[]], BeamSearch(20), num_words=1)
    assert sorted(text.ids[0] for text in found) == [i for i in range(V) if i != UNK]
    (found,) = search(make_model(), [[]], BeamSearch(20), num_words=1, num_best=2)
    assert len(found) == 2
    assert search(make_model(), [[], [1]], BeamSearch(3), num_words=0) == [[Continuation([], 0.0)]] * 2


def test_the_search_ends_when_all_have_ended() -> None:
    model = unigram_model([0.001, 0.994, 0.001, 0.001, 0.001, 0.001, 0.001])
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    (found,) = search(model, [[]], BeamSearch(3, length_penalty=0.0), num_words=1000, num_sentences=1)
    assert found[0].ids == [EOS]
    assert len(calls) < 10


def test_a_model_that_diverged_gives_words_of_its_vocabulary() -> None:
    (found,) = search(unigram_model([math.nan] * V), [[]], BeamSearch(3))
    assert all(0 <= word < V for text in found for word in text.ids)
    assert len(found[0].ids) == 4


def test_many_prompts_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model, beam = make_model(), BeamSearch(30)
    prompts = [[i % V, i % 3] for i in range(70)]
    found = list(generate_many(model, VOCAB, iter(prompts), length=Length(5), num_samples=2, decoding=beam))
    expected = search(model, prompts, beam, 5, num_best=2)
    assert [[t.ids for t in texts] for texts in found] == [[t.ids for t in texts] for texts in expected]


@pytest.mark.parametrize("length_penalty", [200.0, 1e300])
def test_a_penalty_beyond_the_range_of_a_float_prefers_long_texts(length_penalty: float) -> None:
    beam = BeamSearch(3, length_penalty)
    (found,) = search(make_model(), [[]], beam, num_words=60, num_sentences=1)
    assert [len(text.ids) for text in found] == [60] * 3


@pytest.mark.parametrize(
    ("width", "length_penalty", "name"),
    [
        (0, 1.0, "beam"),
        (2, -1.0, "length-penalty"),
        (2, math.nan, "length-penalty"),
        (2, math.inf, "length-pen"),
    ],
)
def test_values_out_of_range_are_refused_by_name(width: int, length_penalty: float, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        BeamSearch(width, length_penalty)
