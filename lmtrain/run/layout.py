"""The directory of a run: its files, its lock, which of its snapshots is meant, and whether it is finished.

Training, all that uses a model and the table of runs ask here, and so mean the same. Nothing slow is imported
before a snapshot is read, so that a second process is refused at once.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from lmtrain.errors import ModelError, StorageError, UsageError
from lmtrain.files.atomic import write_file
from lmtrain.files.paths import meant
from lmtrain.training.manifest import MANIFEST

if TYPE_CHECKING:
    from lmtrain.training.snapshot import Snapshot
    from lmtrain.training.store import SnapshotStore

_PATIENCE = 0.2
"""Seconds: ``is_owned`` holds a lock for an instant."""


@dataclass(frozen=True)
class RunFiles:
    """What lies where in a run directory."""

    run_dir: Path

    @property
    def config(self) -> Path:
        """The config with every value."""
        return self.run_dir / "config.yaml"

    @property
    def environment(self) -> Path:
        """What the run was made with, at each of its starts."""
        return self.run_dir / "environment.json"

    @property
    def log(self) -> Path:
        """A line an event."""
        return self.run_dir / "metrics.jsonl"

    @property
    def board(self) -> Path:
        """TensorBoard's files."""
        return self.run_dir / "tensorboard"

    @property
    def snapshots(self) -> Path:
        """Where the snapshots lie."""
        return self.run_dir / "snapshots"

    @property
    def lock(self) -> Path:
        """Held by the process that trains."""
        return self.run_dir / ".lock"


def run_of(snapshot: Path) -> RunFiles | None:
    """The run that the directory of a snapshot belongs to; None where it lies elsewhere."""
    run = RunFiles(snapshot.parent.parent)
    return run if run.snapshots == snapshot.parent else None


@contextmanager
def owning(run_dir: Path) -> Iterator[None]:
    """Holds the lock of a run directory, made if missing; the lock dies with the process.

    A directory that was made and stayed empty is removed again. Within a process it may be owned twice.

    Raises:
        StorageError: Another process holds it, or the system refused.
    """
    made = [path for path in (run_dir, *run_dir.parents) if not path.exists()]
    path = RunFiles(run_dir).lock
    lock = FileLock(path, is_singleton=True)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=_PATIENCE, poll_interval=0.02)
    except Timeout as error:
        raise StorageError(f"{run_dir}: another process is training here; wait for it or stop it") from error
    except OSError as error:
        raise StorageError(f"{run_dir}: cannot be used as run directory: {error.strerror}") from error
    try:
        yield
    finally:
        if made and [entry.name for entry in run_dir.iterdir()] == [path.name]:
            path.unlink()
            for empty in made:
                empty.rmdir()
        lock.release()


