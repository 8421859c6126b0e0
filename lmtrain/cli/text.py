"""How the commands speak."""

import io
import json
import math
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import typer


def prepare_streams() -> None:
    """Has results written in UTF-8, as texts are, whatever the locale. A closed input is an empty one."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115  (for as long as the process)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name of a file that is no UTF-8 comes out as it is.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


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


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[str] | None = None,
    styles: Sequence[Mapping[str, str]] = (),
) -> None:
    """A table that fits a terminal; where standard output is none, plain text of aligned columns.

    Args:
        header: The heading of each column.
        rows: A text for each column.
        left: Headings of columns of texts, which may be broken into lines; the others are figures, flush
            right. By default the first column alone.
        styles: For each row, the style of a column, as rich names it.
    """
    left = header[:1] if left is None else left
    if not _is_terminal():
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        for row in (header, *rows):
            cells = (
                cell.ljust(width) if name in left else cell.rjust(width)
                for cell, width, name in zip(row, widths, header, strict=True)
            )
            typer.echo("  ".join(cells).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in header:
        is_text = name in left
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for row, style in zip(rows, styles or [{}] * len(rows), strict=True):
        table.add_row(*(Text(cell, style.get(name, "")) for name, cell in zip(header, row, strict=True)))
    Console(file=sys.stdout).print(table)


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


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
