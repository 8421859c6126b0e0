"""Tables of texts and figures, as pandas and R write and read them: CSV, or columns apart by tabs.

The separator is a tab in all that is called ``.tsv``, else what the header has: a tab, a comma or a
semicolon. In CSV a cell may stand in quotes, and then hold separators and line ends. Where tabs separate, a
cell is a line's alone and a quotation mark that has no partner is a character like any other.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from lmtrain.errors import DataError
from lmtrain.files.text_input import checked_text, file_blocks, input_name, told

SUFFIXES = {".csv", ".tsv"}


@dataclass(frozen=True)
class Table:
    """A table in memory.

    Attributes:
        header: The names of its columns.
        rows: A cell for each column.
        separator: Of columns.
        sha256: Of the file, decompressed.
    """

    header: list[str]
    rows: list[list[str]]
    separator: str
    sha256: str

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        at = self.header.index(name)
        return [row[at] for row in self.rows]


def no_column(name: str, columns: Sequence[str]) -> str:
    """What to say of a column that is not there: which are, and which of them may be meant."""
    folded = {column.casefold(): column for column in columns}
    near = get_close_matches(name.casefold(), folded, n=1)
    meant = f"; did you mean {folded[near[0]]!r}?" if near else ""
    return f"no column {name!r} (there are {', '.join(columns)}){meant}"


def has_table_name(path: Path) -> bool:
    """Whether a file is called one of a table, compressed or not."""
    return not SUFFIXES.isdisjoint(_suffixes(path))


def _suffixes(path: Path) -> set[str]:
    return {suffix.lower() for suffix in path.suffixes[-2:]}


def read_table(path: Path) -> Table:
    """Reads a table, compressed or not; ``-`` is standard input. Empty lines are left out.

    Raises:
        DataError: It is not UTF-8, has no row or two columns of one name, or a row has other cells.
    """
    return table_of(path, *read_text(path))


def table_of(path: Path, text: str, sha256: str) -> Table:
    """The table that a file is, given what ``read_text`` says of it; errors as of ``read_table``."""
    name = input_name(path)
    first = text[: text.find("\n")] if "\n" in text else text
    found = next((mark for mark in "\t,;" if mark in first), ",")
    separator = "\t" if ".tsv" in _suffixes(path) else found
    lines = _tab_rows(text) if separator == "\t" else _csv_rows(text, separator, name)
    _, header = next(lines, (0, []))
    if twice := next((column for column in header if header.count(column) > 1), None):
        raise DataError(f"{name}: two columns are called {twice!r}")
    rows = []
    for number, row in lines:
        if len(row) != len(header):
            quotes = f"; a cell that holds {separator!r} has to stand in quotes" if separator != "\t" else ""
            raise DataError(
                f"{name}:{number}: {len(row)} cells, where the header has {len(header)} columns"
                f"{quotes if len(row) > len(header) else ''}"
            )
        rows.append(row)
    if not rows:
        raise DataError(f"{name}: no row beneath the header")
    return Table(header, rows, separator, sha256)


def read_text(path: Path) -> tuple[str, str]:
    """A whole text, and the SHA-256 of its bytes, decompressed.

    Raises:
        DataError: It is missing, or not UTF-8.
    """
    digest = hashlib.sha256()
    text = b"".join(checked_text(told(file_blocks(path), digest.update), input_name(path))).decode()
    return text, digest.hexdigest()


def as_text(rows: Iterable[Sequence[object]], separator: str) -> str:
    """Rows as lines; floats have six decimals, cells quotes where they would be taken for something else."""
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows(
        [f"{cell:z.6f}" if isinstance(cell, float) else cell for cell in row] for row in rows
    )
    return out.getvalue()


def _csv_rows(text: str, separator: str, name: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{name}:{reader.line_num}: not CSV: {error}") from None


def _tab_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line := line.removesuffix("\r"):
            yield number, list(map(_unquoted, line.split("\t")))


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if is_quoted else cell
