"""``lmtrain runs``."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from program import Trained, lmtrain


@pytest.fixture(scope="module")
def folder(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: one as it was trained, one better and larger, one that holds nothing yet."""
    folder = tmp_path_factory.mktemp("project") / "runs"
    shutil.copytree(trained.run_dir, folder / "sweep" / "trial-0")
    changed = shutil.copytree(trained.run_dir, folder / "better")
    log = changed / "metrics.jsonl"
    *rows, last = log.read_text().splitlines()
    figures = {
        "valid/perplexity": 2.5,
        "test/perplexity": 12345.6,
        "train/words_per_second": 1e9,
        "elapsed": 1e6,
    }
    log.write_text("\n".join([*rows, json.dumps(json.loads(last) | figures)]) + "\n")
    (folder / "begun" / "snapshots").mkdir(parents=True)
    return folder


def names(*arguments: object, folder: Path) -> list[str]:
    outcome = lmtrain("runs", folder, *arguments)
    assert outcome.code == 0
    return [line.split()[0] for line in outcome.out.splitlines()[1:]]


def test_a_table_where_output_is_no_terminal(folder: Path) -> None:
    outcome = lmtrain("runs", folder=folder.parent)
    header, begun, better, trial = outcome.out.splitlines()
    assert header.split() == ["run", "model", "params", "valid", "test", "words/s", "time", "status"]
    assert better.split()[:5] == ["better", "lstm", "1×7", "546", "2.50"]
    assert better.split()[5:] == ["1.23e+04", better.split()[6], "277:46:40", "finished"]
    assert begun.split() == ["begun", *"------", "interrupted"]
    assert trial.split()[0] == "sweep/trial-0"
    assert {line.index("lstm") for line in (better, trial)} == {header.index("model")}
    assert outcome.err == "runs/begun: no snapshot\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["begun", "better", "sweep/trial-0"]),
        (["--reverse"], ["sweep/trial-0", "better", "begun"]),
        (["--sort", "best"], ["better", "sweep/trial-0", "begun"]),
        (["--sort", "best", "--reverse"], ["sweep/trial-0", "better", "begun"]),
        (["--sort", "test"], ["sweep/trial-0", "better", "begun"]),
        (["--sort", "time"], ["sweep/trial-0", "better", "begun"]),
        (["--sort", "updated"], ["better", "sweep/trial-0", "begun"]),
        (["--sort", "status"], ["better", "sweep/trial-0", "begun"]),
    ],
)
def test_orders(options: list[str], expected: list[str], folder: Path) -> None:
    assert names(*options, folder=folder) == expected


def test_json(folder: Path) -> None:
    outcome = lmtrain("runs", folder, "--json", "--sort", "best")
    assert (outcome.code, outcome.err) == (0, "")
    better, trial, begun = json.loads(outcome.out)
    assert better["path"] == str(folder / "better")
    assert (better["best_perplexity"], better["test_perplexity"], better["elapsed"]) == (2.5, 12345.6, 1e6)
    assert (trial["name"], trial["status"], trial["best_step"]) == ("tiny", "finished", 17)
    assert (begun["status"], begun["problem"], begun["best_perplexity"]) == (
        "interrupted",
        "no snapshot",
        None,
    )
    assert better.keys() == trial.keys() == begun.keys()


def test_perplexities_that_do_not_compare(folder: Path, tmp_path: Path) -> None:
    assert "compare" not in lmtrain("runs", folder).err
    other: Any = shutil.copytree(folder, tmp_path / "runs") / "better"
    shutil.rmtree(other / "snapshots")
    about = json.loads((other / "environment.json").read_text())
    about["sha256"]["vocab"] = "another"
    (other / "environment.json").write_text(json.dumps(about))
    assert "perplexities compare only on the same vocabulary" in lmtrain("runs", tmp_path).err


def test_a_run_itself_and_folders_without(folder: Path, tmp_path: Path) -> None:
    assert names(folder=folder / "better") == ["tiny"]
    outcome = lmtrain("runs", tmp_path)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", f"{tmp_path}: holds no run\n")
    assert json.loads(lmtrain("runs", tmp_path, "--json").out) == []
    outcome = lmtrain("runs", tmp_path / "nowhere")
    assert (outcome.code, outcome.out) == (2, "")
    assert f"{tmp_path / 'nowhere'}: there is no such folder" in outcome.err
    assert lmtrain("runs", tmp_path, "--sort", "colour").code == 2


def test_a_terminal_of_80_columns_is_kept_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmtrain.cli import text

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(text, "is_terminal", lambda stream: True)
    lines = lmtrain("runs", folder).out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "sweep/trial-0" in "".join(line.split("  ")[0] for line in lines)  # broken, never cut off
    assert any(line.rstrip().endswith("finished") for line in lines)
