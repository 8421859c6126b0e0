"""How the commands speak."""

import json
from collections.abc import Sequence
from typing import Any

import typer


def note(text: str) -> None:
    """A message, which goes to standard error."""
    typer.echo(text, err=True)


def print_json(value: Any) -> None:
    """A JSON value on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        typer.echo(f"{name:<{width}}  {value}")


def duration(seconds: float) -> str:
    """``12s``, ``3:05`` or ``1:02:03``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    hours, rest = divmod(whole, 3600)
    minutes = f"{rest // 60}:{rest % 60:02d}"
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else minutes
