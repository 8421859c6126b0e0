"""What reports and pictures call a model or a run."""

from collections.abc import Sequence
from pathlib import Path

from lmtrain.run.layout import run_of


def labels_of(paths: Sequence[Path]) -> list[str]:
    """The name of each run directory, with the step for a snapshot; paths where names would be the same."""
    names = [_label(path) for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _label(path: Path) -> str:
    whole = path.resolve()
    if (run := run_of(whole)) is not None:
        return f"{run.run_dir.name}@{whole.name.removeprefix('step-').lstrip('0') or '0'}"
    return whole.name
