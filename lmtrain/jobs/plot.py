"""Run directories become a picture of their curves."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lmtrain.errors import ModelError, UsageError
from lmtrain.files.atomic import write_file
from lmtrain.jobs.labels import labels_of
from lmtrain.report.plots import PANELS, Limits, RunCurves, curves_of, draw_runs
from lmtrain.report.style import FORMATS, drawing, picture_bytes
from lmtrain.run.layout import RunFiles
from lmtrain.training.log import read_log
from lmtrain.training.manifest import MANIFEST


def plot_runs(
    run_dirs: Sequence[Path],
    out: Path,
    panels: Sequence[str] = PANELS[:4],
    limits: Limits | None = None,
) -> None:
    """Draws the curves of runs, finished or not, and writes them in place of an earlier picture.

    Args:
        run_dirs: The runs, each with a ``metrics.jsonl``.
        out: A file whose suffix says its format: ``.png``, ``.svg`` or ``.pdf``.
        panels: Which of ``PANELS``.
        limits: Of the axes, where there is one panel.

    Raises:
        ModelError: There is no such run, or it has logged nothing yet.
        UsageError: The suffix is of no format, a panel is unknown, or limits are of several panels.
        StorageError: The picture cannot be written.
    """
    kind = out.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise UsageError(f"--out {out}: a picture ends in {', '.join('.' + f for f in FORMATS)}")
    if unknown := [name for name in panels if name not in PANELS]:
        raise UsageError(f"--panel {unknown[0]}: unknown; there are {', '.join(PANELS)}")
    if limits and len(panels) != 1:
        raise UsageError("limits of axes are those of one panel: name it with --panel")
    names = labels_of(run_dirs)
    curves = [read_curves(run_dir, name) for run_dir, name in zip(run_dirs, names, strict=True)]
    with drawing():
        picture = picture_bytes(draw_runs(curves, panels, limits), kind)
    write_file(out, picture)


def read_curves(run_dir: Path, name: str) -> RunCurves:
    """The curves of one run; see ``plot_runs``."""
    path = RunFiles(run_dir).log
    if not path.is_file():
        raise ModelError(f"{run_dir}: no run directory: there is no {path.name} in it")
    try:
        events, _ = read_log(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    if not any("epoch" in event.figures for event in events):
        raise ModelError(f"{path}: no figures yet: nothing has been logged (logging.every counts steps)")
    num_tokens = _training_tokens(run_dir)
    if num_tokens is None:
        raise ModelError(
            f"{run_dir}: neither environment.json nor a snapshot says how long its training text is"
        )
    rows = [{"step": event.step, **event.figures} for event in events]
    curves = curves_of(name, rows, num_tokens)
    try:
        config = yaml.safe_load(RunFiles(run_dir).config.read_text(encoding="utf-8"))
        has_estimate, texts = config["model"]["softmax"] == "sampled", config["data"]["valid"]
        valid = ", ".join(map(str, [texts] if isinstance(texts, str) else texts or ()))
        return replace(curves, has_estimate=bool(has_estimate), valid_text=valid)
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        return curves


def _training_tokens(run_dir: Path) -> int | None:
    files = RunFiles(run_dir)
    environment = _read(files.environment)
    manifests = sorted(files.snapshots.glob(f"step-*/{MANIFEST}"))
    found = [environment, *(_read(path).get("provenance") for path in reversed(manifests))]
    counts = (facts.get("num_tokens") for facts in found if isinstance(facts, dict))
    return next((count for count in counts if isinstance(count, int) and count > 0), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
