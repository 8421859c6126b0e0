"""How the commands speak: data to standard output, messages to standard error."""

import json
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import typer

from lmtrain.files.json_values import finite

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COMMAND_INDENT = "    "
"""Begins a line that holds a command to be copied, which is never broken."""
_MIN_WIDTH = 12
"""Of a column of texts that is folded; below that nobody can read it."""


@dataclass
class Voice:
    """What the present command line asks of all that is said."""

    is_quiet: bool = False
    """Whether messages other than errors, and progress, are left out."""
    has_json: bool = False
    """Whether a JSON value went to standard output."""


VOICE = Voice()


def write_result(text: object = "", end: str = "\n") -> None:
    """What was asked for, on standard output, at once: as it is, but for what a terminal would obey.

    Raises:
        StorageError: It cannot be written.
    """
    sys.stdout.write((visible(str(text)) if is_terminal(sys.stdout) else str(text)) + end)
    sys.stdout.flush()


def visible(text: str) -> str:
    r"""A text in which control characters are seen and not obeyed: ``\x1b``. Tabs and line ends stay."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def note(text: str) -> None:
    """A message, which goes to standard error; with ``--quiet`` it is left out."""
    if not VOICE.is_quiet:
        say(text, sys.stderr)


def say(text: str, stream: TextIO, prefix: str = "") -> None:
    """Lines that run into no bar; on a terminal broken at spaces, but for commands to be copied.

    Args:
        text: Lines. Those indented by four spaces are commands.
        stream: Standard output or standard error.
        prefix: Begins the first line, in bold red where the terminal has colours.
    """
    text = prefix + visible(text)
    if is_terminal(stream):
        if prefix:
            stream.write("\r")  # over the ^C of the terminal
        text = "\n".join(part for line in text.split("\n") for part in _broken(line, width_of(stream)))
        if prefix and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb":
            text = typer.style(prefix, fg="red", bold=True) + text.removeprefix(prefix)
    with _bars_aside(stream):
        stream.write(f"{text}\n")
        stream.flush()


def above(value: float, least: float) -> str:
    """How far a figure is from the least there can be: ``1.4 % above``."""
    share = 100 * (value / least - 1)
    return f"{abs(share):.1f} % {'above' if share >= 0 else 'below'}"


def command(*words: object) -> str:
    """A line for ``say`` with a command of this program, fit to be pasted into the same shell."""
    return f"{_COMMAND_INDENT}{_program()} {shlex.join(map(str, words))}"


def tensorboard_command(folder: Path) -> str:
    """The same for TensorBoard, as it is installed beside this program."""
    beside = Path(sys.executable).with_name("tensorboard")
    if shutil.which("tensorboard"):
        program = "tensorboard"
    elif beside.exists():
        program = shlex.quote(_short(beside))
    else:
        program = f"{shlex.quote(sys.executable)} -m tensorboard.main"
    return f"{_COMMAND_INDENT}{program} --logdir {shlex.quote(str(folder))}"


def print_json(value: Any) -> None:
    """A JSON value on standard output; null stands for infinity and NaN, which JSON cannot write."""
    VOICE.has_json = True
    write_result(json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_json_line(value: Any) -> None:
    """The same in one line, for outputs of one object a line."""
    write_result(json.dumps(finite(value), ensure_ascii=False, allow_nan=False))


def print_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    """Names and values in two columns; a terminal has long values folded, and a narrow one no columns."""
    width = max(len(name) for name, _ in pairs)
    if not is_terminal(sys.stdout):
        for name, value in pairs:
            write_result(f"{name:<{width}}  {value}".rstrip())
        return
    from rich.table import Table
    from rich.text import Text

    if width_of(sys.stdout) < width + 2 + _MIN_WIDTH:
        _print_rich(*(Text(visible(f"{name.strip()}  {value}"), overflow="fold") for name, value in pairs))
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(name), Text(visible(str(value))))
    _print_rich(table)


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[str] | None = None,
    styles: Sequence[Mapping[str, str]] = (),
) -> None:
    """A table that fits a terminal; where standard output is none, plain text of aligned columns.

    A terminal that is too narrow for it has a block of lines for each row.

    Args:
        header: The heading of each column.
        rows: A text for each column.
        left: Headings of columns of texts, which may be broken into lines; the others are figures, flush
            right. By default the first column alone.
        styles: For each row, the style of a column, as rich names it.
    """
    left = header[:1] if left is None else left
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    if not is_terminal(sys.stdout):
        for row in (header, *rows):
            cells = (
                cell.ljust(width) if name in left else cell.rjust(width)
                for cell, width, name in zip(row, widths, header, strict=True)
            )
            write_result("  ".join(cells).rstrip())
        return
    least = [
        min(width, _MIN_WIDTH) if name in left else width for name, width in zip(header, widths, strict=True)
    ]
    if sum(least) + 2 * (len(least) - 1) > width_of(sys.stdout):
        for row in rows:
            print_pairs([(name.strip(), cell) for name, cell in zip(header, row, strict=True)])
            write_result()
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in header:
        is_text = name in left
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for row, style in zip(rows, styles or [{}] * len(rows), strict=True):
        table.add_row(
            *(Text(visible(cell), style.get(name, "")) for name, cell in zip(header, row, strict=True))
        )
    _print_rich(table)


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


def is_terminal(stream: TextIO) -> bool:
    """Whether a stream is a terminal that a person looks at."""
    return stream.isatty()


def width_of(stream: TextIO) -> int:
    """The columns of a terminal, which ``COLUMNS`` overrules; 80 where they are not known."""
    try:
        columns = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns if columns > 0 else 80


def _broken(line: str, width: int) -> list[str]:
    if len(line) <= width or line.startswith(_COMMAND_INDENT):
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


@contextmanager
def _bars_aside(stream: TextIO) -> Iterator[None]:
    """Clears the bars of tqdm, if there are any, and draws them again afterwards."""
    if "tqdm" not in sys.modules:
        yield
        return
    from tqdm import tqdm

    with tqdm.external_write_mode(file=stream):
        yield


def _print_rich(*blocks: Any) -> None:
    from rich.console import Console

    console = Console(file=sys.stdout, width=width_of(sys.stdout))
    for block in blocks:
        console.print(block)


def _program() -> str:
    """How this program was called, so that the same shell finds it again."""
    typed, found = Path(sys.argv[0]), shutil.which("lmtrain")
    if typed.name == "__main__.py":
        return f"{shlex.quote(_short(Path(sys.executable)))} -m lmtrain"
    if not typed.exists() or (found and typed.samefile(found)):
        return "lmtrain"
    return shlex.quote(_short(typed))


def _short(path: Path) -> str:
    """Relative to the working directory if it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
