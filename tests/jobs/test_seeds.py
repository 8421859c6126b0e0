"""Runs that differ by their seed."""

from pathlib import Path

import pytest

from lmtrain.jobs.compare_runs import RunSummary
from lmtrain.jobs.seeds import SeedGroup, SeedRun, Spread, groups


def test_mean_deviation_and_best() -> None:
    assert Spread.of([2.0, 4.0, 9.0]) == Spread(5.0, pytest.approx(13**0.5), 2.0)
    assert Spread.of([3.0]) == Spread(3.0, None, 3.0)


@pytest.mark.parametrize("values", [[], [None], [1.0, None, 2.0]])
def test_no_mean_where_a_figure_is_missing(values: list[float | None]) -> None:
    assert Spread.of(values) is None


def test_runs_side_by_side_are_a_group() -> None:
    names = ("a/seed-1", "a/seed-2", "a/seed-x", "b/seed-1", "seed-3", "seed-4")
    runs = [RunSummary(Path(name), "finished", best_perplexity=float(i)) for i, name in enumerate(names)]
    assert groups(runs) == {
        Path("a"): SeedGroup(
            (SeedRun(1, Path("a/seed-1"), 0.0, None), SeedRun(2, Path("a/seed-2"), 1.0, None))
        ),
        Path(): SeedGroup((SeedRun(3, Path("seed-3"), 4.0, None), SeedRun(4, Path("seed-4"), 5.0, None))),
    }


@pytest.mark.parametrize("status", ["interrupted", "diverged", "running"])
def test_no_mean_with_a_run_that_is_not_finished(status: str) -> None:
    """Its lowest perplexity so far was taken for that of its end."""
    done = RunSummary(Path("a/seed-1"), "finished", best_perplexity=80.0, test_perplexity=78.0)
    other = RunSummary(Path("a/seed-2"), status, best_perplexity=300.0, test_perplexity=290.0)
    (group,) = groups([done, other]).values()
    assert (group.valid, group.test) == (None, None)
    assert not group.is_finished
