"""Runs that differ by their seed alone: what they have in common, and how far they are apart."""

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lmtrain.jobs.compare_runs import RunSummary, summarise

_SEED_DIR = re.compile(r"seed-(\d+)", re.ASCII)


@dataclass(frozen=True)
class Spread:
    """Of the figures of several runs."""

    mean: float
    deviation: float | None
    """Sample standard deviation, with n - 1; None of a single run."""
    best: float
    """The lowest."""

    def __str__(self) -> str:
        """As texts have it: ``88.10 ± 0.40 (best 87.70)``."""
        deviation = f" ± {self.deviation:.2f}" if self.deviation is not None else ""
        return f"{self.mean:.2f}{deviation} (best {self.best:.2f})"

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Spread | None":
        """None where a figure is missing: a mean of some would be taken for one of all."""
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return None
        deviation = statistics.stdev(known) if len(known) > 1 else None
        return cls(statistics.fmean(known), deviation, min(known))


@dataclass(frozen=True)
class SeedRun:
    """One of the runs."""

    seed: int
    run_dir: Path
    valid_perplexity: float | None
    """The lowest."""
    test_perplexity: float | None
    status: str = "finished"
    """As of ``RunSummary``."""
    recipe: str | None = None
    """The same."""

    @classmethod
    def of(cls, seed: int, run: RunSummary) -> "SeedRun":
        """That of a seed, from what is known of it."""
        return cls(seed, run.path, run.best_perplexity, run.test_perplexity, run.status, run.recipe)


@dataclass(frozen=True)
class SeedGroup:
    """All of them, in the order in which they were asked for."""

    runs: tuple[SeedRun, ...]

    @property
    def problem(self) -> str | None:
        """Why their figures have no mean, if they have none: it would be one of different trainings."""
        if any(run.status != "finished" for run in self.runs):
            return "not all of them finished"
        if len({run.recipe for run in self.runs}) > 1:
            return "which differ by more than the seed"
        return None

    @property
    def valid(self) -> Spread | None:
        """Of the perplexities of the validation text."""
        return None if self.problem else Spread.of([run.valid_perplexity for run in self.runs])

    @property
    def test(self) -> Spread | None:
        """Of the perplexities of the test text."""
        return None if self.problem else Spread.of([run.test_perplexity for run in self.runs])

    def to_dict(self) -> dict[str, Any]:
        """What ``train --seeds --json`` prints."""
        return {
            "runs": [{**asdict(run), "run_dir": str(run.run_dir)} for run in self.runs],
            "valid": self.valid and asdict(self.valid),
            "test": self.test and asdict(self.test),
        }


def seed_dir(group: Path, seed: int) -> Path:
    """Where the run of a seed lives."""
    return group / f"seed-{seed}"


def groups(runs: Iterable[RunSummary]) -> dict[Path, SeedGroup]:
    """Those of two runs or more that stand side by side, by the folder that they are in."""
    found: dict[Path, list[SeedRun]] = {}
    for run in runs:
        if match := _SEED_DIR.fullmatch(run.path.name):
            found.setdefault(run.path.parent, []).append(SeedRun.of(int(match[1]), run))
    return {folder: SeedGroup(tuple(members)) for folder, members in found.items() if len(members) > 1}


def read_group(group: Path, seeds: Sequence[int]) -> SeedGroup:
    """What the logs of the runs say, finished now or long ago."""
    return SeedGroup(tuple(SeedRun.of(seed, summarise(seed_dir(group, seed))) for seed in seeds))
