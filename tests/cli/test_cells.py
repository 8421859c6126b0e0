"""What a model of each cell goes through, from the command line."""

import json
from pathlib import Path

import pytest
from program import lmtrain

from lmtrain.model.cells import CELLS

TINY = ("--set", "train.epochs=1", "--set", "model.num_layers=2")


@pytest.mark.parametrize("key", list(CELLS), ids="-".join)
def test_each_cell_is_trained_continued_and_used(key: tuple[str, str], project: Path) -> None:
    cell = ("--set", f"model.cell={key[0]}", "--set", f"model.activation={key[1]}")

    def run(*arguments: object, code: int = 0) -> str:
        outcome = lmtrain(*arguments, folder=project)
        assert outcome.code == code, (arguments, outcome.err)
        return outcome.out

    train = ("train", "--config", "config.yaml", *TINY, *cell)
    run(*train, "--dry-run")
    run(*train)
    run(*train, "--set", "train.epochs=2")
    run(*train, "--run-dir", "runs/bfloat16", "--set", "train.precision=bfloat16")
    held_out = [
        json.loads(run("eval", "runs/tiny", "--data", "test.txt", "--json", *options))
        for options in ([], ["--context", "line"])
    ]
    assert all(1 < each["perplexity"] < 20 and each["num_tokens"] == 61 for each in held_out)
    assert run("generate", "runs/tiny", "--num-words", "5").strip()
    assert len(run("score", "runs/tiny", "test.txt").splitlines()) == 62
