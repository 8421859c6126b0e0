"""Minimal pairs in records: BLiMP's JSON lines, and any table with a good and a bad column."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lmtrain.corpus.suites.question import ONE_PREFIX, TWO_PREFIXES, WHOLE, Pair, Place, Stretch
from lmtrain.errors import DataError, UsageError
from lmtrain.files.tables import no_column

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
"""By kind of group, the columns that name one, in capitals or not."""


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
            folded = _folded(names)
            usual = (pair for pair in _COLUMNS if folded.keys() >= set(pair))
            good, bad = next(((folded[right], folded[wrong]) for right, wrong in usual), (None, None))
        if good is None or bad is None:
            known = ", ".join("/".join(pair) for pair in _COLUMNS[:4])
            raise UsageError(
                f"{name}: no good and bad column ({known}); name them with --good and --bad "
                f"(there are {', '.join(names)})"
            )
        if missing := next((column for column in (good, bad, *self.by) if column not in names), None):
            raise UsageError(f"{name}: {no_column(missing, names)}")
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
    folded = _folded(names)
    kinds = {
        kind: folded[each.casefold()]
        for kind, known in _GROUPS.items()
        for each in known
        if each.casefold() in folded
    }
    kinds |= {column: column for column in columns.by}
    test = "minimal pairs" if "UID" in names else test_name(name)
    for line, values in records:
        groups = {kind: str(values[column]) for kind, column in kinds.items() if column in values}
        record = _Record(values, Place(test, f"{name}:{line}", groups, item=str(line)))
        if "prefix" in names:
            yield record.one_prefix(str(values.get("prefix") or ""), good, bad)
            continue
        if record.allows("simple_LM_method", by_default=True):
            yield record.whole(good, bad)
        if record.allows("one_prefix_method"):
            prefix = record.text("one_prefix_prefix")
            yield record.one_prefix(prefix, "one_prefix_word_good", "one_prefix_word_bad")
        if record.allows("two_prefix_method"):
            yield record.two_prefixes()


@dataclass(frozen=True)
class _Record:
    """What is said of a pair, and where."""

    values: Mapping[str, Any]
    place: Place

    def text(self, key: str) -> str:
        """What stands under a key."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{self.place.where}: no text in {key!r}")
        return value

    def allows(self, method: str, *, by_default: bool = False) -> bool:
        """Whether a pair can be compared by a method."""
        return str(self.values.get(method, by_default)).lower() in ("true", "1")

    def whole(self, good: str, bad: str) -> Pair:
        """Two sentences."""
        return self._pair(WHOLE, Stretch.sentence(self.text(good)), Stretch.sentence(self.text(bad)))

    def one_prefix(self, prefix: str, good: str, bad: str) -> Pair:
        """Words that follow the same beginning."""
        return self._pair(
            ONE_PREFIX, Stretch.after(prefix, self.text(good)), Stretch.after(prefix, self.text(bad))
        )

    def two_prefixes(self) -> Pair:
        """The same words after two beginnings."""
        word = self.text("two_prefix_word")
        good, bad = (self.text(f"two_prefix_prefix_{which}") for which in ("good", "bad"))
        return self._pair(TWO_PREFIXES, Stretch.after(good, word), Stretch.after(bad, word))

    def _pair(self, method: str, good: Stretch, bad: Stretch) -> Pair:
        return Pair(good, bad, replace(self.place, method=method))


def _folded(names: Sequence[str]) -> dict[str, str]:
    """Columns by their names without capitals; one that is called so is meant before one with capitals."""
    return {column.casefold(): column for column in names} | {column: column for column in names}


def test_name(file: str) -> str:
    """The last part of a file's name, without its suffixes."""
    name = file.rpartition("/")[2]
    return name.split(".")[0] or name
