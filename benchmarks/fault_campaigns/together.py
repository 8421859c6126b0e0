"""Runs of two processes, of which one is stopped or killed, or that which started them."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import safetensors.numpy
from fault_campaigns.small_run import SmallRun, Tally
from ranks import Ending, Group

_OUT_WITHIN = 30.0
_SECONDS = 2.0
"""Until the last instant at which something happens; the run is then in its steps, or done."""
_LAUNCHER = (
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
    "lmtrain",
)


def worker_stopped(folder: Path, scale: float) -> Tally:
    """SIGTERM to one of two processes at random instants; then the same command with one process."""
    # The first number is that of a process that has not come so far as to listen.
    return _happened_to_workers(folder, scale, signal.SIGTERM, {-signal.SIGTERM, 143})


def worker_killed(folder: Path, scale: float) -> Tally:
    """SIGKILL of one of two processes at random instants; then the same command with one process."""
    return _happened_to_workers(folder, scale, signal.SIGKILL, {6, 143, -signal.SIGTERM, -signal.SIGKILL})


def launcher_stopped(folder: Path, scale: float) -> Tally:
    """SIGTERM to torchrun at random instants, of its start too; then the same command with one process."""
    run, tally, draws = _run(folder), Tally(max(3, round(20 * scale))), random.Random(9)
    slowest = 0.0
    for number in range(tally.asked):
        run_dir = folder / f"run-{number}"
        with (folder / "said.txt").open("w") as said:
            process = subprocess.Popen(
                [*_LAUNCHER, *run.arguments(run_dir)], cwd=run.folder, stdout=said, stderr=said
            )
            time.sleep(draws.uniform(0, 6 * _SECONDS))
            started = time.perf_counter()
            process.terminate()
            code = process.wait(4 * _OUT_WITHIN)
        slowest = max(slowest, seconds := time.perf_counter() - started)
        late = f"took {seconds:.1f} s" if seconds > _OUT_WITHIN else None
        wrong = None if code in (0, 1, -signal.SIGTERM, 143) else f"exit {code}"
        tally.count(f"SIGTERM {number}", late, wrong, _left(run_dir), _continued(run, run_dir))
        shutil.rmtree(run_dir, ignore_errors=True)
    tally.notes.append(f"slowest end after {slowest:.1f} s")
    return tally


def _happened_to_workers(folder: Path, scale: float, number: int, codes: set[int]) -> Tally:
    run, tally, draws = _run(folder), Tally(max(3, round(20 * scale))), random.Random(number)
    slowest, ended = 0.0, 0
    for trial in range(tally.asked):
        run_dir, rank = folder / f"run-{trial}", trial % 2
        group = Group(2, run.folder, run.arguments(run_dir))
        time.sleep(draws.uniform(0, _SECONDS))
        started = time.perf_counter()
        group.signal(rank, number)
        group.keep(4 * _OUT_WITHIN)
        endings = group.wait(4 * _OUT_WITHIN)
        slowest = max(slowest, seconds := time.perf_counter() - started)
        late = f"took {seconds:.1f} s" if seconds > _OUT_WITHIN else None
        found = [ending.code for ending in endings]
        ended += 0 in found  # and the other was on its way out
        wrong = None if set(found) <= codes or 0 in found else f"exits {found}: {endings}"
        tally.count(f"{trial}, process {rank}", late, wrong, _told(endings), _continued(run, run_dir))
        shutil.rmtree(run_dir, ignore_errors=True)
    tally.notes.append(f"slowest end after {slowest:.1f} s; {ended} had come to their end before")
    return tally


def _run(folder: Path) -> SmallRun:
    return SmallRun(folder / "small", steps=50)


def _told(endings: list[Ending]) -> str | None:
    """Of one that failed, one message."""
    told = [line for e in endings for line in e.said.splitlines() if line.startswith("lmtrain: ")]
    return None if len(told) <= 1 else f"told {len(told)} times: {told}"


def _left(run_dir: Path) -> str | None:
    """Whether a process still trains there."""
    words = str(run_dir).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if words in (process / "cmdline").read_bytes():
                return f"process {process.name} goes on"
        except OSError:
            continue
    return None


def _continued(run: SmallRun, run_dir: Path) -> str | None:
    """What differs, beyond rounding, from a run that one process made without interruption."""
    words = [sys.executable, "-m", "lmtrain", *run.arguments(run_dir)]
    done = subprocess.run(words, cwd=run.folder, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"it does not go on: {done.stderr[-300:]}"
    found, wanted = _weights(run_dir), _weights(run.whole)
    apart = max(float(abs(found[name] - w).max() / abs(w).max()) for name, w in wanted.items())
    if apart > 1e-4:
        return f"its weights are {apart:.1e} apart"
    steps, expected = ([line["step"] for line in _log(each)] for each in (run_dir, run.whole))
    return None if steps == expected else f"its log has the steps {steps}"


def _weights(run_dir: Path) -> dict[str, Any]:
    last = max((run_dir / "snapshots").iterdir())
    return safetensors.numpy.load_file(last / "model.safetensors")


def _log(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
