"""What a trained model says of itself, and how it evaluates and writes."""

import gzip
import hashlib
import math
from pathlib import Path

import pytest
import torch
from support import trained_in

from lmtrain.errors import DataError, ModelError
from lmtrain.inference.generate import Sampling
from lmtrain.run.result import source_perplexity
from lmtrain.run.trained import TrainedModel, load_model


def test_what_a_model_says_of_itself(run_dir: Path) -> None:
    trained = load_model(run_dir, device="cpu")
    described = trained.describe()
    about = described.to_dict()
    assert described.num_parameters == about["num_parameters"] == sum(about["parameters"].values())
    assert about["num_parameters"] == sum(p.numel() for p in trained.model.parameters())
    assert about["parameters"].keys() == {"embedding", "layers.0", "layers.1", "softmax"}
    assert about["vocab_size"] == len(trained.vocab)
    assert about["best_perplexity"] == math.exp(about["best_loss"])
    assert about["model"] == "lstm 2 × 7, embedding 6"
    assert about["config"] == trained.config.to_dict()


def test_lowercase_is_a_rule_of_the_model(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("W1 w4\n")
    trained = load_model(trained_in(tmp_path / "run", corpus, data__lowercase=True), device="cpu")
    result = trained.evaluate(tmp_path / "text.txt")
    assert result.evaluation.num_oov == 0
    assert "|tok:ws+lower|" in result.signature
    generated = trained.generate("W1 W4 X", num_words=3)
    assert generated.unknown_words == ["x"]
    assert generated.texts[0].startswith("w1 w4 x")


def test_the_tokenizer_is_a_rule_of_the_model(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("w1, w4!\n")
    folder = trained_in(tmp_path / "run", corpus, data__tokenizer="moses", data__moses_language="de")
    trained = load_model(folder, device="cpu")
    result = trained.evaluate(tmp_path / "text.txt")
    assert (result.evaluation.num_tokens, result.evaluation.num_oov) == (5, 2)
    assert "|tok:moses-de|" in result.signature
    assert trained.generate("w1, w4.", num_words=3).unknown_words == [",", "."]


def test_texts_may_be_compressed_and_several(corpus: Path, tmp_path: Path) -> None:
    whole = corpus / "train.txt"
    lines = whole.read_bytes().splitlines(keepends=True)
    (tmp_path / "part-1.txt").write_bytes(b"".join(lines[:20]))
    (tmp_path / "part-2.txt.gz").write_bytes(gzip.compress(b"".join(lines[20:])))
    one = trained_in(tmp_path / "one", corpus)
    parts = trained_in(tmp_path / "parts", corpus, data__train=str(tmp_path / "part-*"))
    hashes = [load_model(folder, device="cpu").snapshot.provenance.sha256 for folder in (one, parts)]
    assert hashes[0]["vocab"] == hashes[1]["vocab"]
    digests = [hashlib.sha256(b"".join(part)).hexdigest() for part in (lines[:20], lines[20:])]
    assert hashes[1]["train"] == hashlib.sha256("".join(digests).encode()).hexdigest()
    model = [load_model(folder, device="cpu").model.state_dict() for folder in (one, parts)]
    assert all(model[0][name].equal(model[1][name]) for name in model[0])


def test_a_literal_unk_in_a_prompt_counts_as_unknown(run_dir: Path) -> None:
    generated = load_model(run_dir).generate("w1 <unk> w4", num_words=2)
    assert generated.unknown_words == ["<unk>"]


def test_line_breaks_of_a_prompt_are_read_as_eos(run_dir: Path) -> None:
    trained = load_model(run_dir)
    sampling = Sampling(greedy=True)
    lines, words = (trained.generate(p, num_words=9, sampling=sampling).texts for p in ("w1\nw4", "w1 w4"))
    eos = trained.generate("w1 <eos> w4", num_words=9, sampling=sampling).texts
    assert lines == eos
    assert lines[0].startswith("w1\nw4")
    assert words[0].startswith("w1 w4")


class Source:
    """Texts with the log-probabilities of their source beside them."""

    def __init__(self, folder: Path, trained: TrainedModel) -> None:
        self.folder = folder
        self.trained = trained

    def perplexity(self, *texts: tuple[str, list[float] | None]) -> float | None:
        """What the source of these texts reaches on them."""
        paths = []
        for i, (text, numbers) in enumerate(texts):
            paths.append(self.folder / f"{i}.txt")
            paths[-1].write_text(text)
            if numbers is not None:
                row = " ".join(str(math.log(p)) for p in numbers)
                (self.folder / f"{i}.logprobs.txt").write_text(f"{row}\n")
        evaluations = [self.trained.evaluate(path).evaluation for path in paths]
        return source_perplexity(paths, max(evaluations, key=lambda e: e.num_oov))


@pytest.fixture
def source(run_dir: Path, tmp_path: Path) -> Source:
    return Source(tmp_path, load_model(run_dir))


def test_the_perplexity_of_a_source(source: Source) -> None:
    assert source.perplexity(("w1 w4\n", [0.5, 0.25, 0.5])) == pytest.approx(16 ** (1 / 3))
    both = source.perplexity(("w1 w4\n", [0.5, 0.25, 0.5]), ("w1\n", [0.125, 0.5]))
    assert both == pytest.approx(256 ** (1 / 5))


def test_a_source_that_cannot_be_compared(source: Source) -> None:
    assert source.perplexity(("w1 w4\n", None)) is None
    assert source.perplexity(("w1\n", [0.5, 0.5]), ("w4\n", None)) is None
    # The model was asked for <unk> and not for the word, an easier task.
    assert source.perplexity(("w1 zebra\n", [0.5, 0.25, 0.5])) is None


def test_a_source_of_another_text_is_refused(source: Source) -> None:
    with pytest.raises(DataError, match=r"0\.logprobs\.txt:1: 2 numbers for 3 tokens"):
        source.perplexity(("w1 w4\n", [0.5, 0.25]))


def test_what_is_not_a_number_is_no_perplexity(run_dir: Path, corpus: Path) -> None:
    trained = load_model(run_dir, device="cpu")
    with torch.no_grad():
        trained.model.embedding.weight.fill_(math.nan)
    with pytest.raises(ModelError, match="not numbers"):
        trained.evaluate(corpus / "valid.txt")
