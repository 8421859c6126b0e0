"""Input that cannot be used: the exit code, one clear message, and nothing written."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from program import CONFIG, Outcome, Trained, files_in, lmtrain

TEXTS = {
    "empty.txt": b"",
    "blank.txt": b"\n \n\t\n",
    "binary.txt": b"\x7fELF\x02\x00\x01",
    "latin-1.txt": b"the cat\nthe caf\xe9\n",
    "utf-16.txt": "the cat\n".encode("utf-16"),
    "eos.txt": b"the cat <eos> sat\n",
    "one-word.txt": b"cat\n",
    "short.txt": b"a b\n",
    "unknown.txt": b"xyzzy plugh\n",
}


@pytest.fixture
def project(project: Path) -> Path:
    for name, text in TEXTS.items():
        (project / name).write_bytes(text)
    (project / "folder").mkdir()
    return project


def refused(outcome: Outcome, code: int, parts: Sequence[str]) -> None:
    """Checks that a command ended with this code, all parts of the message, and nothing else."""
    assert outcome.code == code, outcome.err
    assert [part for part in parts if part not in outcome.err] == []
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


def refused_to_train(project: Path, arguments: Sequence[str], code: int, parts: Sequence[str]) -> None:
    before = files_in(project)
    refused(lmtrain("train", *arguments, folder=project), code, parts)
    assert files_in(project) == before
    assert not (project / "runs" / "tiny").exists()


@pytest.mark.parametrize("key", ["train", "valid", "test"])
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("missing.txt", ["missing.txt: no such file"]),
        ("folder", ["folder: a directory"]),
        ("empty.txt", ["empty.txt: empty"]),
        ("blank.txt", ["blank.txt: empty, there is no word in it"]),
        ("binary.txt", ["binary.txt:1: binary"]),
        ("latin-1.txt", ["latin-1.txt:2: not UTF-8", "0xe9", "convert"]),
        ("utf-16.txt", ["utf-16.txt: UTF-16, not UTF-8"]),
        ("eos.txt", ["eos.txt:1: ", "<eos>"]),
    ],
)
def test_a_text_that_is_none(key: str, name: str, parts: list[str], project: Path) -> None:
    refused_to_train(project, ["--config", "config.yaml", "--set", f"data.{key}={name}"], 3, parts)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (["data.train=short.txt"], ["short.txt: 3 tokens, fewer than train.batch_size (4)"]),
        (["data.train=one-word.txt"], ["one-word.txt: 2 tokens, fewer than"]),
        (["data.train=short.txt", "data.context=line"], ["short.txt: 1 line, fewer than"]),
        (["data.valid=unknown.txt"], ["unknown.txt: every word is unknown"]),
        (["data.test=unknown.txt"], ["unknown.txt: every word is unknown"]),
        (["data.min_count=1000"], ["no vocabulary left"]),
        (["data.train=[train.txt, missing.txt]"], ["missing.txt: no such file"]),
    ],
)
def test_texts_that_do_not_fit(changes: list[str], parts: list[str], project: Path) -> None:
    options = [word for change in changes for word in ("--set", change)]
    refused_to_train(project, ["--config", "config.yaml", *options], 3, parts)


def test_a_single_word_over_and_over_can_be_learnt(project: Path) -> None:
    """There is a line end to tell from it, so it is a text like any other."""
    (project / "one-word.txt").write_text("cat\n" * 100)
    options = ["data.train=one-word.txt", "data.valid=one-word.txt", "data.test=one-word.txt"]
    changes = [word for option in options for word in ("--set", option)]
    assert lmtrain("train", "--config", "config.yaml", *changes, folder=project).code == 0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (CONFIG + "modle: {cell: lstm}\n", ["bad.yaml:6: modle: unknown key; did you mean 'model'?"]),
        (
            CONFIG.replace("bptt_len: 9", "btt_len: 9"),
            ["bad.yaml:4: train.btt_len: unknown key; did you mean 'bptt_len'?"],
        ),
        (
            CONFIG.replace("epochs: 3", "epochs: three").replace("sgd", "sdg") + "seed: -1\n",
            ["bad.yaml:4: train.epochs: ", "bad.yaml:4: train.optimizer.name: ", "bad.yaml:6: seed: "],
        ),
        (CONFIG + "seed: 1\nseed: 2\n", ["bad.yaml:7: seed: ", "6"]),
        (
            CONFIG.replace("epochs: 3", "epochs: 3, max_steps: 9"),
            ["max_steps: both epochs and max_steps"],
        ),
        (CONFIG.replace("epochs: 3, ", ""), ["nothing says how long"]),
        (CONFIG.replace("hidden_size: 7", "hidden_size: 7, tie_weights: true"), ["tied weights", "6 and 7"]),
        (CONFIG.replace("name: tiny\n", ""), ["name: missing"]),
        (CONFIG.replace("train: train.txt, ", ""), ["data.train: missing"]),
        (CONFIG.replace("name: tiny", "name: ../tiny"), ["bad.yaml:1: name: "]),
        ("", ["bad.yaml:1: a config is a mapping", "empty"]),
        ("name: [", ["bad.yaml:1: "]),
        ("name: caf\udce9", ["bad.yaml:1: not UTF-8"]),
    ],
)
def test_a_config_that_does_not_hold(text: str, parts: list[str], project: Path) -> None:
    (project / "bad.yaml").write_text(text, errors="surrogateescape")
    parts = ["lmtrain: the config does not hold:", *parts]
    refused_to_train(project, ["--config", "bad.yaml"], 2, parts)
    refused(lmtrain("config", "validate", "bad.yaml", folder=project), 2, parts)
    refused(lmtrain("config", "show", "bad.yaml", folder=project), 2, parts)


def test_a_number_with_an_exponent_is_a_number(project: Path) -> None:
    (project / "good.yaml").write_text(CONFIG.replace("lr: 0.3", "lr: 1e-3"))
    assert lmtrain("config", "validate", "good.yaml", folder=project).code == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--config", "missing.yaml"], ["missing.yaml: cannot be read"]),
        (["--config", "folder"], ["folder: cannot be read"]),
        (["--config", "config.yaml", "--set", "train.epochs"], ["--set train.epochs: ", "key.path=value"]),
        (["--config", "config.yaml", "--set", "train.epoch=2"], ["did you mean 'epochs'?"]),
        (["--config", "config.yaml", "--device", "tpu"], ["--device tpu", "auto, cpu, cuda, cuda:N"]),
        (["--config", "config.yaml", "--device", "cuda:99"], ["--device cuda:99"]),
    ],
)
def test_options_that_do_not_hold(arguments: list[str], parts: list[str], project: Path) -> None:
    refused_to_train(project, arguments, 2, parts)


def test_cuda_where_there_is_none(trained: Trained, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    refused_to_train(project, ["--config", "config.yaml", "--device", "cuda"], 2, ["0 CUDA devices"])
    for command in (["eval", trained.run_dir, "--data", "test.txt"], ["generate", trained.run_dir]):
        refused(lmtrain(*command, "--device", "cuda", folder=project), 2, ["0 CUDA devices"])


def test_a_run_directory_that_cannot_be(project: Path) -> None:
    for run_dir in ("config.yaml", "config.yaml/run"):
        arguments = ["--config", "config.yaml", "--run-dir", run_dir]
        refused_to_train(project, arguments, 6, [f"{run_dir}: cannot be used as run directory"])


def test_a_snapshot_to_continue_from_that_is_missing(project: Path) -> None:
    arguments = ["--config", "config.yaml", "--resume", "nowhere/step-00000001"]
    refused_to_train(project, arguments, 4, ["nowhere/step-00000001: there is no such snapshot"])


COMMANDS = [["eval", "--data", "test.txt"], ["generate"], ["info"]]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("model", ["missing", "folder", "config.yaml"])
def test_a_model_that_is_none(command: list[str], model: str, project: Path) -> None:
    parts = [f"{model}: neither a run directory with a snapshot nor a snapshot"]
    refused(lmtrain(*command, model, folder=project), 4, parts)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "vocab.txt", "snapshot.json"])
def test_a_damaged_model(command: list[str], name: str, trained: Trained, project: Path) -> None:
    snapshot = project / "damaged"
    shutil.copytree(trained.run_dir / "snapshots" / "step-00000009", snapshot)
    data = bytearray((snapshot / name).read_bytes())
    data[len(data) // 2] ^= 1
    (snapshot / name).write_bytes(data)
    refused(lmtrain(*command, "damaged", folder=project), 4, ["damaged: damaged snapshot: ", name])
    (snapshot / name).unlink()
    refused(lmtrain(*command, "damaged", folder=project), 4, ["damaged: "])


@pytest.mark.parametrize(
    ("snapshot", "code", "part"),
    [
        ("10", 4, "there is no snapshot of step 10, only of 9, 17, 25"),
        ("newest", 2, "--snapshot newest: allowed: best, last or the number of a step"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_snapshot_that_is_none(
    command: list[str], snapshot: str, code: int, part: str, trained: Trained, project: Path
) -> None:
    arguments = [*command, str(trained.run_dir), "--snapshot", snapshot]
    refused(lmtrain(*arguments, folder=project), code, [part])
    one = trained.run_dir / "snapshots" / "step-00000009"
    refused(lmtrain(*command, one, "--snapshot", "9", folder=project), 2, ["--snapshot 9"])


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("missing.txt", "no such file"),
        ("folder", "a directory"),
        ("empty.txt", "empty"),
        ("binary.txt", "binary"),
        ("latin-1.txt", "not UTF-8"),
    ],
)
def test_a_text_to_evaluate_that_is_none(name: str, part: str, trained: Trained, project: Path) -> None:
    refused(lmtrain("eval", trained.run_dir, "--data", name, folder=project), 3, [name, part])


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--temperature", "0"], "temperature must be a finite number above 0"),
        (["--temperature", "nan"], "temperature"),
        (["--temperature", "inf"], "temperature"),
        (["--top-k", "0"], "top-k must be at least 1"),
        (["--top-p", "0"], "top-p must be above 0 and at most 1"),
        (["--top-p", "1.5"], "top-p"),
        (["--prompt", "caf\udce9"], "--prompt is not UTF-8"),
        (["--min-p", "2"], "min-p must be from 0 to 1"),
        (["--beam", "0"], "beam must be at least 1"),
        (["--beam", "2", "--length-penalty", "-1"], "length-penalty"),
        (["--beam", "2", "--num-samples", "3"], "no more than 2 texts"),
        (["--length-penalty", "1"], "give --beam N too"),
        *(
            ([option, "9" * 30], f"Invalid value for '{option}'")
            for option in ("--beam", "--num-samples", "--num-sentences", "--seed")
        ),
        *((["--beam", "2", *option], "--beam does not draw") for option in (["--greedy"], ["--top-k", "3"])),
        *(
            (["--beam", "2", *option], "--beam does not draw")
            for option in (["--temperature", "2"], ["--min-p", "0.1"])
        ),
        (["--prompt", "", "--prompts", "x"], "--prompt and --prompts exclude each other"),
        (["--prompts", "x", "--interactive"], "--prompts and --interactive exclude each other"),
    ],
)
def test_ways_to_choose_words_that_are_none(options: list[str], part: str, trained: Trained) -> None:
    refused(lmtrain("generate", trained.run_dir, *options), 2, [part])


def test_an_unknown_synthetic_corpus(project: Path) -> None:
    before = files_in(project)
    outcome = lmtrain("data", "synth", "toy-englsh", "--out", "data", folder=project)
    refused(outcome, 2, ["toy-englsh", "did you mean toy-english?"])
    assert files_in(project) == before


def test_a_corpus_that_cannot_be_written(project: Path) -> None:
    outcome = lmtrain("data", "synth", "counting", "--out", "config.yaml/data", folder=project)
    refused(outcome, 6, ["config.yaml/data"])


@pytest.mark.parametrize(
    ("command", "near"),
    [
        ("generate runs/tniy", "runs/tiny"),
        ("runs rnus", "runs"),
        ("train --config cofnig.yaml", "config.yaml"),
        ("data check tset.txt", "test.txt"),
    ],
)
def test_a_mistyped_path_is_mended_from_the_message_alone(command: str, near: str, project: Path) -> None:
    (project / "runs" / "tiny").mkdir(parents=True)
    outcome = lmtrain(*command.split(), folder=project)
    assert outcome.code in (2, 3, 4)
    assert outcome.err.endswith(f"; did you mean {near}?\n")
