"""What a run goes on from, the same for all processes that train it: the first reads it and hands it on."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lmtrain.files.atomic import refusing_faults
from lmtrain.run.layout import RunFiles, is_finished, is_within
from lmtrain.training.distributed import Ranks
from lmtrain.training.log import last_logged_step
from lmtrain.training.manifest import MANIFEST
from lmtrain.training.snapshot import Snapshot, read_snapshot
from lmtrain.training.store import SnapshotStore


@dataclass(frozen=True)
class Continued:
    """A snapshot, and what the run directory says of it."""

    snapshot: Snapshot
    is_own: bool
    """Whether it lies in the run directory: otherwise the run branches off from another."""
    kept_steps: frozenset[int]
    """Of the snapshots in the run directory."""
    is_finished: bool
    """Whether the run came to its end there."""


@contextmanager
def continued(
    snapshot: Snapshot | None, store: SnapshotStore, ranks: Ranks, scratch: Path | None = None
) -> Iterator[Continued | None]:
    """What the first process goes on from, for all; None for a new run.

    Args:
        snapshot: In the first process: what it has found.
        store: Of the run; only the first process looks into it.
        ranks: The processes.
        scratch: Where the others keep the files while the block lasts; by default where the system does.

    Raises:
        LostProcessError: Another process is gone.
        StorageError: The files cannot be kept.
    """
    facts = None
    if snapshot:
        is_over = is_finished(snapshot.manifest, last_logged_step(RunFiles(store.directory.parent).log))
        sizes = {name: entry["size"] for name, entry in snapshot.manifest["files"].items()}
        manifest = (snapshot.path / MANIFEST).stat().st_size
        facts = [is_within(snapshot, store), store.steps(), is_over, {**sizes, MANIFEST: manifest}]
    facts = ranks.say(facts)
    if facts is None:
        yield None
        return
    is_own, steps, is_over, sizes = facts
    with _handed_on(snapshot, sizes, ranks, scratch) as here:
        yield Continued(here, is_own, frozenset(steps), is_over)


@contextmanager
def _handed_on(
    snapshot: Snapshot | None, sizes: dict[str, int], ranks: Ranks, scratch: Path | None
) -> Iterator[Snapshot]:
    if snapshot:
        if ranks.size > 1:
            for name in sizes:
                ranks.take_first([torch.from_numpy(np.fromfile(snapshot.path / name, np.uint8))])
        yield snapshot
        return
    with tempfile.TemporaryDirectory(dir=scratch) as folder, refusing_faults(Path(folder)):
        for name, size in sizes.items():
            data = torch.zeros(size, dtype=torch.uint8)
            ranks.take_first([data])
            data.numpy().tofile(Path(folder, name))
        yield read_snapshot(Path(folder))
