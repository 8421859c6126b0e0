import gzip
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.errors import DataError
from lmtrain.files.tables import as_text, has_table_name, no_column, read_table

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=6)


def written(tmp_path: Path, text: str, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4))
def test_what_is_written_as_csv_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    # The csv module takes a lone carriage return for a line end, as spreadsheets do.
    kept = [[cell.replace("\r", "") for cell in row] for row in rows]
    text = as_text([["a", "b"], *kept], ",")
    assert read_table(written(tmp_path_factory.mktemp("csv"), text)).rows == kept


def test_separators_quotes_and_line_ends(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "\ufeffa;b\r\n1,5;x\r\n\r\n")).rows == [["1,5", "x"]]
    assert read_table(written(tmp_path, 'a,b\n"x, y\nz","say ""hi"""\n')).rows == [["x, y\nz", 'say "hi"']]
    table = read_table(written(tmp_path, 'a\tb\n"If\t"\n"x"\t"say ""hi"""\n'))
    assert (table.header, table.separator) == (["a", "b"], "\t")
    assert table.rows == [['"If', '"'], ["x", 'say "hi"']]  # a mark without a partner is a character
    assert table.column("b") == ['"', 'say "hi"']
    assert read_table(written(tmp_path, "a\nx, y\n", "one.tsv")).rows == [["x, y"]]


def test_compressed_tables_have_the_hash_of_what_was_compressed(tmp_path: Path) -> None:
    text = b"a,b\n1,2\n"
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(text))
    assert has_table_name(path)
    assert read_table(path).sha256 == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    ("name", "is_table"), [("a.tsv", True), ("A.CSV", True), ("a.txt", False), ("-", False)]
)
def test_names_of_tables(name: str, is_table: bool) -> None:
    assert has_table_name(Path(name)) is is_table


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    for text, message in (
        ("", "no row"),
        ("a,a\n1,2\n", "two columns"),
        ("a,b\n1\n", ":2: 1 cells, where the header has 2 columns$"),
        ("a,b\n1,2,3\n", "columns; a cell that holds ',' has to stand in quotes$"),
        ("a\tb\n1\t2\t3\n", "columns$"),  # where tabs separate, quotes do not help
    ):
        with pytest.raises(DataError, match=message):
            read_table(written(tmp_path, text))


def test_a_column_that_may_be_meant_is_told() -> None:
    columns = ["Item", "Sentence", "RT"]
    assert no_column("sentence", columns) == (
        "no column 'sentence' (there are Item, Sentence, RT); did you mean 'Sentence'?"
    )
    assert no_column("Itme", columns).endswith("; did you mean 'Item'?")
    assert no_column("word", columns) == "no column 'word' (there are Item, Sentence, RT)"
