"""Configs that do not hold, and files that are not what they are taken for."""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from bad_configs import GOOD, bad_configs
from fault_campaigns.program import Ending, in_a_child, limit_memory, start
from fault_campaigns.small_run import SmallRun, Tally
from hostile_files import (
    hostile_models,
    hostile_sidecars,
    hostile_snapshots,
    hostile_states,
    hostile_texts,
    hostile_vocabularies,
)

_COMMANDS = {
    "info": "info {path}",
    "eval": "eval {path} --data test.txt",
    "generate": "generate {path} --num-words 5",
    "resume": "train --config config.yaml --run-dir {fresh} --resume {path}",
    "read": "eval {model} --data {path}",
    "learn": "train --config config.yaml --run-dir {fresh} --set data.train={path}",
}
_RECIPES = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))
_SECOND = 1.0
_MOST_BYTES = 512 << 20
_HUNG = 20.0


def yaml(folder: Path, scale: float) -> Tally:
    """Bad configs: exit 2 within a second of the interpreter's start, one message."""
    tally = Tally(max(10, round(300 * scale)))
    config, trials = folder / "bad.yaml", folder / "trials"
    trials.mkdir()
    slowest = 0.0
    sample = set(random.Random(8).sample(range(tally.asked), max(2, round(20 * scale))))
    bare = min(_run_program(folder, [sys.executable, "-c", "pass"]).seconds for _ in range(3))
    slowest_program = 0.0
    for number, (what, text) in enumerate(bad_configs(_RECIPES, trials, tally.asked)):
        config.write_bytes(text)
        ending = start(["config", "validate", config.name], folder).wait()
        problems = [_unless_refused(ending, (2,), _SECOND)]
        slowest = max(slowest, ending.seconds)
        if number in sample:
            command = [sys.executable, "-m", "lmtrain", "train", "--config", config.name]
            ending = _run_program(folder, command)
            problems.append(_unless_refused(ending, (2,), _SECOND + bare))
            slowest_program = max(slowest_program, ending.seconds)
        left = {path.name for path in folder.iterdir()} - {"bad.yaml", "trials", "log.txt", "cache-of-all"}
        tally.count(what, *problems, f"wrote {left}" if left else None)
    tally.notes.append(f"slowest {slowest:.2f} s after the start of the program")
    tally.notes.append(
        f"{len(sample)} of them by `python -m lmtrain train`: slowest {slowest_program:.2f} s, "
        f"where `python -c pass` takes {bare:.2f} s"
    )
    config.write_text(GOOD)
    good = start(["config", "validate", config.name], folder).wait()
    tally.failures += [f"the good one: {good}"] if good.code else []
    return tally


def hostile(folder: Path, scale: float) -> Tally:
    """Hostile files where a model or text is expected: refused, nothing executed, no memory taken."""
    run = SmallRun(folder / "small")
    marker, files, fresh = folder / "marker", folder / "files", folder / "fresh"
    whole = min((run.whole / "snapshots").glob("step-*"))  # in the middle of the run
    known = (run.folder / "test.txt").read_bytes().splitlines(keepends=True)[0]
    made: dict[str, Callable[[Path], Iterator[Path]]] = {
        "info eval generate resume": lambda at: hostile_snapshots(whole, at, marker),
        "info eval generate": lambda at: hostile_vocabularies(whole, at, marker),
        "resume": lambda at: hostile_states(whole, at),
        "generate eval info resume": lambda at: hostile_models(at, marker),
        "read learn": lambda at: hostile_texts(at, marker),
        "read": lambda at: hostile_sidecars(at, marker, known),
    }
    tally = Tally(0)
    most_bytes, most_seconds, num_commands = 0, 0.0, 0
    for commands, make in made.items():
        # In a child, whose memory is gone with it: what this process has left over, its children could use.
        paths = in_a_child(partial(_made, make, files / commands))
        for path in paths[:: max(1, round(1 / scale))]:
            problems: list[str | None] = []
            for command in commands.split():
                words = _COMMANDS[command].split()
                arguments = [word.format(path=path, model=run.whole, fresh=fresh) for word in words]
                ending = start(arguments, run.folder, partial(limit_memory, 8 << 30)).wait(_HUNG)
                num_commands += 1
                most_bytes = max(most_bytes, ending.grown_bytes)
                most_seconds = max(most_seconds, ending.seconds)
                problems.append(_unless_refused(ending, (2, 3, 4), _HUNG))
                problems.append("it was executed" if marker.exists() else None)
                problems.append("it left a run behind" if fresh.exists() else None)
                marker.unlink(missing_ok=True)
                shutil.rmtree(fresh, ignore_errors=True)
            tally.asked += 1
            tally.count(Path(path).name, *problems)
    tally.notes.append(
        f"{num_commands} commands: at most {most_bytes / 1e6:.0f} MB more memory, {most_seconds:.1f} s"
    )
    return tally


def _made(make: Callable[[Path], Iterator[Path]], folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    return [str(path) for path in make(folder)]


def _unless_refused(ending: Ending, codes: tuple[int, ...], seconds: float) -> str | None:
    said = ending.log.read_text(errors="replace")
    if ending.code not in codes or "Traceback" in said or not said.startswith("lmtrain: "):
        return str(ending)
    if ending.seconds > seconds:
        return f"took {ending.seconds:.1f} s"
    return f"took {ending.grown_bytes / 1e6:.0f} MB" if ending.grown_bytes > _MOST_BYTES else None


def _run_program(folder: Path, command: Sequence[str]) -> Ending:
    """A program from nothing, with its interpreter's start."""
    log = folder / "log.txt"
    with log.open("w") as output:
        started = time.perf_counter()
        result = subprocess.run(command, cwd=folder, stdout=output, stderr=output, check=False)
        return Ending(result.returncode, 0, time.perf_counter() - started, log)
