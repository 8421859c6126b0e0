"""Agreement in sentences of a corpus: a ``.text`` with a sentence a line, and a ``.gold`` with its verbs.

Four columns of ``.gold`` are those of Linzen et al.: the position of the verb, from 0, its right and its
wrong form, the number of attractors. Twelve are those of Gulordava et al., who name the attractors in a
``.tab`` with two rows for each sentence, if it lies beside.

Source: Linzen, Dupoux and Goldberg (2016), "Assessing the ability of LSTMs to learn syntax-sensitive
dependencies"; Gulordava, Bojanowski, Grave, Linzen and Baroni (2018), "Colorless green recurrent networks
dream hierarchically".
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from lmtrain.corpus.suites.question import ONE_PREFIX, Pair, Place, Stretch
from lmtrain.corpus.text import EOS
from lmtrain.errors import DataError
from lmtrain.files.tables import read_table
from lmtrain.files.text_input import table_lines

SUFFIXES = (".gold", ".text")
_LINZEN, _GULORDAVA = 4, 12
"""Columns."""


def read_gold(path: Path) -> Iterator[Pair]:
    """The verbs of a corpus: each form after the words before it.

    Args:
        path: The ``.gold`` or the ``.text``; the other lies beside it.

    Raises:
        DataError: A file is missing, or they do not fit together.
    """
    text, gold = path.with_suffix(".text"), path.with_suffix(".gold")
    sentences = [line.split() for _, line in table_lines(text)]
    rows = [(number, line.split("\t")) for number, line in table_lines(gold)]
    if len(sentences) != len(rows):
        raise DataError(f"{gold}: {len(rows):,} lines, where {text} has {len(sentences):,}")
    tab = path.with_suffix(".tab")
    known = _groups(tab, len(rows)) if len(rows[0][1]) == _GULORDAVA and tab.exists() else None
    for (number, row), words in zip(rows, sentences, strict=True):
        where = f"{gold}:{number}"
        at, right, wrong = _verb(row, words, where)
        if known is not None:
            forms, groups = known[number - 1]
            if forms != (right, wrong):
                raise DataError(f"{where}: {right}, {wrong}, where {tab} has {', '.join(forms)}")
        else:
            groups = {"attractors": row[3].strip()} if len(row) == _LINZEN else {}
        if right.lower() == words[at] != right:  # in the corpus the verb does not begin a sentence
            right, wrong = right.lower(), wrong.lower()
        before = " ".join(words[:at])
        place = Place(gold.stem, where, groups, ONE_PREFIX, str(number))
        yield Pair(Stretch.after(before, right), Stretch.after(before, wrong), place)


def _verb(row: Sequence[str], words: Sequence[str], where: str) -> tuple[int, str, str]:
    """The position of the verb, its right form and its wrong one."""
    if len(row) not in (_LINZEN, _GULORDAVA):
        raise DataError(
            f"{where}: {len(row)} columns; there are {_LINZEN} (Linzen) or {_GULORDAVA} (Gulordava)"
        )
    at, right, wrong = (row[0], row[1], row[2]) if len(row) == _LINZEN else (row[3], row[6], row[7])
    num_words = len(words) - (words[-1:] == [EOS])
    if not at.isdecimal() or int(at) >= num_words:
        raise DataError(f"{where}: position {at!r}, where the sentence has {num_words} words, from 0")
    return int(at), right, wrong


def _groups(tab: Path, num_verbs: int) -> list[tuple[tuple[str, str], dict[str, str]]]:
    """Of each verb its forms, and the groups it is in."""
    table = read_table(tab)
    needed = ("form", "n_attr", "type")
    if missing := next((name for name in needed if name not in table.header), None):
        raise DataError(f"{tab}: no column {missing!r} (there are {', '.join(table.header)})")
    if len(table.rows) != 2 * num_verbs:
        raise DataError(f"{tab}: {len(table.rows):,} rows, where there are {num_verbs:,} verbs of two forms")
    forms, attractors, types = (table.column(name) for name in needed)
    return [
        ((forms[i], forms[i + 1]), {"attractors": attractors[i], "type": types[i]})
        for i in range(0, len(forms), 2)
    ]
