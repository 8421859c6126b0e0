"""``lmtrain runs``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lmtrain.cli.text import duration, note, print_json, print_table

if TYPE_CHECKING:
    from lmtrain.jobs.compare_runs import RunSummary
    from lmtrain.jobs.seeds import SeedGroup

_COLUMNS = ("run", "model", "params", "valid", "test", "words/s", "time", "status")
_LEFT = ("run", "model", "status")
_STYLES = {
    "finished": "green",
    "running": "cyan",
    "interrupted": "yellow",
    "diverged": "red",
    "damaged": "red",
}
_KEYS: dict[str, Callable[["RunSummary"], Any]] = {
    "name": lambda run: str(run.path),
    "model": lambda run: run.model,
    "params": lambda run: run.num_parameters,
    "best": lambda run: run.best_perplexity,
    "test": lambda run: run.test_perplexity,
    "speed": lambda run: None if run.words_per_second is None else -run.words_per_second,
    "time": lambda run: run.elapsed,
    "updated": lambda run: run.updated and -_seconds(run.updated),
    "status": lambda run: run.status,
}
_Sort = Literal["name", "model", "params", "best", "test", "speed", "time", "updated", "status"]


def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to look, runs of sweeps included.")
    ] = Path("runs"),
    sort: Annotated[
        _Sort,
        typer.Option(
            metavar="|".join(_KEYS), help="Best, fastest and newest first; what is not known comes last."
        ),
    ] = "name",
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array, an object a run.")] = False,
) -> None:
    """Compares the runs in a folder, in a table that can be sorted.

    valid is the lowest perplexity of the validation text, test the perplexity of the test text.

    Example: lmtrain runs

    Example: lmtrain runs runs/my-sweep --sort best
    """
    from lmtrain.errors import UsageError
    from lmtrain.files.paths import meant
    from lmtrain.jobs.compare_runs import find_runs, summarise
    from lmtrain.jobs.seeds import groups

    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; name one that holds runs{meant(folder)}")
    found = _sorted([summarise(path) for path in find_runs(folder)], _KEYS[sort], reverse)
    if as_json:
        print_json([run.to_dict() for run in found])
        return
    if not found:
        note(f"{folder}: holds no run")
        return
    styles = [{"status": _STYLES[run.status]} for run in found]
    print_table(_COLUMNS, [_cells(run, folder) for run in found], left=_LEFT, styles=styles)
    for group, members in groups(found).items():
        note(f"{group}: {_group(members)}")
    for run in found:
        if run.problem:
            note(f"{run.path}: {run.problem}")
    _note_other_texts(found)


def _sorted(
    found: list["RunSummary"], key: Callable[["RunSummary"], Any], reverse: bool
) -> list["RunSummary"]:
    known = sorted((run for run in found if key(run) is not None), key=key, reverse=reverse)
    return known + [run for run in found if key(run) is None]


def _cells(run: "RunSummary", folder: Path) -> list[str]:
    relative = run.path.relative_to(folder)
    return [
        str(relative) if relative.parts else (run.name or "-"),
        run.model or "-",
        _count(run.num_parameters),
        _perplexity(run.best_perplexity),
        _perplexity(run.test_perplexity),
        _count(run.words_per_second),
        "-" if run.elapsed is None else duration(run.elapsed),
        run.status,
    ]


def _group(group: "SeedGroup") -> str:
    texts = [f"{name} {spread}" for name, spread in (("valid", group.valid), ("test", group.test)) if spread]
    return f"{len(group.runs)} seeds, {', '.join(texts) or group.problem or 'not all of them evaluated'}"


def _perplexity(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10_000 else f"{value:.3g}"


def _count(value: float | None) -> str:
    """Three digits: ``950``, ``12.3k``, ``4.65M``."""
    if value is None:
        return "-"
    for unit in ("", "k", "M"):
        if value < 999.5:
            digits = 0 if not unit or value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f}{unit}"
        value /= 1000
    return f"{value:.2f}G"


def _seconds(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment).timestamp()


def _note_other_texts(found: list["RunSummary"]) -> None:
    texts = {
        (run.sha256.get("vocab"), run.sha256.get("valid")) for run in found if run.best_perplexity is not None
    }
    if len(texts) > 1:
        note(f"perplexities compare only on the same vocabulary and validation text; here are {len(texts)}")
