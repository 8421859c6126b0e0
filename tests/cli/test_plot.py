"""``lmtrain plot``: a picture where it was asked for, and clear words where there is nothing to draw."""

import json
import shutil
from pathlib import Path

import pytest
from program import Trained, lmtrain


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", b"\x89PNG"), ("new/a.SVG", b"<?xml"), ("a.pdf", b"%PDF")]
)
def test_the_suffix_says_the_format(name: str, start: bytes, trained: Trained, tmp_path: Path) -> None:
    outcome = lmtrain("plot", trained.run_dir, "--out", tmp_path / name)
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{tmp_path / name}\n", "")
    assert (tmp_path / name).read_bytes().startswith(start)


def test_by_default_it_is_plot_png_and_an_earlier_one_is_replaced(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "plot.png").write_text("of yesterday")
    outcome = lmtrain("plot", trained.run_dir, trained.run_dir, folder=tmp_path)
    assert (outcome.code, outcome.out) == (0, "plot.png\n")
    content = (tmp_path / "plot.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert int.from_bytes(content[16:20], "big") == 9 * 300  # inches, dots to an inch
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]


def test_a_run_says_when_each_line_was_logged(trained: Trained) -> None:
    rows = [json.loads(line) for line in (trained.run_dir / "metrics.jsonl").read_text().splitlines()]
    times = [row["elapsed"] for row in rows]
    assert len(times) > 2
    assert times == sorted(times)
    assert 0 < times[0] <= times[-1] < 600


def test_a_panel_and_its_limits(trained: Trained, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "a.png")
    options = ("--panel", "validation", "--ylim", "5,9.5", "--xlim", "0,1e3")
    assert lmtrain("plot", trained.run_dir, *out, *options).code == 0
    assert lmtrain("plot", trained.run_dir, *out, "--panel", "lr", "--panel", "loss").code == 0
    for wrong, message in (
        (("--panel", "x"), "there are perplexity, time, validation, lr, loss"),
        (("--ylim", "5,9"), "name it with --panel"),
        (("--panel", "lr", "--ylim", "9,5"), "the lower one first"),
        (("--panel", "lr", "--xlim", "1"), "expected two numbers"),
    ):
        outcome = lmtrain("plot", trained.run_dir, *out, *wrong)
        assert (outcome.code, message in outcome.err) == (2, True), outcome.err


@pytest.mark.parametrize("name", ["curves.jpg", "curves"])
def test_another_format(name: str, trained: Trained, tmp_path: Path) -> None:
    outcome = lmtrain("plot", trained.run_dir, "--out", tmp_path / name)
    assert outcome.code == 2
    assert ".png, .svg, .pdf" in outcome.err
    assert not (tmp_path / name).exists()


def test_no_run(trained: Trained, tmp_path: Path) -> None:
    snapshot = next((trained.run_dir / "snapshots").iterdir())
    for path in (tmp_path / "nowhere", snapshot):
        outcome = lmtrain("plot", trained.run_dir, path, "--out", tmp_path / "a.png")
        assert outcome.code == 4
        assert outcome.err == f"lmtrain: {path}: no run directory: there is no metrics.jsonl in it\n"


def run_with_log(log: str, trained: Trained, tmp_path: Path) -> Path:
    """A copy of a run of which only the log and the environment are left."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    shutil.copy(trained.run_dir / "environment.json", run_dir)
    (run_dir / "metrics.jsonl").write_text(log)
    return run_dir


@pytest.mark.parametrize("log", ["", '{"step": 1', "[1]\n", '{"step": 1}\n', '{"step": "x", "epoch": 1}\n'])
def test_a_run_without_figures(log: str, trained: Trained, tmp_path: Path) -> None:
    outcome = lmtrain("plot", run_with_log(log, trained, tmp_path), "--out", tmp_path / "a.png")
    assert outcome.code == 4
    assert "metrics.jsonl: no figures yet" in outcome.err


def test_a_run_that_goes_on_has_no_snapshot_yet_and_half_a_line(trained: Trained, tmp_path: Path) -> None:
    log = '{"step": 3, "epoch": 0.4, "train/loss": 2.0}\n{"step": 4, "ep'
    run_dir = run_with_log(log, trained, tmp_path)
    assert lmtrain("plot", run_dir, "--out", tmp_path / "a.png").code == 0


def test_an_older_run_takes_the_length_of_its_text_from_a_snapshot(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.run_dir, tmp_path / "run")
    (tmp_path / "run" / "environment.json").write_text("{}")
    assert lmtrain("plot", tmp_path / "run", "--out", tmp_path / "a.png").code == 0
    shutil.rmtree(tmp_path / "run" / "snapshots")
    outcome = lmtrain("plot", tmp_path / "run", "--out", tmp_path / "a.png")
    assert outcome.code == 4
    assert "how long its training text is" in outcome.err


def test_a_folder_that_cannot_be_written(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = lmtrain("plot", trained.run_dir, "--out", tmp_path / "file" / "a.png")
    assert outcome.code == 6
    assert "cannot be written" in outcome.err
