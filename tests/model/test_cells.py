"""Cells are found by their files, and are those of the schema."""

from pathlib import Path
from typing import get_args

import pytest

from lmtrain.config.options import Cell
from lmtrain.model import cells
from lmtrain.model.cells.lstm import LSTMLayer
from lmtrain.model.language_model import LanguageModel


def test_the_schema_names_them_all() -> None:
    assert {cell for cell, _ in cells.CELLS} == set(get_args(Cell))


def test_a_class_is_found_where_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "twice.py").write_text(
        "from lmtrain.model.cells.lstm import LSTMLayer\n"
        "from lmtrain.model.recurrent import GatedLayer\n"
        "class Abstract(GatedLayer): ...\n"
        "class Twice(LSTMLayer):\n    cell = 'twice'\n"
    )
    monkeypatch.setattr(cells, "__path__", [*cells.__path__, str(tmp_path)])
    found = cells._cells()
    assert found.keys() == {*cells.CELLS, ("twice", "tanh")}
    assert found["lstm", "tanh"] is LSTMLayer
    assert found["twice", "tanh"].__name__ == "Twice"


def test_two_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zz_copied.py").write_text(
        "from lmtrain.model.cells.lstm import LSTMLayer\nclass Copied(LSTMLayer): ...\n"
    )
    monkeypatch.setattr(cells, "__path__", [*cells.__path__, str(tmp_path)])
    with pytest.raises(TypeError, match="LSTMLayer and Copied are both called lstm with tanh"):
        cells._cells()


def test_one_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"lmtrain/model/cells is cell 'lstm' with activation 'relu'"):
        LanguageModel(7, cell="lstm", activation="relu")
