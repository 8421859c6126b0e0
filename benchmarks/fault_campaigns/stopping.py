"""Runs that are asked to stop, and runs whose numbers go wrong."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import safetensors.torch
import torch
from fault_campaigns.program import PHASE_NAMES, STEP, TESTING, VALIDATION, WRITING, Ending, Watch, wait_for
from fault_campaigns.small_run import SmallRun, Tally, unless

from lmtrain.errors import DivergenceError
from lmtrain.training.store import SnapshotStore
from lmtrain.training.trainer import Trainer

_STOPPED = 128 + signal.SIGTERM
_SECONDS = 10.0


def term(folder: Path, scale: float) -> Tally:
    """SIGTERM in all phases of a run, and while the interpreter starts; then the same command."""
    run = SmallRun(folder / "small")
    tally = Tally(max(10, round(100 * scale)))
    draws = random.Random(3)
    slowest, met = 0.0, dict.fromkeys((*PHASE_NAMES, "the interpreter's start"), 0)
    for number in range(tally.asked):
        run_dir = folder / f"run-{number}"
        if number % 10 == 9:
            phase, problem, seconds = _stopped_early(run, run_dir, draws)
        else:
            phase, problem, seconds = _stopped(run, run_dir, draws, number % 5)
        met[phase] += 1
        slowest = max(slowest, seconds)
        late = f"took {seconds:.1f} s" if seconds > _SECONDS else None
        tally.count(f"SIGTERM {number} during {phase}", problem, late, run.continued(run_dir))
        shutil.rmtree(run_dir)
    tally.notes.append(f"slowest end after {slowest:.2f} s")
    tally.notes.append("during " + ", ".join(f"{name} {times}" for name, times in met.items()))
    return tally


def _stopped(run: SmallRun, run_dir: Path, draws: random.Random, kind: int) -> tuple[str, str | None, float]:
    """Where a run was stopped, what was wrong with how it ended, and how long that took."""
    watch = Watch()
    process = run.start(run_dir, watch.spy)
    goals = {1: (STEP, run.steps), 2: (VALIDATION, 5), 3: (WRITING, 17), 4: (TESTING, 1)}
    if kind in goals:
        phase, most = goals[kind]
        wait_for(process, watch, phase, draws.randint(1, most))
        process.has_ended(draws.uniform(0, 0.005))
    else:
        process.has_ended(draws.uniform(0, 0.15))
    phase = watch.phase
    started = time.perf_counter()
    process.signal(signal.SIGTERM)
    ending = process.wait()
    seconds = time.perf_counter() - started
    made = watch.entries(STEP)
    found = max(SnapshotStore(run_dir / "snapshots").steps(), default=0)
    lost = f"{made} steps made, a snapshot of {found}" if made != found else None
    return PHASE_NAMES[phase], _badly_ended(ending) or lost, seconds


def _stopped_early(run: SmallRun, run_dir: Path, draws: random.Random) -> tuple[str, str | None, float]:
    """As ``_stopped``, of a program that starts from nothing."""
    log = run.folder / "log.txt"
    with log.open("w") as output:
        command = [sys.executable, "-m", "lmtrain", *run.arguments(run_dir)]
        process = subprocess.Popen(command, cwd=run.folder, stdout=output, stderr=output)
        time.sleep(draws.uniform(0, 3))
        started = time.perf_counter()
        process.terminate()
        ending = Ending(process.wait(), 0, time.perf_counter() - started, log)
    run_dir.mkdir(exist_ok=True)
    return "the interpreter's start", _badly_ended(ending), ending.seconds


def imports(folder: Path, scale: float) -> Tally:
    """SIGINT and SIGTERM while a module is being imported, torch's C extension importing NumPy among them."""
    run = SmallRun(folder / "small")
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(_AT_IMPORT)
    names = folder / "names.txt"
    _imported(run, folder, {"NAMES": str(names)})
    met = names.read_text().split()
    met = met[met.index("lmtrain.cli.program") :]
    wanted = max(2, round(50 * scale))
    modules = met[:: max(1, len(met) // wanted)][:wanted]
    tally = Tally(2 * len(modules))
    for number in (signal.SIGINT, signal.SIGTERM):
        for module in modules:
            code, said = _imported(run, folder, {"AT": module, "SIGNAL": str(int(number))})
            tally.count(
                f"{number.name} while importing {module}",
                None if code == 128 + number else f"exit {code}: {said[-300:]}",
                None if f"stopped by {number.name}" in said else "says something else",
                "a traceback" if "Traceback" in said else None,
            )
    tally.notes.append(f"{len(modules)} of {len(met)} modules, from {modules[0]} to {modules[-1]}")
    return tally


def _imported(run: SmallRun, folder: Path, hook: dict[str, str]) -> tuple[int, str]:
    """Exit code and messages of a run that is begun with the hook."""
    command = [sys.executable, "-m", "lmtrain", *run.arguments(folder / "run")]
    environment = {**os.environ, "PYTHONPATH": str(folder / "hook"), **hook}
    result = subprocess.run(command, cwd=run.folder, env=environment, capture_output=True, text=True)
    shutil.rmtree(folder / "run", ignore_errors=True)
    return result.returncode, result.stderr


_AT_IMPORT = """\
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if "NAMES" in os.environ:
            with open(os.environ["NAMES"], "a") as file:
                file.write(name + "\\n")
        if name == os.environ.get("AT"):
            del os.environ["AT"]
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))

sys.meta_path.insert(0, Finder())
"""
"""A ``sitecustomize`` that sends a signal, or notes all names, when modules are looked for."""


def _badly_ended(ending: Ending) -> str | None:
    # Before the program can listen, the system ends it, which a shell shows as the same 143.
    badly = unless(ending, 0, _STOPPED, -signal.SIGTERM)
    return badly or ("a traceback" if "Traceback" in ending.log.read_text() else None)


def nan(folder: Path, scale: float) -> Tally:
    """A number that is none in a hidden state or gradient: no update with it, no snapshot of it."""
    run = SmallRun(folder / "small")
    tally = Tally(max(4, round(50 * scale)))
    draws = random.Random(4)
    watch = Watch()
    for number in range(tally.asked):
        run_dir = folder / f"run-{number}"
        watch.reset()
        step = draws.randrange(1, run.steps)
        kind = ("hidden state", "gradient")[number % 2]
        value = draws.choice([float("nan"), float("inf"), -float("inf")])
        ending = run.start(run_dir, partial(_poison, watch, step, kind, value, draws)).wait()
        said = f"step {step + 1} is not finite" in ending.log.read_text()
        problems = [
            unless(ending, 5),
            None if said else f"says something else: {ending}",
            None if watch.mark else "weights or moments were changed",
            _not_finite(run_dir),
            run.continued(run_dir),
        ]
        tally.count(f"{value} in a {kind} at step {step + 1}", *problems)
        shutil.rmtree(run_dir)
    return tally


def _poison(watch: Watch, step: int, kind: str, value: float, draws: random.Random) -> None:
    """From here on, one step of this process meets a bad number; the watch is marked if nothing changed."""
    original = Trainer.step

    def spoil(tensor: torch.Tensor) -> torch.Tensor:
        spoilt = tensor.clone()
        spoilt.view(-1)[draws.randrange(spoilt.numel())] = value
        return spoilt

    def poisoned(self: Trainer) -> None:
        if self.steps != step:
            return original(self)
        if kind == "gradient":
            weight: Any = draws.choice(list(self.model.parameters()))
            weight.register_hook(spoil)
        elif self.hidden is not None:
            layer = draws.randrange(len(self.hidden))
            self.hidden[layer] = tuple(map(spoil, self.hidden[layer]))
        before = _copied(self)
        try:
            return original(self)
        except DivergenceError:
            watch.mark = int(all(map(torch.equal, before, _copied(self))))
            raise

    patch.object(Trainer, "step", poisoned).start()


def _copied(trainer: Trainer) -> list[torch.Tensor]:
    moments: dict[str, dict[str, Any]] = trainer.optimizer.state_dict()["moments"]
    tensors = [t for of_weight in moments.values() for t in of_weight.values()]
    return [tensor.detach().clone() for tensor in (*trainer.model.parameters(), *tensors)]


def _not_finite(run_dir: Path) -> str | None:
    for path in (run_dir / "snapshots").glob("*/*.safetensors"):
        for name, tensor in safetensors.torch.load_file(path).items():
            if not torch.isfinite(tensor).all():
                return f"{os.fspath(path)} holds {name}, which is not finite"
    return None
