"""Snapshots: complete, resumable states on disk that survive a kill, a power cut and a full disk.

A snapshot is a directory ``step-00001234`` of ``snapshot.json`` (the manifest), ``model.safetensors``,
``training.safetensors`` and ``vocab.txt``. It is written beside its place and moved there::

    temporary directory → files, each fsynced → manifest with the SHA-256 of each → fsync of the directory
    → rename → fsync of the parent → only then are old snapshots removed

so that a directory of that name is whole, or was damaged later; reading checks every byte. Nothing is
pickled: tensors are safetensors, everything else is JSON.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from lmtrain.corpus.vocab import MAX_VOCAB_BYTES
from lmtrain.errors import DamagedSnapshotError, ModelError, StorageError
from lmtrain.files.atomic import make_directory, refusing_faults, sync_directory, write_synced
from lmtrain.training.manifest import (
    MANIFEST,
    MAX_TABLE_BYTES,
    MODEL,
    STEP_NAME,
    manifest_bytes,
    read_manifest,
)

FORMAT_VERSION = 1
TRAINING = "training.safetensors"
VOCAB = "vocab.txt"

_TEMPORARY, _REPLACED = ".writing-", ".replaced-"
_TENSOR = "$tensor"
_INTACT = "the snapshots there were are intact"


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Provenance(_Part):
    """Where a snapshot comes from: what describes the run and does not train it."""

    environment: dict[str, Any]
    """Versions, processor, threads, devices."""
    sha256: dict[str, str | None]
    """Of the vocabulary and of each text, by ``vocab``, ``train``, ``valid``, ``test``."""
    num_tokens: int
    """Of the training text."""
    epoch: float
    best_step: int | None
    best_loss: float | None
    """Validation loss in nats per token at ``best_step``."""
    elapsed: float
    """Seconds of training so far."""


class _FileEntry(_Part):
    size: int
    sha256: str


class _Manifest(_Part):
    format_version: Annotated[int, Field(gt=0)]
    step: Annotated[int, Field(ge=0)]
    config: dict[str, Any]
    provenance: Provenance
    state: dict[str, Any]
    files: dict[str, _FileEntry]


@dataclass(frozen=True)
class Snapshot:
    """A snapshot whose every byte has been checked against its manifest."""

    path: Path
    step: int
    config: dict[str, Any]
    """The resolved config of the run."""
    provenance: Provenance
    _state: dict[str, Any]

    def vocab_bytes(self) -> bytes:
        """The vocabulary, one word a line."""
        return (self.path / VOCAB).read_bytes()

    def model_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight, all float32, without reading any."""
        with _refusing_damage(self.path), safetensors.safe_open(self.path / MODEL, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            for name, weight in slices.items():
                if weight.get_dtype() != "F32":
                    raise ValueError(f"{name} is {weight.get_dtype()}, not F32")
            return {name: tuple(weight.get_shape()) for name, weight in slices.items()}

    def model_tensors(self) -> dict[str, Tensor]:
        """The weights by name, on the CPU."""
        with _refusing_damage(self.path):
            return safetensors.torch.load_file(self.path / MODEL)

    def training_state(self) -> Any:
        """What ``state_dict`` gave when the snapshot was written: nested JSON values and tensors."""
        with _refusing_damage(self.path):
            return _unpack(self._state, safetensors.torch.load_file(self.path / TRAINING))


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
        tensors: dict[str, Tensor] = {}
        body = {
            "format_version": FORMAT_VERSION,
            "step": step,
            "config": config,
            "provenance": provenance.model_dump(),
            "state": _pack(training_state, tensors),
        }
        files = {
            MODEL: safetensors.torch.save({name: t.detach().contiguous() for name, t in model.items()}),
            TRAINING: safetensors.torch.save(tensors),
            VOCAB: vocab_bytes,
        }
        manifest = manifest_bytes(body, files)
        target = self.directory / f"step-{step:08d}"
        temporary = self.directory / f"{_TEMPORARY}{target.name}"
        if len(manifest) > MAX_TABLE_BYTES:
            raise StorageError(f"{target}: not written: its {MANIFEST} would be too large to be read again")
        with refusing_faults(target, advice=_INTACT):
            make_directory(self.directory)
            self._recover()
            try:
                temporary.mkdir()
                for name, data in files.items():
                    write_synced(temporary / name, data)
                write_synced(temporary / MANIFEST, manifest)
                sync_directory(temporary)
            except OSError:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            self._move_into_place(temporary, target)
            self._prune(provenance.best_step)
        return target

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
        return read_snapshot(self.directory / f"step-{step:08d}")

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
            raise ModelError(
                "\n".join(
                    [
                        f"{self.directory}: no snapshot is whole; nothing was changed",
                        *map(str, damaged.values()),
                    ]
                )
            )
        return None, damaged

    def set_aside(self, step: int) -> Path:
        """Gives a damaged snapshot a name that is no snapshot's, so that it counts as none any more.

        Raises:
            StorageError: The disk or the system refused.
        """
        source = self.directory / f"step-{step:08d}"
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
                doomed = self.directory / f"step-{step:08d}"
                temporary = self.directory / f"{_TEMPORARY}{doomed.name}"
                doomed.rename(temporary)
                shutil.rmtree(temporary)


def read_snapshot(path: Path) -> Snapshot:
    """Reads a snapshot directory and checks every byte of it against the manifest.

    Raises:
        ModelError: It is missing, damaged, or of a newer format; names what is wrong.
    """
    body = _checked_manifest(path / MANIFEST)
    with _refusing_damage(path):
        version = body["format_version"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ModelError(
                f"{path}: written in format {version}, newer than the {FORMAT_VERSION} this version reads; "
                "install a newer lmtrain"
            )
        manifest = _validated(body)
        if set(manifest.files) != {MODEL, TRAINING, VOCAB}:
            raise ValueError("its list of files is not that of a snapshot")
        for name, entry in manifest.files.items():
            _check_size(path / name, entry.size)
        for name in (MODEL, TRAINING):
            _check_header(path / name)
        for name, entry in manifest.files.items():
            _check_hash(path / name, entry.sha256)
        return Snapshot(path, manifest.step, manifest.config, manifest.provenance, manifest.state)


def _pack(value: Any, tensors: dict[str, Tensor], name: str = "state") -> Any:
    """Moves the tensors of a nested value into ``tensors`` and leaves their names in their places."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {_TENSOR: name}
    if isinstance(value, dict):
        return {key: _pack(item, tensors, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(item, tensors, f"{name}.{i}") for i, item in enumerate(value)]
    return value


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_TENSOR}:
            return tensors[value[_TENSOR]]
        return {key: _unpack(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    return value


def _checked_manifest(path: Path) -> dict[str, Any]:
    if not path.parent.is_dir():
        raise ModelError(f"{path.parent}: there is no such snapshot")
    with _refusing_damage(path.parent):
        return read_manifest(path)


def _validated(body: dict[str, Any]) -> _Manifest:
    try:
        return _Manifest.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{MANIFEST}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _check_size(path: Path, size: int) -> None:
    """Before a byte is read: a sparse file takes no room and can be of any size."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path.name} is not a regular file")
    if status.st_size != size:
        raise ValueError(f"{path.name} has {status.st_size:,} bytes, not {size:,}")
    if path.name == VOCAB and size > MAX_VOCAB_BYTES:
        raise ValueError(f"{path.name} is larger than any real one")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise ModelError(f"{path}: its {size:,} bytes are more than the memory of this machine, {memory:,}")


def _check_header(path: Path) -> None:
    """Before it is hashed: the tensors it tells of are exactly what it holds."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > MAX_TABLE_BYTES:
        raise ValueError(f"{path.name} has a header larger than any real one")
    try:
        with safetensors.safe_open(path, "pt"):
            pass
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _check_hash(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise ValueError(f"{path.name} does not match its SHA-256")


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    """Turns whatever a damaged file makes a reader raise into one clear error."""
    try:
        yield
    except FileNotFoundError as error:
        missing = Path(error.filename or "").name
        raise DamagedSnapshotError(f"{path}: damaged snapshot: {missing} is missing") from error
    except (IsADirectoryError, NotADirectoryError) as error:
        raise DamagedSnapshotError(f"{path}: damaged snapshot: {error}") from error
    except OSError as error:  # the snapshot may be whole: nothing must be concluded from it
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (
        safetensors.SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise DamagedSnapshotError(f"{path}: damaged snapshot: {error}") from error


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    """The weights of a model by name; a matrix that two parts share stands there once."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}
