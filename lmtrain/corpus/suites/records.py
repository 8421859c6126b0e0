"""Minimal pairs in records: BLiMP's JSON lines, and any table with a good and a bad column."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmtrain.corpus.suites.question import ONE_PREFIX, TWO_PREFIXES, WHOLE, Pair, Place, Stretch
from lmtrain.errors import DataError, UsageError

_COLUMNS = (
    ("sentence_good", "sentence_bad"),
    ("good_sentence", "bad_sentence"),
    ("good", "bad"),
    ("grammatical", "ungrammatical"),
    ("acceptable", "unacceptable"),
    ("correct", "incorrect"),
    ("right", "wrong"),
    ("sen", "wrong_sen"),
)
_GROUPS = {
    "set": ("UID", "set", "paradigm"),
    "term": ("linguistics_term", "term", "phenomenon"),
    "field": ("field",),
    "condition": ("condition",),
    "attractors": ("attractors", "n_attr", "num_attractors"),
}
"""By kind of group, the columns that name one."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are meant; what is not said is found by usual names.

    Attributes:
        good: Of the sentences that ought to be more probable.
        bad: Of the others.
        by: Those whose values make groups.
    """

    good: str | None = None
    bad: str | None = None
    by: tuple[str, ...] = ()

    def of(self, names: Sequence[str], name: str) -> tuple[str, str]:
        """The columns of the good and the bad one.

        Raises:
            UsageError: There are none.
        """
        good, bad = self.good, self.bad
        if good is None and bad is None:
            good, bad = next((pair for pair in _COLUMNS if set(pair) <= set(names)), (None, None))
        if good is None or bad is None:
            known = ", ".join("/".join(pair) for pair in _COLUMNS[:4])
            raise UsageError(
                f"{name}: no good and bad column ({known}); name them with --good and --bad "
                f"(there are {', '.join(names)})"
            )
        if missing := next((column for column in (good, bad, *self.by) if column not in names), None):
            raise UsageError(f"{name}: no column {missing!r} (there are {', '.join(names)})")
        return good, bad


FOUND = Columns()
"""Those of usual names."""


def pairs_of(
    records: Iterable[tuple[int, Mapping[str, Any]]], names: Sequence[str], columns: Columns, name: str
) -> Iterator[Pair]:
    """The pairs of records; where there is a column ``prefix``, good and bad are what follows it.

    A record of BLiMP has up to three: by whole sentences, and by one or two prefixes where the set allows.

    Args:
        records: With the line of each.
        names: Of the columns.
        columns: Which are meant.
        name: Of the file, with which messages begin; its last part without suffix names the test.

    Raises:
        DataError: A record lacks what it ought to have.
        UsageError: There is no such column.
    """
    good, bad = columns.of(names, name)
    kinds = {kind: found for kind, known in _GROUPS.items() for found in known if found in names}
    kinds |= {column: column for column in columns.by}
    test = "minimal pairs" if "UID" in names else test_name(name)
    prefix = "prefix" if "prefix" in names else None
    for line, record in records:
        where = f"{name}:{line}"
        groups = {kind: str(record[column]) for kind, column in kinds.items() if column in record}

        def text(key: str, record: Mapping[str, Any] = record, where: str = where) -> str:
            value = record.get(key)
            if not isinstance(value, str) or not value.strip():
                raise DataError(f"{where}: no text in {key!r}")
            return value

        def place(method: str, where: str = where, groups: Mapping[str, str] = groups) -> Place:
            return Place(test, where, groups, method)

        if prefix is not None:
            before = str(record.get(prefix) or "")
            yield Pair(Stretch.after(before, text(good)), Stretch.after(before, text(bad)), place(ONE_PREFIX))
            continue
        if _allows(record, "simple_LM_method", default=True):
            yield Pair(Stretch.sentence(text(good)), Stretch.sentence(text(bad)), place(WHOLE))
        if _allows(record, "one_prefix_method"):
            before = text("one_prefix_prefix")
            yield Pair(
                Stretch.after(before, text("one_prefix_word_good")),
                Stretch.after(before, text("one_prefix_word_bad")),
                place(ONE_PREFIX),
            )
        if _allows(record, "two_prefix_method"):
            word = text("two_prefix_word")
            yield Pair(
                Stretch.after(text("two_prefix_prefix_good"), word),
                Stretch.after(text("two_prefix_prefix_bad"), word),
                place(TWO_PREFIXES),
            )


def test_name(file: str) -> str:
    """The last part of a file's name, without its suffixes."""
    name = file.rpartition("/")[2]
    return name.split(".")[0] or name


def _allows(record: Mapping[str, Any], key: str, *, default: bool = False) -> bool:
    return str(record.get(key, default)).lower() in ("true", "1")
