"""The program as a person runs it: words on a command line in, an exit code and two streams out."""

import io
import random
import signal
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from lmtrain.cli import main

CONFIG = """\
name: tiny
data: {train: train.txt, valid: valid.txt, test: test.txt}
model: {embedding_dim: 6, hidden_size: 7, num_layers: 1}
train: {epochs: 3, batch_size: 4, bptt_len: 9, optimizer: {name: sgd, lr: 0.3}}
logging: {every: 10, samples: 2}
"""
STEPS_OF_EPOCHS = (9, 17, 25)
"""Of ``CONFIG``: 300 tokens in windows of 36."""
WORDS = ("the", "old", "cat", "dog", "sat", "saw", "and", "slept", "often")


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Trained:
    """A project after ``lmtrain train``; to be read, not changed."""

    folder: Path
    run_dir: Path
    outcome: Outcome
    """Of the training."""


def lmtrain(*arguments: object, folder: Path = Path(), stdin: bytes = b"") -> Outcome:
    """Runs a command in this process, from its arguments to its exit code."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with (
            chdir(folder),
            patch.object(sys, "argv", ["lmtrain", *map(str, arguments)]),
            patch.object(sys, "warnoptions", ["error"]),  # here they are shown, and are errors
            patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as ending,
        ):
            main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Outcome(int(ending.value.code or 0), out.getvalue(), err.getvalue())


def make_project(folder: Path) -> Path:
    """A folder with a corpus and a config, ready for ``lmtrain train --config config.yaml``.

    There are 300 tokens to train on, and 61 to validate or test on, of which the first one is unknown.
    """
    for name, num_lines, start in (("train", 50, ""), ("valid", 10, "unicorn "), ("test", 10, "unicorn ")):
        draw = random.Random(name)
        lines = [" ".join(draw.choice(WORDS) for _ in range(3 + i % 5)) for i in range(num_lines)]
        (folder / f"{name}.txt").write_text(start + "".join(f"{line}\n" for line in lines))
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    """All files below a folder by their path, to see whether anything changed."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}