def is_owned(run_dir: Path) -> bool:
    """Whether a process holds the lock of a run directory; also where that cannot be written to."""
    try:
        descriptor = os.open(RunFiles(run_dir).lock, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def is_finished(manifest: Mapping[str, Any], logged_step: int) -> bool:
    """Whether a run has come to its end, the test included.

    Format 1 has no word for it: its config says where training ends, and that the log has come so far says
    that all of it was done.

    Args:
        manifest: Of its last snapshot.
        logged_step: The last in its log, -1 where there is none. Beyond the snapshot, the run has been begun
            anew with a later end.

    Raises:
        LookupError, TypeError: The manifest is none.
    """
    step = manifest["step"]
    if manifest["format_version"] > 1:
        return bool(manifest["finished"]) and logged_step <= step
    train = manifest["config"]["train"]
    stopping = train["early_stopping"]
    is_out_of_patience = stopping and manifest["state"]["bad_evaluations"] >= stopping["patience"]
    steps, epochs = train["max_steps"], train["epochs"]
    is_at_end = step >= steps if steps is not None else manifest["provenance"]["epoch"] >= epochs
    return bool(is_at_end or is_out_of_patience) and logged_step == step


def find_snapshot(path: Path, which: str | None = None, note: Callable[[str], object] = str) -> "Snapshot":
    """The snapshot that ``MODEL`` and ``--snapshot`` name.

    Args:
        path: A run directory or one snapshot directory.
        which: For a run directory: ``best``, ``last`` or a step; by default the best by validation, else
            the last.
        note: Told of damaged snapshots that do not matter.

    Raises:
        ModelError: There is no such model, or it is damaged.
        UsageError: ``which`` has no meaning here.
    """
    from lmtrain.training.snapshot import read_snapshot
    from lmtrain.training.store import SnapshotStore

    if (path / MANIFEST).exists():
        if which is not None:
            raise UsageError(f"{path}: one snapshot; --snapshot {which} picks from a run directory")
        return read_snapshot(path)
    store = SnapshotStore(RunFiles(path).snapshots)
    steps = store.steps()
    if not steps:
        raise ModelError(f"{path}: neither a run directory with a snapshot nor a snapshot{meant(path)}")
    if which not in (None, "best", "last"):
        if not which.isdecimal():
            raise UsageError(f"--snapshot {which}: allowed: best, last or the number of a step")
        if int(which) not in steps:
            raise ModelError(
                f"{path}: there is no snapshot of step {which}, only of {', '.join(map(str, steps))}"
            )
        return store.read(int(which))
    if which == "last":
        return store.read(steps[-1])
    best_step = store.best_step(note)
    if which == "best" and best_step is None:
        raise ModelError(f"{path}: no snapshot is the best, since the run was not validated; use last")
    return store.read(steps[-1] if best_step is None else best_step)


def snapshot_to_continue(
    store: "SnapshotStore", resume: str, note: Callable[[str], object]
) -> "Snapshot | None":
    """The snapshot a run goes on from; None if it starts anew.

    Args:
        store: Of the run. Damaged snapshots newer than the one returned are set aside.
        resume: ``auto``, ``never`` or a snapshot directory.
        note: Told of damaged snapshots.

    Raises:
        ModelError: No snapshot is whole.
        UsageError: What was asked for would overwrite something, or names no snapshot.
    """
    run_dir = store.directory.parent
    holds_run = bool(store.steps()) or RunFiles(run_dir).log.exists()
    if resume == "never":
        if holds_run:
            raise UsageError(
                f"{run_dir}: holds a run, and nothing is overwritten; choose another --run-dir, or continue "
                "it with --resume auto"
            )
        return None
    if resume != "auto":
        chosen = _snapshot_named(resume)
        is_its_last = is_within(chosen, store) and chosen.step == max(store.steps())
        if holds_run and not is_its_last:
            raise UsageError(
                f"{run_dir}: holds a run that has gone elsewhere from there, and nothing is overwritten; "
                "continue it with --resume auto, or choose another --run-dir to branch off"
            )
        return chosen
    newest, damaged = store.newest()
    for step, error in damaged.items():
        note(f"{error}; left aside as {store.set_aside(step).name}, the one before is used")
    return newest


def is_within(snapshot: "Snapshot", store: "SnapshotStore") -> bool:
    """Whether a snapshot is one of a store, and not of a run that another branches off from."""
    return snapshot.path.resolve().parent == store.directory.resolve()


def _snapshot_named(resume: str) -> "Snapshot":
    from lmtrain.training.snapshot import read_snapshot
    from lmtrain.training.store import SnapshotStore

    if not resume:
        raise UsageError("--resume: nothing is named; allowed: auto, never or a snapshot directory")
    path = Path(resume)
    store = SnapshotStore(RunFiles(path).snapshots)
    if not (path / MANIFEST).exists() and (steps := store.steps()):
        raise UsageError(
            f"--resume {path}: a run directory; name one of its snapshots, such as {store.path_of(steps[-1])}"
        )
    return read_snapshot(path)


def write_description(run_dir: Path, config: str, start: dict[str, Any], *, is_resumed: bool) -> None:
    """Writes ``config.yaml`` and ``environment.json``; the latter keeps every start of the run.

    Args:
        run_dir: Of the run.
        config: YAML with every value.
        start: What this start is made with, as JSON values.
        is_resumed: Whether the run goes on.

    Raises:
        StorageError: The disk or the system refused.
    """
    files = RunFiles(run_dir)
    first = _read_json(files.environment) if is_resumed else {}
    first.pop("diverged", None)
    resumed = [*first.pop("resumed", []), start] if first else []
    write_file(files.config, config.encode())
    _write_json(files.environment, {**(first or start), "resumed": resumed})


def note_divergence(run_dir: Path, message: str) -> None:
    """Adds to ``environment.json`` why the run stopped, until it goes on; what cannot be written is left."""
    path = RunFiles(run_dir).environment
    if about := _read_json(path):
        with suppress(StorageError):
            _write_json(path, {**about, "diverged": message})


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_file(path, f"{json.dumps(values, indent=2, ensure_ascii=False)}\n".encode())
