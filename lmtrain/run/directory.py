"""The directory of a run: what it can go on from, and what it says of itself."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lmtrain.config import Config, differences
from lmtrain.errors import ConfigError, StorageError, UsageError
from lmtrain.files.atomic import write_file
from lmtrain.run.build import Corpora
from lmtrain.training.snapshot import Snapshot, SnapshotStore, read_snapshot


def snapshot_to_continue(store: SnapshotStore, resume: str, note: Callable[[str], None]) -> Snapshot | None:
    """The snapshot a run goes on from; None if it starts anew.

    Args:
        store: Of the run. Damaged snapshots newer than the one returned are set aside.
        resume: ``auto``, ``never`` or a snapshot directory.
        note: Told of damaged snapshots.

    Raises:
        ModelError: No snapshot is whole.
        UsageError: What was asked for would overwrite something.
    """
    run_dir = store.directory.parent
    holds_run = bool(store.steps()) or (run_dir / "metrics.jsonl").exists()
    if resume == "never":
        if holds_run:
            raise UsageError(
                f"{run_dir}: holds a run, and nothing is overwritten; choose another --run-dir, or continue "
                "it with --resume auto"
            )
        return None
    if resume != "auto":
        chosen = read_snapshot(Path(resume))
        is_its_last = chosen.path.resolve().parent == store.directory.resolve() and chosen.step == max(
            store.steps()
        )
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


def refuse_differences(run_dir: Path, snapshot: Snapshot, config: Config, corpora: Corpora) -> None:
    """Compares a run with what is to continue it: config, vocabulary and the content of its texts.

    Raises:
        ConfigError: They differ in what may not change; lists the differences.
    """
    problems = differences(snapshot.config, config)
    recorded = snapshot.provenance.sha256
    for name, digest in corpora.hashes().items():
        if name != "test" and recorded.get(name) != digest:
            what = "the vocabulary" if name == "vocab" else f"the content of data.{name}"
            problems.append(f"{what}: {str(recorded.get(name))[:8]} → {str(digest)[:8]} (SHA-256)")
    if problems:
        raise ConfigError(
            problems, f"{run_dir}: holds a run that differs from this one; choose another --run-dir, or undo"
        )


def write_description(run_dir: Path, config: Config, start: dict[str, Any], *, is_resumed: bool) -> None:
    """Writes ``config.yaml`` and ``environment.json``; the latter keeps every start of the run.

    Raises:
        StorageError: The disk or the system refused.
    """
    path = run_dir / "environment.json"
    first = _read_json(path) if is_resumed else {}
    first.pop("diverged", None)
    resumed = [*first.pop("resumed", []), start] if first else []
    text = json.dumps({**(first or start), "resumed": resumed}, indent=2, ensure_ascii=False)
    write_file(run_dir / "config.yaml", config.to_yaml().encode())
    write_file(path, f"{text}\n".encode())


def note_divergence(run_dir: Path, message: str) -> None:
    """Adds to ``environment.json`` why the run stopped, until it goes on; what cannot be written is left."""
    path = run_dir / "environment.json"
    if about := _read_json(path):
        with suppress(StorageError):
            text = json.dumps({**about, "diverged": message}, indent=2, ensure_ascii=False)
            write_file(path, f"{text}\n".encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
