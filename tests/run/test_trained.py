"""A run directory or snapshot becomes a model: which one, what is refused, what it says of itself."""

import dataclasses
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support import STEPS, make_corpus, run, settings

from lmtrain.errors import DataError, ModelError, UsageError
from lmtrain.inference.generate import Sampling
from lmtrain.run.trained import (
    TrainedModel,
    find_snapshot,
    load_model,
    refuse_other_shapes,
    source_perplexity,
)
from lmtrain.training.snapshot import Snapshot, SnapshotStore, read_snapshot


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def trained_in(run_dir: Path, corpus: Path, **changes: Any) -> Path:
    """A finished run; the cache lies beside it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("LMTRAIN_CACHE", str(run_dir.parent / "cache"))
        run(settings(corpus, **changes), run_dir)
    return run_dir


@pytest.fixture(scope="module")
def run_dir(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_in(tmp_path_factory.mktemp("trained") / "run", corpus)


@pytest.fixture(scope="module")
def unvalidated(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unvalidated") / "run"
    return trained_in(folder, corpus, data__valid=None, data__test=None)


def rewritten(snapshot: Snapshot, folder: Path, **changes: Any) -> Path:
    """The snapshot, written as whole and sound as any other, with something else in it."""
    parts: dict[str, Any] = {
        "model": snapshot.model_tensors(),
        "training_state": snapshot.training_state(),
        "vocab_bytes": snapshot.vocab_bytes(),
        "config": snapshot.config,
        "provenance": snapshot.provenance,
    }
    return SnapshotStore(folder).write(snapshot.step, **parts | changes)


def step_of(run_dir: Path, which: str | None) -> int:
    return find_snapshot(run_dir, which).step


def test_the_best_unless_told(run_dir: Path, tmp_path: Path) -> None:
    snapshot = find_snapshot(run_dir, "3")
    provenance = snapshot.provenance.model_copy(update={"best_step": 5})
    for step in (3, 5, 9):
        rewritten(dataclasses.replace(snapshot, step=step), tmp_path / "snapshots", provenance=provenance)
    assert step_of(tmp_path, None) == step_of(tmp_path, "best") == 5
    assert step_of(tmp_path, "last") == 9
    assert step_of(tmp_path, "3") == step_of(tmp_path, "0003") == 3
    assert find_snapshot(tmp_path / "snapshots" / "step-00000003").step == 3


def test_the_last_where_none_is_the_best(unvalidated: Path) -> None:
    assert step_of(unvalidated, None) == step_of(unvalidated, "last") == STEPS
    with pytest.raises(
        ModelError, match="no snapshot is the best, since the run was not validated; use last"
    ):
        find_snapshot(unvalidated, "best")


@pytest.mark.parametrize(
    ("which", "error", "message"),
    [
        ("99", ModelError, f"no snapshot of step 99, only of .*, {STEPS}$"),
        ("-1", UsageError, "--snapshot -1: allowed: best, last or the number of a step"),
        ("newest", UsageError, "--snapshot newest: allowed"),
        ("", UsageError, "allowed"),
    ],
)
def test_a_snapshot_that_there_is_not(
    which: str, error: type[Exception], message: str, run_dir: Path
) -> None:
    with pytest.raises(error, match=message):
        find_snapshot(run_dir, which)


def test_a_single_snapshot_is_not_picked_from(run_dir: Path) -> None:
    snapshot = run_dir / "snapshots" / "step-00000003"
    with pytest.raises(UsageError, match="one snapshot; --snapshot last picks from a run directory"):
        find_snapshot(snapshot, "last")


def test_an_older_model_does_not_stand_in_for_a_damaged_one(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir, tmp_path / "run")
    (tmp_path / "run" / "snapshots" / f"step-{STEPS:08d}" / "model.safetensors").write_bytes(b"")
    for which in (None, "last", "best"):
        with pytest.raises(ModelError, match=f"step-{STEPS:08d}: damaged snapshot: model.safetensors"):
            find_snapshot(tmp_path / "run", which)
    assert step_of(tmp_path / "run", "3") == 3


@pytest.mark.parametrize("path", ["missing", "empty", "file"])
def test_no_model_at_all(path: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=f"{path}: neither a run directory with a snapshot nor a snapshot"):
        load_model(tmp_path / path)


def test_a_device_that_there_is_not(run_dir: Path) -> None:
    with pytest.raises(UsageError, match="--device tpu: unknown"):
        load_model(run_dir, device="tpu")


def test_a_loaded_model_has_the_weights_of_its_snapshot_and_is_ready(run_dir: Path) -> None:
    trained = load_model(run_dir, "3", "cpu")
    weights = find_snapshot(run_dir, "3").model_tensors()
    assert not trained.model.training
    for name, parameter in trained.model.named_parameters():
        assert torch.equal(parameter, weights[name])


def test_tied_weights_are_one_matrix_again(corpus: Path, tmp_path: Path) -> None:
    changes = {"model__tie_weights": True, "model__embedding_dim": 7}
    model = load_model(trained_in(tmp_path / "run", corpus, **changes), device="cpu").model
    assert model.embedding.weight is model.softmax.weight


@pytest.mark.parametrize("softmax", ["adaptive", "sampled"])
def test_models_of_any_softmax_are_loaded_and_used(softmax: str, corpus: Path, tmp_path: Path) -> None:
    changes = {
        "model__softmax": softmax,
        "model__adaptive": {"cutoffs": [3, 6]},
        "model__sampled": {"num_samples": 5, "distribution": "unigram"},
    }
    trained = load_model(trained_in(tmp_path / "run", corpus, **changes), "best", "cpu")
    loss = trained.snapshot.provenance.best_loss
    evaluation = trained.evaluate(corpus / "valid.txt").evaluation
    assert evaluation.nll_nats / evaluation.num_tokens == pytest.approx(loss, rel=1e-6)
    assert trained.generate("w1", num_words=5).texts[0].startswith("w1")


def test_cutoffs_that_do_not_suit_the_vocabulary_are_refused(run_dir: Path, tmp_path: Path) -> None:
    snapshot = find_snapshot(run_dir, "3")
    changes = {"softmax": "adaptive", "adaptive": {"cutoffs": [500], "div": 4.0}}
    config = {**snapshot.config, "model": {**snapshot.config["model"], **changes}}
    with pytest.raises(ModelError, match=r"model\.adaptive\.cutoffs: .* a vocabulary of 11 words"):
        load_model(rewritten(snapshot, tmp_path, config=config))


def test_weights_of_another_shape_are_refused(run_dir: Path, tmp_path: Path) -> None:
    snapshot = find_snapshot(run_dir, "3")
    config = {**snapshot.config, "model": {**snapshot.config["model"], "hidden_size": 9}}
    path = rewritten(snapshot, tmp_path, config=config)
    message = re.escape("layers.0.bias is (28,), expected (36,)")
    with pytest.raises(ModelError, match=f"step-00000003: its weights do not fit its config: {message}"):
        load_model(path)


def test_weights_that_are_missing_or_too_many_are_refused(run_dir: Path) -> None:
    snapshot, model = find_snapshot(run_dir, "3"), load_model(run_dir, "3", "cpu").model
    refuse_other_shapes(snapshot, model)
    del model.softmax.bias
    with pytest.raises(ModelError, match=r"softmax.bias is \(\d+,\), expected nothing"):
        refuse_other_shapes(snapshot, model)
    model.extra = torch.nn.Parameter(torch.zeros(2, 3))
    with pytest.raises(ModelError, match=r"extra is missing, expected \(2, 3\)"):
        refuse_other_shapes(snapshot, model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"name": "tiny"}}, "data.train: missing"),
        ({"vocab_bytes": b"<unk>\n<eos>\n"}, r"embedding.weight is \(\d+, 6\), expected \(2, 6\)"),
        ({"vocab_bytes": b"the\ncat\n"}, "vocab.txt: <unk> is missing"),
        ({"vocab_bytes": b"\xff\n"}, "vocab.txt: "),
    ],
)
def test_whole_snapshots_that_hold_no_model(
    changes: dict[str, Any], message: str, run_dir: Path, tmp_path: Path
) -> None:
    path = rewritten(find_snapshot(run_dir, "3"), tmp_path, **changes)
    read_snapshot(path)
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_what_a_model_says_of_itself(run_dir: Path) -> None:
    trained = load_model(run_dir, device="cpu")
    about = trained.describe()
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
