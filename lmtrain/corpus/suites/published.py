"""Figures that others published: by set, of several models."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmtrain.errors import DataError
from lmtrain.files.tables import read_text, table_of
from lmtrain.files.text_input import input_name

_NAMES = ("UID", "set", "suite", "name", "paradigm")


@dataclass(frozen=True)
class Published:
    """Accuracies by set.

    Attributes:
        models: What the columns are called.
        by_set: From 0 to 1, by the name of a set, then by model.
    """

    models: tuple[str, ...]
    by_set: Mapping[str, Mapping[str, float]]

    def mean(self, sets: Mapping[str, int]) -> dict[str, float]:
        """Of each model, the mean over sets, weighted; NaN where a set has no figure."""
        total = sum(sets.values())
        return {
            model: math.fsum(
                self.by_set.get(name, {}).get(model, math.nan) * weight / total
                for name, weight in sets.items()
            )
            for model in self.models
        }


def read_published(path: Path) -> Published:
    """Reads JSON lines, or a table: a name of a set, and a figure for each of some models.

    The name is in ``UID``, ``set``, ``suite`` or ``name``, else in the first column; columns that hold but
    numbers are models. Figures above 1 are percentages; a decimal comma is read as a point.

    Raises:
        DataError: It is neither, or has no figures.
    """
    text, sha256 = read_text(path)
    name = input_name(path)
    if text.lstrip().startswith("{"):
        rows = [
            _object(line, f"{name}:{number}")
            for number, line in enumerate(text.split("\n"), 1)
            if line.strip()
        ]
    else:
        table = table_of(path, text, sha256)
        rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    columns = list(rows[0])
    key = next((column for column in _NAMES if column in columns), columns[0])
    figures = {column: [_number(row.get(column)) for row in rows] for column in columns if column != key}
    models = tuple(column for column, found in figures.items() if any(map(math.isfinite, found)))
    if not models:
        raise DataError(f"{name}: no column of figures beside {key!r}")
    scale = 100 if any(x > 1 for model in models for x in figures[model]) else 1
    by_set = {
        str(row.get(key)): {model: figures[model][i] / scale for model in models}
        for i, row in enumerate(rows)
    }
    return Published(models, by_set)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{where}: no JSON object")
    return value


def _number(value: Any) -> float:
    try:
        return math.nan if isinstance(value, bool) else float(str(value).replace(",", "."))
    except ValueError:
        return math.nan
