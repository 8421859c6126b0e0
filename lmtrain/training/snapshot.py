"""The format of snapshots: complete, resumable states on disk.

A snapshot is a directory ``step-00001234`` of ``snapshot.json`` (the manifest), ``model.safetensors``,
``training.safetensors`` and ``vocab.txt``. Reading checks every byte. Nothing is pickled: tensors are
safetensors, everything else is JSON.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import safetensors
import safetensors.torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from lmtrain.corpus.vocab import MAX_VOCAB_BYTES, Vocabulary
from lmtrain.errors import DamagedSnapshotError, ModelError, StorageError
from lmtrain.training.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    MAX_TABLE_BYTES,
    MODEL,
    TRAINING,
    VOCAB,
    manifest_bytes,
    read_manifest,
)

_TENSOR = "$tensor"


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
    words_by_frequency: bool | None = None
    """Whether the words stand in order of frequency; None where that was not written down yet."""


class _FileEntry(_Part):
    size: int
    sha256: str


class Manifest(_Part):
    """What ``snapshot.json`` says."""

    format_version: Annotated[int, Field(gt=0)]
    step: Annotated[int, Field(ge=0)]
    config: dict[str, Any]
    provenance: Provenance
    state: dict[str, Any]
    files: dict[str, _FileEntry]
    finished: bool | None = None
    """Whether the run came to its end there; None in format 1."""


@dataclass(frozen=True)
class Snapshot:
    """A snapshot whose every byte has been checked against its manifest."""

    path: Path
    step: int
    config: dict[str, Any]
    """The resolved config of the run."""
    provenance: Provenance
    manifest: Mapping[str, Any]
    """All that ``snapshot.json`` says, as JSON values."""

    def vocab_bytes(self) -> bytes:
        """The vocabulary, one word a line."""
        return (self.path / VOCAB).read_bytes()

    def vocabulary(self) -> Vocabulary:
        """The words, and whether their places are ranks.

        Raises:
            ModelError: They are no vocabulary.
        """
        is_by_frequency = self.provenance.words_by_frequency
        if is_by_frequency is None:
            is_by_frequency = self.config.get("data", {}).get("vocab") is None
        return Vocabulary.from_bytes(
            self.vocab_bytes(), str(self.path / VOCAB), is_by_frequency=is_by_frequency
        )

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
            return _unpack(self.manifest["state"], safetensors.torch.load_file(self.path / TRAINING))


def snapshot_files(
    step: int,
    model: Mapping[str, Tensor],
    training_state: Any,
    vocab_bytes: bytes,
    *,
    config: dict[str, Any],
    provenance: Provenance,
) -> dict[str, bytes]:
    """The files of a snapshot by name, the manifest last."""
    tensors: dict[str, Tensor] = {}
    body = {
        "format_version": FORMAT_VERSION,
        "step": step,
        "finished": False,
        "config": config,
        "provenance": provenance.model_dump(),
        "state": _pack(training_state, tensors),
    }
    files = {
        MODEL: safetensors.torch.save({name: t.detach().contiguous() for name, t in model.items()}),
        TRAINING: safetensors.torch.save(tensors),
        VOCAB: vocab_bytes,
    }
    return {**files, MANIFEST: manifest_bytes(body, files)}


def read_snapshot(path: Path) -> Snapshot:
    """Reads a snapshot directory and checks every byte of it against the manifest.

    Raises:
        ModelError: It is missing, damaged, or of a newer format; names what is wrong.
    """
    manifest = checked_manifest(path)
    with _refusing_damage(path):
        if set(manifest.files) != {MODEL, TRAINING, VOCAB}:
            raise ValueError("its list of files is not that of a snapshot")
        for name, entry in manifest.files.items():
            _check_size(path / name, entry.size)
        for name in (MODEL, TRAINING):
            _check_header(path / name)
        for name, entry in manifest.files.items():
            _check_hash(path / name, entry.sha256)
        return Snapshot(path, manifest.step, manifest.config, manifest.provenance, manifest.model_dump())


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


def checked_manifest(path: Path) -> Manifest:
    """The manifest of a snapshot directory, whose other files are not looked at.

    Raises:
        ModelError: It is missing, damaged, or of a newer format.
    """
    if not path.is_dir():
        raise ModelError(f"{path}: there is no such snapshot")
    with _refusing_damage(path):
        body = read_manifest(path / MANIFEST)
        version = body["format_version"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ModelError(
                f"{path}: written in format {version}, newer than the {FORMAT_VERSION} this version reads; "
                "install a newer lmtrain"
            )
        try:
            return Manifest.model_validate(body)
        except ValidationError as error:
            first = error.errors()[0]
            message = first["msg"].removeprefix("Value error, ")  # pydantic's own words
            raise ValueError(f"{MANIFEST}: {'.'.join(map(str, first['loc']))}: {message}") from error


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
