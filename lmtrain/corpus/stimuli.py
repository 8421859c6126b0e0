"""What people measure: the lines of a text, a table with a sentence a row, or one with a word a row."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lmtrain.corpus.text import TextRules
from lmtrain.corpus.words import Word, words_of
from lmtrain.errors import DataError, UsageError
from lmtrain.files.tables import Table, has_table_name, no_column, read_table, read_text
from lmtrain.files.text_input import input_name

_WORD_COLUMNS, _SENTENCE_COLUMNS, _REGION_COLUMNS = (
    ("word", "token"),
    ("sentence", "text"),
    ("region", "zone"),
)
_KEYS = (
    *("subject", "subj", "participant", "worker", "list", "trial", "story", "text"),
    *("item", "condition", "cond", "sentence", "sent"),
)
"""Columns beside words: where one changes, another sentence begins. They may be numbers: ``Text_ID``."""
_NUMBER = re.compile(r"[\W_]*(id|num|number|nr|no)$")
_COLUMN_NAMES = frozenset((*_WORD_COLUMNS, *_SENTENCE_COLUMNS, *_REGION_COLUMNS, *_KEYS, "sentence_id", "rt"))
"""What columns of such tables are called."""


@dataclass(frozen=True)
class Sentence:
    """A text that is read in one go.

    Attributes:
        line: The text.
        first_row: The row of its first cell, from 0.
        cells: The place of each of its cells in it, by their first character and after their last.
        label: What messages call it: ``item 3``, ``row 7``, ``line 7``; numbers are from 1.
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
        keys: The columns that tell sentences of words apart.
    """

    kind: Literal["text", "sentences", "words"]
    table: Table
    sentences: list[Sentence] = field(repr=False)
    name: str = ""
    keys: tuple[str, ...] = ()

    @property
    def torn(self) -> Sentence | None:
        """Of words: the first one with the keys of an earlier one, whose rows others part from it.

        One with the same text is the same sentence again, as where several people read it.
        """
        columns = [self.table.column(key) for key in self.keys]
        seen: dict[tuple[str, ...], str] = {}
        for sentence in self.sentences if columns else ():
            values = tuple(column[sentence.first_row] for column in columns)
            if seen.setdefault(values, sentence.line) != sentence.line:
                return sentence
        return None


def read_stimuli(
    path: Path, column: str | None = None, keys: Sequence[str] = (), after: str | None = None
) -> Stimuli:
    """Reads a table, where the file is called ``.csv`` or ``.tsv`` or a column is named; else lines of text.

    The text is in ``column``, by default that called word, token, sentence or text, in capitals or not. A row
    is a word of a sentence, or several, where the column is called word, token or region, all cells of one
    not called sentence are single words, or keys are given. So it is where there is a column of regions
    beside one not called sentence, and rows with the same keys differ in their region and their text.

    Args:
        path: The file.
        column: What has the text.
        keys: Where one of these columns changes, another sentence begins; by default, known ones.
        after: A column whose text stands before that of each row, and is read but not measured: a cloze test.

    Raises:
        DataError: The file cannot be used.
        UsageError: It has no such column.
    """
    if column is None and after is None and not keys and not has_table_name(path):
        return _lines(path)
    table = read_table(path)
    known = [known for known in _found(table, (*_WORD_COLUMNS, *_SENTENCE_COLUMNS)) if known != after]
    name = column or next(iter(known), None)
    if name is None:
        unnamed = "no column is called word or sentence; name one with --column"
        raise UsageError(f"{input_name(path)}: {unnamed} (there are {', '.join(table.header)})")
    if name not in table.header:
        raise UsageError(f"{input_name(path)}: {no_column(name, table.header)}")
    if missing := next((key for key in [*keys, *filter(None, [after])] if key not in table.header), None):
        raise UsageError(f"{input_name(path)}: {no_column(missing, table.header)}")
    cells, labels = table.column(name), _labels(table)
    if after is not None:
        begun = list(_begun(cells, table.column(after), labels))
        return Stimuli("words", table, begun, input_name(path))
    used = keys or [key for key in table.header if _key(key) in _KEYS and key != name]
    values = list(zip(*map(table.column, used), strict=True)) if used else [()] * len(cells)
    if keys or _are_parts(table, name, cells, values):
        joined = list(_joined(cells, values, labels))
        return Stimuli("words", table, joined, input_name(path), tuple(used))
    rows = enumerate(zip(cells, labels, strict=True))
    sentences = [Sentence(cell, row, [(0, len(cell))], label) for row, (cell, label) in rows]
    return Stimuli("sentences", table, sentences, input_name(path))


def _are_parts(table: Table, name: str, cells: list[str], values: Sequence[tuple[str, ...]]) -> bool:
    """Whether rows are words or regions of sentences, and not sentences."""
    if name.lower() in (*_WORD_COLUMNS, "region"):
        return True
    if name.lower() == "sentence":
        return False
    if all(len(cell.split()) < 2 for cell in cells):
        return True
    regions = _found(table, _REGION_COLUMNS)
    if not regions or not values[0]:
        return False
    begun: dict[tuple[str, ...], tuple[str, str]] = {}
    rows = zip(values, zip(table.column(regions[0]), cells, strict=True), strict=True)
    return any(
        region != first_region and cell != first_cell
        for keys, (region, cell) in rows
        for first_region, first_cell in [begun.setdefault(keys, (region, cell))]
    )


def _key(column: str) -> str:
    """What a column that numbers something numbers: ``Sentence_Number`` and ``sentence_id``, sentences."""
    return _NUMBER.sub("", column.lower())


def _found(table: Table, names: tuple[str, ...]) -> list[str]:
    """The columns of some names, as the header writes them, in the order of the names."""
    written = {column.lower(): column for column in reversed(table.header)}
    return [written[name] for name in names if name in written]


def _labels(table: Table) -> list[str]:
    if items := [column for column in table.header if _key(column) == "item"]:
        return [f"item {item}" for item in table.column(items[0])]
    return [f"row {number}" for number in range(1, len(table.rows) + 1)]


def looks_like_table(line: str) -> bool:
    """Whether a line that is about to be read as a sentence is evidently the header of a table."""
    cells = next((line.split(mark) for mark in "\t,;" if mark in line), [])
    names = {cell.strip().strip('"').lower() for cell in cells}
    return len(names & _COLUMN_NAMES) >= 2 or (len(cells) > 2 and "\t" in line)


def _lines(path: Path) -> Stimuli:
    text, sha256 = read_text(path)
    if not text:
        raise DataError(f"{input_name(path)}: empty, there is no line in it")
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    numbers = [str(number) for number in range(1, len(lines) + 1)]
    table = Table(["sentence_id"], [[number] for number in numbers], "\t", sha256)
    rows = enumerate(zip(lines, numbers, strict=True))
    sentences = [Sentence(line, row, [(0, len(line))], f"line {number}") for row, (line, number) in rows]
    return Stimuli("text", table, sentences, input_name(path))


def _begun(cells: list[str], contexts: list[str], labels: list[str]) -> Iterator[Sentence]:
    """Each cell after a text of its own, with a space between."""
    for row, (cell, context, label) in enumerate(zip(cells, contexts, labels, strict=True)):
        start = len(context.rstrip()) + 1 if context.strip() else 0
        line = f"{context.rstrip()} {cell}" if start else cell
        yield Sentence(line, row, [(start, len(line))], label)


def _joined(cells: list[str], keys: Sequence[tuple[str, ...]], labels: list[str]) -> Iterator[Sentence]:
    """Words that belong together, where keys are the same; a space between any two."""
    begin = 0
    for row in range(1, len(cells) + 1):
        if row < len(cells) and keys[row] == keys[begin]:
            continue
        places, at = [], 0
        for cell in cells[begin:row]:
            places.append((at, at + len(cell)))
            at += len(cell) + 1
        yield Sentence(" ".join(cells[begin:row]), begin, places, labels[begin])
        begin = row
