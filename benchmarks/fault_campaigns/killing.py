"""Runs that die: by SIGKILL at random instants, at every file operation, again and again."""

import builtins
import io
import itertools
import logging
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from crashing import _OPERATIONS as OPERATIONS
from crashing import dies_at
from fault_campaigns.program import PHASE_NAMES, STEP, WRITING, Watch, become, in_a_child, run_here, wait_for
from fault_campaigns.small_run import SmallRun, Tally
from fault_campaigns.visible import visible_writes
from support import logged
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmtrain.training.store import SnapshotStore


def kill(folder: Path, scale: float) -> Tally:
    """SIGKILL at random instants, half of them aimed at a snapshot write; then the same command."""
    run = SmallRun(folder / "small")
    tally = Tally(max(4, round(200 * scale)))
    watch, draws = Watch(), random.Random(1)
    met = dict.fromkeys(PHASE_NAMES, 0)
    for number in itertools.count():
        if tally.done == tally.asked:
            break
        run_dir = folder / f"run-{number}"
        watch.reset()
        process = run.start(run_dir, watch.spy)
        if number % 2:
            wait_for(process, watch, WRITING, draws.randint(1, run.steps // 3))
            process.has_ended(draws.uniform(0, 0.01))
        else:
            process.has_ended(draws.uniform(0, run.seconds))
        process.signal(signal.SIGKILL)
        if process.wait().code == -signal.SIGKILL:  # else it was done before
            met[PHASE_NAMES[watch.phase]] += 1
            tally.count(f"kill {number}", run.continued(run_dir))
        shutil.rmtree(run_dir, ignore_errors=True)
    tally.notes.append("during " + ", ".join(f"{name} {times}" for name, times in met.items()))
    if met["a snapshot"] < tally.asked / 4:
        tally.failures.append("fewer than a quarter inside a snapshot write")
    return tally


def points(folder: Path, scale: float) -> Tally:
    """Death before, within and after every file operation of a whole run; then the same command."""
    run = SmallRun(folder / "small", steps=6, evaluate_every=3, snapshot_every=2, keep=1)
    time.sleep(2.1)  # texts just written are hashed anew by every run, which would do other operations
    run_dir, cache = folder / "run", folder / "cache"
    os.environ["LMTRAIN_CACHE"] = str(cache)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT)

    def train() -> None:
        _train_visibly(run, run_dir, log)

    def clear() -> None:
        for path in (run_dir, cache):
            shutil.rmtree(path, ignore_errors=True)

    names = _operations_of(train)
    clear()
    chosen = range(0, len(names), max(1, round(1 / scale)))
    tally = Tally(0)
    for operation in chosen:
        # Only a write has a middle.
        for moment in ("before", "within", "after") if names[operation] == "write" else ("before", "after"):
            tally.asked += 1
            died = dies_at(operation, moment, train)
            problem = run.continued(run_dir)
            what = f"death {moment} operation {operation} ({names[operation]})"
            tally.count(what, None if died else "it did not die", problem)
            clear()
    counts = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
    tally.notes.append(f"{len(chosen)} of the {len(names)} file operations of a run: {counts}")
    return tally


def cycles(folder: Path, scale: float) -> Tally:
    """Killed and continued 25 times in one run; every step is in the logs once."""
    run = SmallRun(folder / "small", steps=200)
    tally = Tally(max(3, round(25 * scale)))
    watch, draws = Watch(), random.Random(2)
    run_dir = folder / "run"
    for number in range(tally.asked):
        watch.reset()
        process = run.start(run_dir, watch.spy)
        wait_for(process, watch, STEP, draws.randint(1, 10))
        process.has_ended(draws.uniform(0, 0.02))
        process.signal(signal.SIGKILL)
        ending = process.wait()
        tally.count(f"cycle {number}", None if ending.code == -signal.SIGKILL else f"not killed: {ending}")
    last = SnapshotStore(run_dir / "snapshots").steps()[-1]
    tally.notes.append(f"after the last of {tally.asked} kills at step {last} of {run.steps}")
    problems = [run.continued(run_dir), *_missing_or_repeated(run_dir, run.steps)]
    tally.failures += [f"in the end: {problem}" for problem in problems if problem]
    return tally


def every_step(folder: Path, scale: float) -> Tally:
    """Continued from each snapshot of two epochs, as if it had been the last."""
    run = SmallRun(folder / "small", steps=53, snapshot_every=1, keep=1000)
    chosen = range(1, run.steps + 1, max(1, round(1 / scale)))
    tally = Tally(len(chosen))
    for step in chosen:
        run_dir = folder / "run"
        shutil.copytree(run.whole, run_dir)
        for snapshot in (run_dir / "snapshots").iterdir():
            if int(snapshot.name.removeprefix("step-")) > step:
                shutil.rmtree(snapshot)
        tally.count(f"from step {step}", run.continued(run_dir))
        shutil.rmtree(run_dir)
    return tally


def _train_visibly(run: SmallRun, run_dir: Path, log: int) -> None:
    """Trains in this process, each write to a file by ``os.write``."""
    become(log)
    with visible_writes():
        code = run_here(run.arguments(run_dir), run.folder)
    if code:
        raise RuntimeError(f"exit {code}")


def _operations_of(action: Callable[[], object]) -> list[str]:
    """The names of the file operations that ``dies_at`` counts, in order; the action is done in a child."""

    def noted() -> list[str]:
        names: list[str] = []
        with _noting(names):
            action()
        return names

    return [str(name) for name in in_a_child(noted)]


@contextmanager
def _noting(names: list[str]) -> Iterator[None]:
    def noting(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            names.append(name)
            return original(*arguments, **options)

        return noted

    opening = noting("open", io.open)
    with ExitStack() as patches:
        for name in OPERATIONS:
            patches.enter_context(patch.object(os, name, noting(name, getattr(os, name))))
        patches.enter_context(patch.object(io, "open", opening))
        patches.enter_context(patch.object(builtins, "open", opening))
        yield


def _missing_or_repeated(run_dir: Path, steps: int) -> list[str]:
    steps_logged = [step for step, kind in logged(run_dir) if kind == "train"]
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of each restart
    events = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    shown = [event.step for event in events.Scalars("train/loss")]
    every = list(range(1, steps + 1))
    return [
        f"{name} does not hold each step once"
        for name, found in (("metrics.jsonl", steps_logged), ("TensorBoard", shown))
        if found != every
    ]
