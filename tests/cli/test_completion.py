"""What shells offer on Tab, asked for in the way their scripts ask."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from program import Trained, lmtrain

from lmtrain.cli.completion import complete_model


def offered(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What bash would be given for the last word of a line, which may be empty."""
    monkeypatch.setenv("_LMTRAIN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    outcome = lmtrain(folder=folder)
    assert (outcome.code, outcome.err) == (0, "")
    return sorted(outcome.out.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lmtrain tr", ["train"]),
        ("lmtrain data ", ["check", "fetch", "list", "synth"]),
        ("lmtrain train --dry", ["--dry-run"]),
        ("lmtrain train --qu", ["--quiet"]),
        ("lmtrain train --resume ", ["auto", "never"]),
        ("lmtrain train --device c", ["cpu", "cuda"]),
        ("lmtrain score x --format ", ["html", "json", "kaldi", "kaldi-words", "nbest", "srilm", "tsv"]),
        ("lmtrain eval x --context l", ["line"]),
        ("lmtrain runs --sort b", ["best"]),
        ("lmtrain data fetch pt", ["ptb"]),
        ("lmtrain data synth toy", ["toy-english"]),
        ("lmtrain eval ", ["runs/tiny"]),
        ("lmtrain generate runs/t", ["runs/tiny"]),
        ("lmtrain plot runs/tiny runs/", ["runs/tiny"]),
        ("lmtrain diagnose x --compare r", ["runs/tiny"]),
        ("lmtrain info runs/tiny --snapshot ", ["17", "25", "9", "best", "last"]),
        ("lmtrain info runs/tiny --snapshot 2", ["25"]),
        ("lmtrain info --snapshot ", ["best", "last"]),
        ("lmtrain eval runs/tiny --data te", []),  # the shell completes file names
    ],
)
def test_offers(line: str, expected: list[str], trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered(line, trained.folder, monkeypatch) == expected


def test_models_of_another_folder_and_of_none(trained: Trained, tmp_path: Path) -> None:
    folder = str(trained.folder)
    assert complete_model(f"{folder}/runs/") == [f"{folder}/runs/tiny"]
    assert complete_model(f"{folder}/runs/tiny") == [f"{folder}/runs/tiny"]
    assert complete_model(f"{folder}/runs/tiny/") == []
    assert complete_model(f"{tmp_path}/nowhere/x") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_the_same(
    shell: str, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_LMTRAIN_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "lmtrain data fetch wiki")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    outcome = lmtrain()
    assert outcome.code == 0
    assert "wikitext-103" in outcome.out
    assert "Wikipedia articles" in outcome.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_and_knows_how_to_read_it(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: shell)
    script = lmtrain("--show-completion").out
    assert f"_LMTRAIN_COMPLETE=complete_{shell}" in script
    if program := shutil.which(shell):
        check = [program, "--no-execute" if shell == "fish" else "-n"]
        subprocess.run(check, input=script, text=True, check=True, capture_output=True)


def test_nothing_heavy_is_imported(trained: Trained) -> None:
    """But for pydantic, with which typer itself reads the words of a command."""
    script = (
        "import atexit, sys, lmtrain.cli\n"
        "heavy = {'torch', 'numpy', 'yaml', 'tensorboard', 'matplotlib', 'pooch'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules))))\n"
        "lmtrain.cli.main()"
    )
    for line in ("lmtrain info ", "lmtrain data synth ", "lmtrain data fetch "):
        asked = {"_LMTRAIN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        result = subprocess.run(
            [sys.executable, "-c", script],
            cwd=trained.folder,
            env={**os.environ, **asked},
            capture_output=True,
            text=True,
            check=True,
        )
        offers, _, imported = result.stdout.rstrip().rpartition("\n")
        assert offers
        assert imported == "[]"
