"""Texts of a trained model, from Python: one prompt or many, with what they cost."""

from itertools import islice, repeat
from pathlib import Path

import pytest
import torch
from tiny_models import log_prob_of

from lmtrain.errors import ModelError
from lmtrain.inference.beam import BeamSearch
from lmtrain.inference.sampling import Sampling
from lmtrain.run.trained import TrainedModel, load_model


@pytest.fixture(scope="module")
def trained(run_dir: Path) -> TrainedModel:
    return load_model(run_dir, device="cpu")


def scored(trained: TrainedModel, text: str, num_given: int) -> float:
    """The ln p of a text in one line and its end, without the words that were given."""
    ids = trained.vocab.encode_line(text.split())
    return log_prob_of(trained.model, ids[:num_given], ids[num_given:], trained.vocab.eos_id)


@pytest.mark.parametrize("sampling", [None, Sampling(temperature=0.5), BeamSearch(3)])
def test_what_a_sentence_cost_is_what_scoring_it_costs(
    sampling: Sampling | BeamSearch | None, trained: TrainedModel
) -> None:
    result = trained.generate("w1 w4 zebra", num_samples=3, num_sentences=1, sampling=sampling)
    assert result.unknown_words == ["zebra"]
    for sample in result.samples:
        assert sample.stopped_by == "num_sentences"
        assert sample.num_tokens == len(sample.text.split()) - 3 + 1
        assert sample.log_prob == pytest.approx(scored(trained, sample.text, 3), rel=1e-5)


def test_one_of_many(trained: TrainedModel) -> None:
    prompts = ["w1", "", "w4 w9\nw1", "w1"]
    many = list(trained.generate_many(prompts, num_words=9, num_samples=2, seed=5))
    for prompt, result in zip(prompts, many, strict=True):
        alone = trained.generate(prompt, num_words=9, num_samples=2, seed=5)
        assert (result.prompt, result.texts, result.seed) == (prompt, alone.texts, 5)


def test_prompts_without_end(trained: TrainedModel) -> None:
    found = islice(trained.generate_many(repeat("w1"), num_words=1), 3)
    assert len({result.texts[0] for result in found}) == 1


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(greedy=True), BeamSearch(2)])
def test_a_model_that_diverged_is_refused(sampling: Sampling | BeamSearch, run_dir: Path) -> None:
    diverged = load_model(run_dir, device="cpu")
    with torch.no_grad():
        for parameter in diverged.model.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(ModelError, match="NaN"):
        diverged.generate("w1", sampling=sampling)


def test_a_literal_unk_in_a_prompt_is_unknown(trained: TrainedModel) -> None:
    assert trained.generate("w1 <unk> zebra", num_words=0).unknown_words == ["<unk>", "zebra"]


def test_readable(trained: TrainedModel) -> None:
    plain, readable = (
        trained.generate("w1 's ( w4 ) , w9", num_words=3, readable=flag).texts[0] for flag in (False, True)
    )
    assert plain.startswith("w1 's ( w4 ) , w9 ")
    assert readable == plain.replace("w1 's ( w4 ) , w9", "w1's (w4), w9")


@pytest.mark.parametrize("options", [{"num_words": -1}, {"num_sentences": 0}])
def test_numbers_out_of_range(options: dict[str, int], trained: TrainedModel) -> None:
    with pytest.raises(ValueError, match=next(iter(options)).replace("_", "-")):
        trained.generate_many(["w1"], **options)  # type: ignore[arg-type]
