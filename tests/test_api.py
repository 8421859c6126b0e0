"""``import lmtrain``: what a notebook does with a trained model, and that the commands say the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from program import Trained
from program import lmtrain as command

import lmtrain
from lmtrain.errors import DataError, ModelError, UsageError


def test_scores_are_those_of_the_command(trained: Trained) -> None:
    sentences = ["the old cat", "unicorn", ""]
    lines = lmtrain.load(trained.run_dir).score(sentences)
    text = "".join(f"{sentence}\n" for sentence in sentences).encode()
    printed = command("score", trained.run_dir, "-", "--format", "json", stdin=text).out.splitlines()
    for line, row in zip(lines, map(json.loads, printed), strict=True):
        assert line.tokens == [token["token"] for token in row["tokens"]]
        assert line.is_unk == [token["is_unk"] for token in row["tokens"]]
        assert line.surprisal.tolist() == pytest.approx([t["surprisal"] for t in row["tokens"]], abs=1e-6)
        assert line.log_prob == pytest.approx(row["logprob"], abs=1e-6)


def test_one_sentence_is_one_sentence(trained: Trained) -> None:
    model = lmtrain.load(str(trained.run_dir))
    (line,) = model.score("the old cat")
    assert line.tokens == ["the", "old", "cat", "<eos>"]
    (detailed,) = model.score("the old cat", with_details=True)
    assert detailed.details is not None
    assert detailed.details.rank.shape == detailed.details.entropy.shape == (4,)


def test_context_goes_on_in_a_stream(trained: Trained) -> None:
    model, sentences = lmtrain.load(trained.run_dir), ["the old cat", "the old cat"]
    first, second = model.score(sentences, context="stream")
    assert first.nats.tolist() != second.nats.tolist()
    scorer = model.scorer("stream")
    portions = [*scorer.score([sentences[0].split()]), *scorer.score([sentences[1].split()])]
    assert portions[1].nats.tolist() == pytest.approx(second.nats.tolist(), rel=1e-6)


def test_the_perplexity_is_that_of_the_command(trained: Trained) -> None:
    text = trained.folder / "test.txt"
    for options in ([], ["--context", "line"]):
        found = json.loads(command("eval", trained.run_dir, "--data", text, "--json", *options).out)
        context = options[1] if options else None
        assert lmtrain.load(trained.run_dir).perplexity(text, context=context) == found["perplexity"]


def test_text_is_that_of_the_command(trained: Trained) -> None:
    found = lmtrain.load(trained.run_dir).generate("the", num_words=9, num_samples=2, seed=3)
    options = ("--prompt", "the", "--num-words", 9, "--num-samples", 2, "--seed", 3)
    assert "\n\n".join(found.texts) + "\n" == command("generate", trained.run_dir, *options).out


def test_which_snapshot(trained: Trained) -> None:
    assert lmtrain.load(trained.run_dir, "last").snapshot.step == 25
    assert lmtrain.load(trained.run_dir, "9").snapshot.step == 9


def test_faults_are_errors_with_one_line(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a run directory"):
        lmtrain.load(tmp_path)
    with pytest.raises(UsageError, match="unknown"):
        lmtrain.load(trained.run_dir, device="tpu")
    with pytest.raises(DataError, match="sentence 2: the text itself holds <eos>"):
        lmtrain.load(trained.run_dir).score(["fine", "not <eos> fine"])


def test_importing_it_imports_nothing_heavy() -> None:
    program = "import sys, lmtrain; print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
