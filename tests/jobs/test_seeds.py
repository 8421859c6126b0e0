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
    assert group.problem == "not all of them finished"


def test_no_mean_of_runs_that_differ_by_more_than_the_seed() -> None:
    """Such as a third seed that was trained for as many epochs again."""
    runs = [
        RunSummary(Path(f"a/seed-{seed}"), "finished", best_perplexity=80.0, recipe=recipe)
        for seed, recipe in ((1, "x"), (2, "x"), (3, "y"))
    ]
    (group,) = groups(runs).values()
    assert (group.valid, group.problem) == (None, "which differ by more than the seed")
    (alike,) = groups(runs[:2]).values()
    assert alike.valid == Spread(80.0, 0.0, 80.0)
