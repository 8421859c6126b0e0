"""How the commands speak."""

import json
import math
from collections.abc import Sequence
from typing import Any

import typer


def note(text: str) -> None:
    """A message, which goes to standard error."""
    typer.echo(text, err=True)


def print_json(value: Any) -> None:
    """A JSON value on standard output; null stands for infinity and NaN, which JSON cannot write."""
    typer.echo(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_json_line(value: Any) -> None:
    """The same in one line, for outputs of one object a line."""
    typer.echo(json.dumps(_finite(value), ensure_ascii=False, allow_nan=False))


def print_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        typer.echo(f"{name:<{width}}  {value}")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns under a header, the first one flush left and the others, which are figures, flush right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [f"{row[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))]
        typer.echo("  ".join(cells))


def duration(seconds: float) -> str:
    """``12s``, ``3:05`` or ``1:02:03``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    hours, rest = divmod(whole, 3600)
    minutes = f"{rest // 60}:{rest % 60:02d}"
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else minutes


def size(num_bytes: float) -> str:
    """``12 kB``, ``3.4 MB`` or ``5.6 GB``, in powers of 1000."""
    for unit, digits in (("kB", 0), ("MB", 1)):
        num_bytes /= 1000
        if num_bytes < 999.5:
            return f"{num_bytes:,.{digits}f} {unit}"
    return f"{num_bytes / 1000:,.1f} GB"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
