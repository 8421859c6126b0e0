"""``lmtrain diagnose``: a folder, a summary or JSON, and nothing overwritten."""

import io
import json
import sys
from pathlib import Path

import pytest
from program import Trained, files_in, lmtrain

from lmtrain.cli.diagnose import _watched
from lmtrain.jobs.labels import labels_of

pytestmark = pytest.mark.usefixtures("few_dots")


def test_a_report(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "new" / "report"
    arguments = ("--data", trained.folder / "test.txt", "--positions", 20, "--words", "the cat", "--out", out)
    outcome = lmtrain("diagnose", trained.run_dir, *arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith(f"\n\nthe report: {out}/report.md\n")
    measured = json.loads(lmtrain("eval", trained.run_dir, *arguments[:2], "--json").out)
    assert f"perplexity         {measured['perplexity']:.4f}\n" in outcome.out
    without = f"{measured['perplexity_without_unk']:.4f} ({measured['oov_rate']:.1%} are <unk>)"
    assert f"  without <unk>    {without}\n" in outcome.out
    files = files_in(out)
    assert len(files) == 8
    assert list(out.parent.iterdir()) == [out]  # nothing is left beside it
    found = json.loads(files["report.json"])
    assert found["num_positions"] == 20
    assert [row["word"] for row in found["models"][0]["nearest_words"]] == ["the", "cat"]
    assert found["models"][0]["gradient_reach"]["bptt_len"] == 9
    # A second time nothing is overwritten, and nothing computed.
    outcome = lmtrain("diagnose", trained.run_dir, *arguments)
    assert outcome.code == 2
    assert "nothing is overwritten" in outcome.err
    assert files_in(out) == files


def test_json_of_two_models_and_the_default_folder(trained: Trained, tmp_path: Path) -> None:
    other = trained.run_dir / "snapshots" / "step-00000009"
    outcome = lmtrain(
        *("diagnose", trained.run_dir, "--compare", other, "--data", trained.folder / "test.txt"),
        *("--positions", 20, "--json"),
        folder=tmp_path,
    )
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(outcome.out)
    assert [model["name"] for model in found["models"]] == ["tiny", "tiny@9"]
    assert found == json.loads((tmp_path / "reports" / "tiny" / "report.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--words", "the unicorn zebra"], 2, "unicorn, zebra"),
        (["--data", "nowhere.txt"], 3, "nowhere.txt: no such file"),
        (["--data", "-", "--compare", "runs/tiny"], 2, "standard input can be read but once"),
        (["--compare", "runs/none"], 4, "runs/none"),
        (["--out", "train.txt"], 2, "train.txt: is there already"),
        (["--out", "train.txt/report"], 6, "cannot be"),
        (["--positions", "1"], 2, "--positions"),
    ],
)
def test_what_is_refused(arguments: list[str], code: int, message: str, trained: Trained) -> None:
    before = files_in(trained.folder)
    outcome = lmtrain("diagnose", "runs/tiny", "--data", "test.txt", *arguments, folder=trained.folder)
    assert outcome.code == code
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert files_in(trained.folder) == before


def test_standard_input(trained: Trained, tmp_path: Path) -> None:
    text = (trained.folder / "test.txt").read_bytes()
    arguments = ("--data", "-", "--out", tmp_path / "r", "--positions", 20, "--json")
    outcome = lmtrain("diagnose", trained.run_dir, *arguments, stdin=text)
    assert outcome.code == 0
    assert json.loads(outcome.out)["models"][0]["num_tokens"] == 61


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_for_terminals(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(_watched(range(3), "gates", 3)) == [0, 1, 2]
    assert ("gates" in stream.getvalue()) == is_terminal


def test_labels() -> None:
    assert labels_of([Path("runs/a"), Path("runs/b/snapshots/step-00000120")]) == ["a", "b@120"]
    assert labels_of([Path("x/a"), Path("y/a")]) == ["x/a", "y/a"]
