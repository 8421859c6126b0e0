"""Run directories become a picture of their curves."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lmtrain.errors import ModelError, UsageError
from lmtrain.files.atomic import write_file
from lmtrain.jobs.labels import labels_of
from lmtrain.report.plots import RunCurves, curves_of, draw_runs
from lmtrain.report.style import FORMATS, drawing, picture_bytes


def plot_runs(run_dirs: Sequence[Path], out: Path) -> None:
    """Draws the curves of runs, finished or not, and writes them in place of an earlier picture.

    Args:
        run_dirs: The runs, each with a ``metrics.jsonl``.
        out: A file whose suffix says its format: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        ModelError: There is no such run, or it has logged nothing yet.
        UsageError: The suffix is of no format.
        StorageError: The picture cannot be written.
    """
    kind = out.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise UsageError(f"--out {out}: a picture ends in {', '.join('.' + f for f in FORMATS)}")
    names = labels_of(run_dirs)
    curves = [read_curves(run_dir, name) for run_dir, name in zip(run_dirs, names, strict=True)]
    with drawing():
        picture = picture_bytes(draw_runs(curves), kind)
    write_file(out, picture)


def read_curves(run_dir: Path, name: str) -> RunCurves:
    """The curves of one run; see ``plot_runs``."""
    path = run_dir / "metrics.jsonl"
    if not path.is_file():
        raise ModelError(f"{run_dir}: no run directory: there is no metrics.jsonl in it")
    rows = list(_rows(path))
    if not rows:
        raise ModelError(f"{path}: no figures yet: nothing has been logged (logging.every counts steps)")
    num_tokens = _training_tokens(run_dir)
    if num_tokens is None:
        raise ModelError(
            f"{run_dir}: neither environment.json nor a snapshot says how long its training text is"
        )
    return curves_of(name, rows, num_tokens)


def _rows(path: Path) -> Iterator[dict[str, float | None]]:
    """The whole lines; a run that is going on may be writing one."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        row = _parse(line)
        numbers = {
            key: value for key, value in row.items() if value is None or isinstance(value, int | float)
        }
        if isinstance(numbers.get("step"), int) and isinstance(numbers.get("epoch"), int | float):
            yield numbers


def _training_tokens(run_dir: Path) -> int | None:
    environment = _read(run_dir / "environment.json")
    manifests = sorted(run_dir.glob("snapshots/step-*/snapshot.json"))
    found = [environment, *(_read(path).get("provenance") for path in reversed(manifests))]
    counts = (facts.get("num_tokens") for facts in found if isinstance(facts, dict))
    return next((count for count in counts if isinstance(count, int) and count > 0), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _parse(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
