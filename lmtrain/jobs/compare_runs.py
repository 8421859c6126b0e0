"""The runs in a folder, each told in a line: without torch, and without reading a weight."""

import hashlib
import json
import math
import os
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lmtrain.run.layout import RunFiles, is_finished, is_owned
from lmtrain.training.log import read_log
from lmtrain.training.manifest import MANIFEST, MAX_TABLE_BYTES, MODEL, STEP_NAME, read_manifest, read_regular

_TIMED_LINES = 50
"""Of the end of a log: their median is the speed."""
_FAULTS = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What a damaged file makes a reader raise."""


@dataclass
class RunSummary:
    """One run. What is not known is None."""

    path: Path
    status: str = "interrupted"
    """``finished``, ``running``, ``interrupted``, ``diverged`` or ``damaged``."""
    problem: str | None = None
    """What is wrong, in one line."""
    name: str | None = None
    model: str | None = None
    """Cell, layers × units: ``lstm 2×200 tied``."""
    num_parameters: int | None = None
    step: int | None = None
    """The last one logged or saved."""
    epoch: float | None = None
    best_step: int | None = None
    best_perplexity: float | None = None
    """Of the validation text, the lowest."""
    test_perplexity: float | None = None
    words_per_second: float | None = None
    """In training, the median over the last lines of the log."""
    elapsed: float | None = None
    """Seconds, interruptions left out."""
    updated: str | None = None
    """When the log was last written to, ISO 8601."""
    sha256: dict[str, str | None] = field(default_factory=dict)
    """Of the vocabulary and of each text: perplexities compare only where they agree."""
    recipe: str | None = None
    """SHA-256 of texts, rules, model and training: runs that have it in common differ by their seed alone."""

    def to_dict(self) -> dict[str, Any]:
        """The fields of ``runs --json``."""
        return {**asdict(self), "path": str(self.path)}


def find_runs(folder: Path) -> Iterator[Path]:
    """The run directories at or below a folder, in the order of their names; links are followed once.

    A directory is one if it has ``metrics.jsonl``, ``environment.json`` or ``snapshots/``: no run is looked
    for inside it, nor in hidden directories.

    Raises:
        OSError: The folder cannot be read; others that cannot are passed over.
    """
    yield from _find(folder, _listed(folder), set())


def _find(folder: Path, entries: list[os.DirEntry[str]], seen: set[tuple[int, int]]) -> Iterator[Path]:
    status = folder.stat()
    if (identity := (status.st_dev, status.st_ino)) in seen:
        return
    seen.add(identity)
    files = RunFiles(folder)
    signs = {files.log.name, files.environment.name, files.snapshots.name}
    if signs & {entry.name for entry in entries}:
        yield folder
        return
    for entry in entries:
        if not entry.name.startswith(".") and _is_directory(entry):
            try:
                inner = _listed(folder / entry.name)
            except OSError:
                continue
            yield from _find(folder / entry.name, inner, seen)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def summarise(run_dir: Path) -> RunSummary:
    """One run, whatever state it is in: what cannot be read is told in ``problem``."""
    run = RunSummary(run_dir)
    problems: list[str] = []
    manifest, is_damaged = _read_snapshots(run, problems)
    logged_step = _read_log(run, problems)
    diverged = _read_environment(run, problems)
    if run.model is None:
        _read_config(run, problems)
    if is_owned(run_dir):
        run.status = "running"
    elif is_damaged:
        run.status = "damaged"
    elif diverged:
        run.status, problems = "diverged", [diverged, *problems]
    elif manifest and is_finished(manifest, logged_step):
        run.status = "finished"
    run.name = run.name or run_dir.resolve().name
    run.problem = "; ".join(problems) or None
    return run


def _read_snapshots(run: RunSummary, problems: list[str]) -> tuple[dict[str, Any] | None, bool]:
    """Takes what the newest whole manifest says; returns it, and whether one newer than that is damaged."""
    folder, is_damaged = RunFiles(run.path).snapshots, False
    try:
        found = sorted(
            ((int(match[1]), path) for path in folder.iterdir() if (match := STEP_NAME.fullmatch(path.name))),
            reverse=True,
        )
    except OSError as error:
        problems.append("no snapshot" if isinstance(error, FileNotFoundError) else _told(folder.name, error))
        return None, False
    if not found:
        problems.append("no snapshot")
    for _, path in found:
        try:
            manifest = read_manifest(path / MANIFEST)
            _check_sizes(path, manifest["files"])
            _take_manifest(run, manifest)
            run.num_parameters = _count_parameters(path / MODEL)
            return manifest, is_damaged
        except _FAULTS as error:
            is_damaged = True
            problems.append(_told(path.name, error))
    return None, is_damaged


def _check_sizes(path: Path, files: dict[str, dict[str, Any]]) -> None:
    for name, entry in files.items():
        if (path / name).lstat().st_size != entry["size"]:
            raise ValueError(f"{name} has another size than when it was written")


def _take_manifest(run: RunSummary, manifest: dict[str, Any]) -> None:
    config, provenance = manifest["config"], manifest["provenance"]
    is_finished(manifest, -1)  # whether it can be asked
    run.name, run.model = str(config["name"]), _describe(config["model"])
    run.step = int(manifest["step"])
    run.epoch, run.elapsed = float(provenance["epoch"]), float(provenance["elapsed"])
    run.sha256, run.recipe = _texts(provenance["sha256"]), _recipe(config, provenance)
    if (loss := provenance["best_loss"]) is not None:
        run.best_step, run.best_perplexity = int(provenance["best_step"]), _exp(loss)


def _recipe(config: dict[str, Any], provenance: dict[str, Any]) -> str:
    data = {key: value for key, value in config["data"].items() if key not in ("train", "valid", "test")}
    train = {key: value for key, value in config["train"].items() if key not in ("threads", "accumulate")}
    streams = config.get("evaluation", {}).get("streams")
    origin = provenance["environment"].get("from", {}).get("sha256")
    parts = [provenance["sha256"], data, config["model"], train, streams, origin]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _describe(model: dict[str, Any]) -> str:
    words = [str(model["cell"]), f"{model['num_layers']}×{model['hidden_size']}"]
    words += ["tied"] if model["tie_weights"] else []
    words += [model["softmax"]] if model["softmax"] != "full" else []
    return " ".join(words)


def _count_parameters(path: Path) -> int:
    """Its weights are float32, after eight bytes for the length of a header and the header."""
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    return max(0, path.stat().st_size - 8 - header) // 4


def _read_log(run: RunSummary, problems: list[str]) -> int:
    """Takes the figures of ``metrics.jsonl``; returns the step of its last line, -1 where there is none."""
    path = RunFiles(run.path).log
    try:
        rows, num_damaged = read_log(
            path, lambda line: b"valid/" in line or b"test/" in line, last=_TIMED_LINES
        )
        run.updated = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    except FileNotFoundError:
        return -1
    except _FAULTS as error:
        problems.append(_told(path.name, error))
        return -1
    if num_damaged:
        problems.append(f"{path.name}: {num_damaged} damaged lines")
    for row in rows:
        valid = row.number("valid/perplexity")
        if valid is not None and (run.best_perplexity is None or valid < run.best_perplexity):
            run.best_step, run.best_perplexity = row.step, valid
        run.test_perplexity = row.number("test/perplexity") or run.test_perplexity
    speeds = [row.number("train/words_per_second") for row in rows[-_TIMED_LINES:]]
    if known := [speed for speed in speeds if speed is not None]:
        run.words_per_second = statistics.median(known)
    if not rows:
        return -1
    last = rows[-1]
    if run.step is None or last.step >= run.step:
        run.step, run.epoch = last.step, last.number("epoch")
        run.elapsed = last.number("elapsed") or run.elapsed
    return last.step


def _read_environment(run: RunSummary, problems: list[str]) -> str | None:
    """Takes the hashes where there is no snapshot; returns why the run diverged, if it did."""
    path = RunFiles(run.path).environment
    try:
        about = json.loads(read_regular(path, MAX_TABLE_BYTES))
        run.sha256 = run.sha256 or _texts(about["sha256"])
        return str(about["diverged"]) if "diverged" in about else None
    except FileNotFoundError:
        return None
    except _FAULTS as error:
        problems.append(_told(path.name, error))
        return None


def _read_config(run: RunSummary, problems: list[str]) -> None:
    """Takes name and model where there is no snapshot to tell them."""
    import yaml

    path = RunFiles(run.path).config
    try:
        config = yaml.safe_load(read_regular(path, MAX_TABLE_BYTES))
        run.name, run.model = str(config["name"]), _describe(config["model"])
    except FileNotFoundError:
        return
    except (*_FAULTS, yaml.YAMLError) as error:
        problems.append(_told(path.name, error))


def _texts(values: dict[str, Any]) -> dict[str, str | None]:
    return {name: None if value is None else str(value) for name, value in values.items()}


def _exp(loss: float) -> float | None:
    try:
        return math.exp(loss)
    except OverflowError:
        return None


def _told(what: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{what}: {Path(error.filename).name} is missing"
    if isinstance(error, OSError):
        return f"{what}: {error.strerror}"
    if isinstance(error, ValueError):
        return f"{what}: {str(error).splitlines()[0]}"
    return f"{what}: damaged"
