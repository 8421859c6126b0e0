"""The small real run that everything happens to, and what it comes to when nothing does."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fault_campaigns.program import Ending, Process, start
from support import fingerprint

from lmtrain.corpus.synthetic.synthetic import toy_english

_LINES = {"train": 400, "valid": 40, "test": 40}
_CONFIG = """\
name: small
data: {{train: train.txt, valid: valid.txt, test: test.txt}}
model: {{cell: lstm, embedding_dim: 32, hidden_size: 32, num_layers: 2, dropout: 0.3}}
train:
  max_steps: {steps}
  batch_size: 8
  bptt_len: 20
  optimizer: {{name: adam, lr: 0.01}}
  schedule: {{name: plateau}}
evaluation: {{every: {evaluate_every}}}
snapshots: {{every: {snapshot_every}, keep: {keep}}}
logging: {{every: 1, samples: 1}}
"""


@dataclass
class Tally:
    """What came out of a campaign."""

    asked: int
    passed: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Figures worth a line below the table."""

    @property
    def done(self) -> int:
        """Counted so far."""
        return self.passed + len(self.failures)

    def count(self, what: str, *problems: str | None) -> None:
        """One more, passed if there is no problem."""
        found = [problem for problem in problems if problem]
        self.passed += not found
        if found:
            self.failures.append(f"{what}: {'; '.join(found)}")


class SmallRun:
    """A folder with a corpus and a config, and the outcome of an uninterrupted run.

    By default 50 steps, two epochs, with dropout, Adam and a rate that falls on plateaus.
    """

    def __init__(
        self,
        folder: Path,
        steps: int = 50,
        *,
        evaluate_every: int = 10,
        snapshot_every: int = 3,
        keep: int = 2,
    ) -> None:
        folder.mkdir(parents=True)
        for name, lines in _LINES.items():
            draws = random.Random(name)
            text = "".join(f"{' '.join(toy_english().sample(draws).words)}\n" for _ in range(lines))
            (folder / f"{name}.txt").write_text(text)
        config = _CONFIG.format(
            steps=steps, evaluate_every=evaluate_every, snapshot_every=snapshot_every, keep=keep
        )
        (folder / "config.yaml").write_text(config)
        self.folder = folder
        self.steps = steps
        self.whole = folder / "whole"
        ending = self.start(self.whole).wait()
        ending = self.start(folder / "whole again").wait()
        if ending.code:
            raise RuntimeError(f"the run fails without any fault: {ending}")
        self.expected = fingerprint(self.whole)
        if fingerprint(folder / "whole again") != self.expected:
            raise RuntimeError("two uninterrupted runs differ: nothing can be said about interrupted ones")
        self.seconds = ending.seconds
        """Of a run, with its corpus in the cache."""

    def arguments(self, run_dir: Path) -> list[str]:
        """The command that trains, and continues."""
        return ["train", "--config", "config.yaml", "--run-dir", str(run_dir)]

    def start(self, run_dir: Path, prepare: Callable[[], object] = lambda: None) -> Process:
        """Starts or continues a run."""
        return start(self.arguments(run_dir), self.folder, prepare)

    def continued(self, run_dir: Path) -> str | None:
        """Runs the same command to its end; says what differs from a run without interruption."""
        ending = self.start(run_dir).wait()
        return unless(ending, 0) or self.difference(run_dir)

    def difference(self, run_dir: Path) -> str | None:
        """What sets a finished run apart from an uninterrupted one."""
        return None if fingerprint(run_dir) == self.expected else "not bit-identical"


def unless(ending: Ending, *codes: int) -> str | None:
    """How a process ended, unless with one of these exit codes."""
    return None if ending.code in codes else str(ending)
