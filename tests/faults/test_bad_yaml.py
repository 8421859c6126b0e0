"""Configs that do not hold, by the hundred: exit code 2, one message, at once, and nothing done."""

import subprocess
import sys
from pathlib import Path

import pytest
from bad_configs import GOOD, bad_configs
from effort import effort
from program import lmtrain

RECIPES = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))
LONGEST_MESSAGE = 20_000  # characters, of a hundred problems


def test_what_is_broken_here_holds_before(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    assert lmtrain("config", "validate", "good.yaml", folder=tmp_path).code == 0


def test_bad_configs_are_refused_at_once(tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    trials = tmp_path / "trials"
    trials.mkdir()
    for what, text in bad_configs(RECIPES, trials, count=240):
        config.write_bytes(text)
        with effort() as made:
            outcome = lmtrain("config", "validate", "bad.yaml", folder=tmp_path)
        assert outcome.code == 2, f"{what}: {outcome}"
        assert outcome.err.startswith("lmtrain: the config does not hold:\n  bad.yaml"), what
        assert "Traceback" not in outcome.err, what
        assert len(outcome.err) < LONGEST_MESSAGE, what
        assert made.calls < 3_000_000, what
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml", "trials"]


@pytest.mark.parametrize("text", ["seed: !!python/object/apply:os.mkdir [made]\n", "a: &a [*a, *a]\n" * 9])
def test_training_does_not_begin(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    command = [sys.executable, "-m", "lmtrain", "train", "--config", "bad.yaml"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("lmtrain: the config does not hold:\n  bad.yaml:1: ")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]
