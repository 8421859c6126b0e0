"""What people measure: the lines of a text, a table with a sentence a row, or one with a word a row."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lmtrain.corpus.text import TextRules
from lmtrain.corpus.words import Word, words_of
from lmtrain.errors import DataError, UsageError
from lmtrain.files.tables import Table, has_table_name, read_table, read_text
from lmtrain.files.text_input import input_name

_WORD_COLUMNS, _SENTENCE_COLUMNS = ("word", "token"), ("sentence", "text")
_KEYS = ("subject", "participant", "list", "trial", "story", "item", "condition", "sentence_id", "sentence")
"""Columns beside words: where one of them changes, another sentence begins."""
COLUMN_NAMES = frozenset((*_WORD_COLUMNS, *_SENTENCE_COLUMNS, *_KEYS, "region", "zone", "rt"))
"""What columns of such tables are called."""


@dataclass(frozen=True)
class Sentence:
    """A text that is read in one go.

    Attributes:
        line: The text.
        first_row: The row of its first cell, from 0.
        cells: The place of each of its cells in it, by their first character and after their last.
        label: What messages call it: its item, or the number of its row, from 1.
    """

    line: str
    first_row: int
    cells: list[tuple[int, int]]
    label: str

    def words(self, rules: TextRules, place: str) -> list[Word]:
        """Its original words; see ``corpus.words``."""
        return words_of(self.line, rules, f"{place}: row {self.first_row + 1}")


@dataclass(frozen=True)
class Stimuli:
    """Sentences, and the table whose rows they come from, in order; they cover all of its rows.

    Attributes:
        kind: What a row is: a line of a plain ``text``, one of several ``sentences`` or ``words``.
        table: The rows; of a text, numbers of lines.
        sentences: In the order of the rows.
        name: What messages call the file.
    """

    kind: Literal["text", "sentences", "words"]
    table: Table
    sentences: list[Sentence] = field(repr=False)
    name: str = ""


def read_stimuli(path: Path, column: str | None = None) -> Stimuli:
    """Reads a table, where the file is called ``.csv`` or ``.tsv`` or a column is named; else lines of text.

    The text is in ``column``, by default that called word, token, sentence or text. A row is a word of a
    sentence where the column is called word or token, or all cells are single words.

    Raises:
        DataError: The file cannot be used.
        UsageError: It has no such column.
    """
    if column is None and not has_table_name(path):
        return _lines(path)
    table = read_table(path)
    name = column or next((n for n in (*_WORD_COLUMNS, *_SENTENCE_COLUMNS) if n in table.header), "")
    if name not in table.header:
        lacks = (
            f"no column {name!r}" if name else "no column is called word or sentence; name one with --column"
        )
        raise UsageError(f"{input_name(path)}: {lacks} (there are {', '.join(table.header)})")
    cells = table.column(name)
    if name in _WORD_COLUMNS or all(len(cell.split()) < 2 for cell in cells):
        return Stimuli("words", table, list(_joined(table, cells, name)), input_name(path))
    items = table.column("item") if "item" in table.header else None
    sentences = [
        Sentence(cell, row, [(0, len(cell))], items[row] if items else str(row + 1))
        for row, cell in enumerate(cells)
    ]
    return Stimuli("sentences", table, sentences, input_name(path))


def _lines(path: Path) -> Stimuli:
    text, sha256 = read_text(path)
    if not text:
        raise DataError(f"{input_name(path)}: empty, there is no line in it")
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    numbers = [str(number) for number in range(1, len(lines) + 1)]
    table = Table(["sentence_id"], [[number] for number in numbers], "\t", sha256)
    rows = enumerate(zip(lines, numbers, strict=True))
    sentences = [Sentence(line, row, [(0, len(line))], number) for row, (line, number) in rows]
    return Stimuli("text", table, sentences, input_name(path))


def _joined(table: Table, cells: list[str], column: str) -> Iterator[Sentence]:
    """Words that belong together, a space between any two."""
    keys = [table.column(name) for name in _KEYS if name in table.header and name != column]
    items = table.column("item") if "item" in table.header else None
    begin = 0
    for row in range(1, len(cells) + 1):
        if row < len(cells) and all(key[row] == key[begin] for key in keys):
            continue
        places, at = [], 0
        for cell in cells[begin:row]:
            places.append((at, at + len(cell)))
            at += len(cell) + 1
        yield Sentence(" ".join(cells[begin:row]), begin, places, items[begin] if items else str(begin + 1))
        begin = row
