"""Which kind of file holds questions: told by what is in it, but for those of two parts, by their names."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmtrain.corpus.suites.gold import SUFFIXES, read_gold
from lmtrain.corpus.suites.question import Question
from lmtrain.corpus.suites.records import FOUND, Columns, pairs_of
from lmtrain.corpus.suites.syntaxgym import is_suite, predictions_of
from lmtrain.corpus.synthetic.agreement import TOY_ENGLISH, agreement_items
from lmtrain.errors import DataError
from lmtrain.files.tables import read_text, table_of
from lmtrain.files.text_input import input_name

_VERBS, _SEED = 500, 1
"""Of toy-english, for each number of attractors; as ``diagnose`` has them by default."""


def read_files(paths: Sequence[Path], columns: Columns = FOUND) -> list[Question]:
    """The questions of files, each read once, also where both halves of one are named."""
    files = dict.fromkeys(
        path.with_suffix(SUFFIXES[0]) if path.suffix in SUFFIXES else path for path in paths
    )
    return [question for file in files for question in read_questions(file, columns)]


def read_questions(path: Path, columns: Columns = FOUND) -> list[Question]:
    """The questions of a file; ``-`` is standard input, and ``toy-english`` the verbs of that grammar.

    Args:
        path: A test suite of SyntaxGym (JSON), minimal pairs (JSON lines as BLiMP's, CSV, TSV), or verbs of
            a corpus (``.gold`` and ``.text``, of which either is named).
        columns: Of minimal pairs.

    Raises:
        DataError: It cannot be read.
        UsageError: It has no such columns.
    """
    if str(path) == TOY_ENGLISH and not path.exists():
        pairs = enumerate((item.pair for item in agreement_items(_VERBS, _SEED)), 1)
        return [replace(pair, place=replace(pair.place, item=str(i))) for i, pair in pairs]
    if path.suffix in SUFFIXES:
        return list(read_gold(path))
    text, sha256 = read_text(path)
    name = input_name(path)
    if not text.lstrip().startswith(("{", "[")):
        table = table_of(path, text, sha256)
        rows = ((line, dict(zip(table.header, row, strict=True))) for line, row in enumerate(table.rows, 2))
        return list(pairs_of(rows, table.header, columns, name))
    value = _whole(text)
    if is_suite(value):
        return list(predictions_of(value, name))
    records = list(_records(enumerate(value, 1), name) if value is not None else _lines(text, name))
    if not records:
        raise DataError(f"{name}: empty, there is no pair in it")
    return list(pairs_of(records, list(dict.fromkeys(k for _, each in records for k in each)), columns, name))


def _whole(text: str) -> Any:
    """The value of a file that is one; a list of a lone record; None where there are several."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, list) or is_suite(value) else [value]


def _lines(text: str, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    def values() -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise DataError(f"{name}:{number}: not JSON: {error}") from None

    return _records(values(), name)


def _records(values: Iterable[tuple[int, Any]], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, value in values:
        if not isinstance(value, dict):
            raise DataError(f"{name}:{number}: no JSON object with a pair")
        yield number, value
