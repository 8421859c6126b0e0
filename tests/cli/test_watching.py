"""What a person sees of a run before its first step."""

from pathlib import Path

import pytest
from program import lmtrain

from lmtrain.cli import progress


def test_a_dry_run_shows_what_it_reads_and_tries(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "is_terminal", lambda _: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("LMTRAIN_CACHE", str(project / "cache"))
    outcome = lmtrain("train", "--config", "config.yaml", "--dry-run", folder=project)
    assert outcome.code == 0, outcome.err
    shown = ("counting words of train.txt: ", "encoding valid.txt: ", "B/s", "trying: ", " steps/s")
    assert [part for part in shown if part not in outcome.err] == []
