"""Which snapshots of a run are kept, and how they come to be there whole.

One is written beside its place and moved there::

    temporary directory → files, each fsynced → manifest with the SHA-256 of each → fsync of the directory
    → rename → fsync of the parent → only then are old snapshots removed

so that a directory of its name is whole, or was damaged later.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lmtrain.errors import DamagedSnapshotError, ModelError, StorageError
from lmtrain.files.atomic import make_directory, refusing_faults, sync_directory, write_file, write_synced
from lmtrain.training.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    MAX_TABLE_BYTES,
    STEP_NAME,
    read_manifest,
    sealed,
)
from lmtrain.training.snapshot import Provenance, Snapshot, checked_manifest, read_snapshot, snapshot_files

_TEMPORARY, _REPLACED = ".writing-", ".replaced-"
_INTACT = "the snapshots there were are intact"


class SnapshotStore:
    """The snapshots of one run.

    Args:
        directory: Where they lie; made when the first one is written.
        keep: How many of the newest are kept; the best one always is.
    """

    def __init__(self, directory: Path, keep: int = 3) -> None:
        self.directory = directory
        self.keep = keep

    def write(
        self,
        step: int,
        model: Mapping[str, Tensor],
        training_state: Any,
        vocab_bytes: bytes,
        *,
        config: dict[str, Any],
        provenance: Provenance,
    ) -> Path:
        """Writes the snapshot of a step, in place of an earlier one of that step, then removes old ones.

        Raises:
            StorageError: The disk or the system refused; what was there before is untouched.
        """
        files = snapshot_files(step, model, training_state, vocab_bytes, config=config, provenance=provenance)
        target = self.path_of(step)
        temporary = self.directory / f"{_TEMPORARY}{target.name}"
        if len(files[MANIFEST]) > MAX_TABLE_BYTES:
            raise StorageError(f"{target}: not written: its {MANIFEST} would be too large to be read again")
        with refusing_faults(target, advice=_INTACT):
            make_directory(self.directory)
            self._recover()
            try:
                temporary.mkdir()
                for name, data in files.items():
                    write_synced(temporary / name, data)
                sync_directory(temporary)
            except OSError:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            self._move_into_place(temporary, target)
            self._prune(provenance.best_step)
        return target

    def finish(self, step: int, tested: str | None) -> None:
        """Writes into the manifest of a step that the run has come to its end there.

        Args:
            step: The last one.
            tested: SHA-256 of the text that its best model was tested on, if there is one.

        Raises:
            StorageError: The disk or the system refused; the manifest is as it was.
        """
        path = self.path_of(step) / MANIFEST
        body = {**read_manifest(path), "format_version": FORMAT_VERSION, "finished": True}
        body["provenance"]["sha256"]["test"] = tested
        write_file(path, sealed(body))

    def path_of(self, step: int) -> Path:
        """Where the snapshot of a step lies, if there is one."""
        return self.directory / f"step-{step:08d}"

    def recover(self) -> None:
        """Finishes or undoes what an interrupted write left behind; to be called at the start of a run.

        Raises:
            StorageError: The disk or the system refused.
        """
        with refusing_faults(self.directory, advice=_INTACT):
            self._recover()

    def _recover(self) -> None:
        for replaced in self.directory.glob(f"{_REPLACED}*"):
            target = self.directory / replaced.name.removeprefix(_REPLACED)
            if target.exists():
                shutil.rmtree(replaced)
            else:
                replaced.rename(target)
        for temporary in self.directory.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(temporary)

    def steps(self) -> list[int]:
        """The steps there are snapshots of, ascending, whole or not."""
        if not self.directory.is_dir():
            return []
        matches = (STEP_NAME.fullmatch(path.name) for path in self.directory.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def read(self, step: int) -> Snapshot:
        """One snapshot, checked.

        Raises:
            ModelError: It is missing or damaged.
        """
        return read_snapshot(self.path_of(step))

    def newest(self) -> tuple[Snapshot | None, dict[int, DamagedSnapshotError]]:
        """The newest whole snapshot, and by step what is wrong with each newer one.

        Raises:
            ModelError: There are snapshots, and none is whole; or the newest is of a newer format.
            StorageError: One cannot be read, which says nothing of whether it is whole.
        """
        damaged: dict[int, DamagedSnapshotError] = {}
        for step in reversed(self.steps()):
            try:
                return self.read(step), damaged
            except DamagedSnapshotError as error:
                damaged[step] = error
        if damaged:
            raise _none_is_whole(self.directory, list(damaged.values()))
        return None, damaged

    def best_step(self, note: Callable[[str], object]) -> int | None:
        """The step of the best snapshot by validation, as the newest manifest has it; None without any.

        The snapshots themselves are not read.

        Args:
            note: Told of newer manifests that are damaged.

        Raises:
            ModelError: No manifest is whole.
        """
        damaged: list[DamagedSnapshotError] = []
        for step in reversed(self.steps()):
            try:
                manifest = checked_manifest(self.path_of(step))
            except DamagedSnapshotError as error:
                damaged.append(error)
                continue
            for each in damaged:
                note(f"{each}; the one before says which is the best")
            return manifest.provenance.best_step
        raise _none_is_whole(self.directory, damaged)

    def set_aside(self, step: int) -> Path:
        """Gives a damaged snapshot a name that is no snapshot's, so that it counts as none any more.

        Raises:
            StorageError: The disk or the system refused.
        """
        source = self.path_of(step)
        number = 1
        while (target := self.directory / f"damaged-{source.name}.{number}").exists():
            number += 1
        with refusing_faults(source, advice=_INTACT):
            source.rename(target)
            sync_directory(self.directory)
        return target

    def _move_into_place(self, temporary: Path, target: Path) -> None:
        replaced = self.directory / f"{_REPLACED}{target.name}"
        if target.exists():
            target.rename(replaced)
        temporary.rename(target)
        sync_directory(self.directory)
        if replaced.exists():
            shutil.rmtree(replaced)

    def _prune(self, best_step: int | None) -> None:
        for step in self.steps()[: -self.keep]:
            if step != best_step:
                # Renamed first: a removal cut short must not leave half a snapshot under its name.
                doomed = self.path_of(step)
                temporary = self.directory / f"{_TEMPORARY}{doomed.name}"
                doomed.rename(temporary)
                shutil.rmtree(temporary)


def _none_is_whole(directory: Path, damaged: list[DamagedSnapshotError]) -> ModelError:
    headline = f"{directory}: no snapshot is whole; nothing was changed"
    return ModelError("\n".join([headline, *map(str, damaged)]))
