"""The table of the surprisal of words as people wrote them, a row a word, a part or what a row was."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lmtrain.cli.progress import watched_beside_results
from lmtrain.cli.score_formats import guess_cells, guess_columns
from lmtrain.errors import UsageError
from lmtrain.files.tables import no_column

if TYPE_CHECKING:
    from lmtrain.corpus.stimuli import Sentence, Stimuli
    from lmtrain.corpus.words import Word
    from lmtrain.inference.score import ScoredLine, Scorer
    from lmtrain.inference.word_scores import WordScore
    from lmtrain.run.ensemble import Ensemble, EnsembleScorer
    from lmtrain.run.trained import TrainedModel

_UNITS = {"2": ("", math.log(2)), "e": ("_nats", 1.0), "10": ("_log10", math.log(10))}
"""For a base, how the names of columns end, and the nats of its unit."""
_BATCH = 500
"""Sentences at once."""


@dataclass(frozen=True)
class WordOptions:
    """What a command line says of rows and columns; see there."""

    column: str | None = None
    rows: Literal["words", "parts"] | None = None
    by: tuple[str, ...] = ()
    spillover: int = 0
    base: Literal["2", "e", "10"] = "2"
    entropy_reduction: bool = False
    num_guesses: int = 0
    sentence_by: tuple[str, ...] = ()
    after_column: str | None = None

    @property
    def are_given(self) -> bool:
        """Whether it says anything that tokens have no place for."""
        return self.first_given is not None

    @property
    def first_given(self) -> str | None:
        """The first option of them, as it is typed; None where there is none."""
        names = (each.name for each in fields(self) if each.name != "num_guesses")
        given = (name for name in names if getattr(self, name) != getattr(WordOptions(), name))
        return next((f"--{name.replace('_', '-')}" for name in given), None)


@dataclass(frozen=True)
class WordReader:
    """A model, what scores for it, and how its columns end."""

    model: "TrainedModel | Ensemble"
    scorer: "Scorer | EnsembleScorer"
    suffix: str

    def score_of(self, line: "ScoredLine", part: slice) -> "WordScore | None":
        """The figures of some tokens of a line that it has scored."""
        from lmtrain.inference.word_scores import score_of

        found = score_of(line, part, self.model.vocab)
        is_known = self.model.vocab.is_by_frequency
        return found if found is None or is_known else replace(found, frequency_rank=None)


@dataclass(frozen=True)
class _Group:
    """Tokens whose figures are a row: the row of the input, tokens in their line, further cells."""

    row: int
    tokens: slice
    cells: tuple[object, ...] = ()
    words: tuple[slice, ...] = ()
    """Of several words, the tokens of each that is read."""


class WordTable:
    """The table that is written.

    Args:
        stimuli: What is scored.
        readers: The models; all cut text into words alike.
        options: What rows and columns are asked for.
        has_details: Whether entropy and rank are known.
        out: The file that the table goes to; None where it goes to standard output.

    Attributes:
        num_words: Read so far.
        without_words: Rows of the input, from 0, of which there is no word or part to have a row of its own.
        num_unknown: How many of them each model does not know, or not in all parts.

    Raises:
        UsageError: Options have no meaning for these stimuli, or a column is there already.
    """

    def __init__(
        self,
        stimuli: "Stimuli",
        readers: Sequence[WordReader],
        options: WordOptions,
        *,
        has_details: bool,
        out: Path | None = None,
    ) -> None:
        if stimuli.kind == "words" and options.rows == "words":
            raise UsageError("--rows words: each row is a word already")
        if options.entropy_reduction and not has_details:
            raise UsageError(
                "--entropy-reduction is of one model's distribution, without --ngram or --ensemble"
            )
        self._stimuli, self._readers, self._options = stimuli, readers, options
        self._has_details, self._out = has_details, out
        self._rows = options.rows or ("words" if stimuli.kind == "text" else "rows")
        if options.by and self._rows == "parts":
            raise UsageError("--rows parts has no place in --by, which sums and averages words")
        if options.by:
            self._rows = "words"  # of a sentence, and of a region of several
        self._is_whole = stimuli.kind == "sentences" and self._rows == "rows"
        if self._is_whole and (options.spillover or options.entropy_reduction or options.num_guesses):
            raise UsageError("--spillover, --entropy-reduction and --top are of words; give --rows words too")
        if options.by and (options.spillover or options.num_guesses):
            raise UsageError("--spillover and --top are of single words, and have no place in --by")
        self._per_nat = 1 / _UNITS[options.base][1]
        given, added = stimuli.table.header, [*self._labels(), *self._figures()]
        if taken := next((name for name in added if name in given), None):
            raise UsageError(f"a column is called {taken!r} already; rename it first")
        self.header = [*given, *added]
        if missing := next((name for name in options.by if name not in self.header), None):
            raise UsageError(f"--by: {no_column(missing, self.header)}")
        self.without_words: list[int] = []
        self.num_words, self.num_unknown = 0, [0] * len(readers)

    def rows(self) -> Iterator[Sequence[object]]:
        """The header, and the rows of all sentences in order; figures are floats."""
        from lmtrain.corpus.words import Unknown, parts_of

        sentences, rules = self._stimuli.sentences, self._readers[0].model.rules
        batches = [sentences[begin : begin + _BATCH] for begin in range(0, len(sentences), _BATCH)]
        yield self.header
        num_words = _size(sentences)
        for batch in watched_beside_results(batches, num_words, "words", "scoring", _size, self._out):
            words = [sentence.words(rules, self._stimuli.name) for sentence in batch]
            by_model = [reader.scorer.score(list(map(parts_of, words))) for reader in self._readers]
            for sentence, line, *scored in zip(batch, words, *by_model, strict=True):
                yield from self._rows_of(sentence, line, scored)
            self.num_words += sum(map(len, words))
            for i, reader in enumerate(self._readers):
                self.num_unknown[i] += len(Unknown.of(words, reader.model.vocab).words)

    def _rows_of(
        self, sentence: "Sentence", words: Sequence["Word"], scored: "Sequence[ScoredLine]"
    ) -> Iterator[list[object]]:
        """Those of a sentence, given what each model has made of it."""
        groups = list(self._groups(sentence, words))
        figures = []
        for reader, line in zip(self._readers, scored, strict=True):
            scores = [reader.score_of(line, group.tokens) for group in groups]
            figures.append(self._cells(line, scores, groups))
        if self._stimuli.kind != "text":
            rows = range(sentence.first_row, sentence.first_row + len(sentence.cells))
            written = {group.row for group in groups}
            self.without_words += [row for row in rows if row not in written]
        for group, *of_models in zip(groups, *figures, strict=True):
            given = self._stimuli.table.rows[group.row]
            yield [*given, *group.cells, *(cell for cells in of_models for cell in cells)]

    def summed(self) -> Iterator[Sequence[object]]:
        """A header, and a row for each value of the columns of ``--by``, in the order they come in."""
        by = [self.header.index(name) for name in self._options.by]
        unit = _UNITS[self._options.base][0]
        names = [(name, reader.suffix) for reader in self._readers for name in self._measures()]
        columns = [self.header.index(f"{name}{unit}{suffix}") for name, suffix in names]
        unknown = [self.header.index(f"is_unk{reader.suffix}") for reader in self._readers]
        sums: dict[tuple[object, ...], list[list[float]]] = {}
        for row in islice(self.rows(), 1, None):
            if row[columns[0]] != "":
                figures = [float(str(row[at])) for at in (*columns, *unknown)]
                sums.setdefault(tuple(row[at] for at in by), []).append(figures)
        yield [
            *self._options.by,
            "num_words",
            *(f"{name}{unit}_{kind}{suffix}" for name, suffix in names for kind in ("sum", "mean")),
            *(f"num_unk{reader.suffix}" for reader in self._readers),
        ]
        for values, found in sums.items():
            totals = [math.fsum(column) for column in zip(*found, strict=True)]
            both = [x for total in totals[: len(columns)] for x in (total, total / len(found))]
            yield [*values, len(found), *both, *map(int, totals[len(columns) :])]

    def _measures(self) -> list[str]:
        """What words have a number of, in the unit."""
        more = ["entropy_reduction"] if self._options.entropy_reduction else []
        return ["surprisal", *(["entropy"] if self._has_details else []), *more]

    def _labels(self) -> list[str]:
        if self._rows == "rows" or (self._rows == "words" and self._stimuli.kind == "words"):
            return []
        of_words = [] if self._stimuli.kind == "words" else ["word_id", "word"]
        return [*of_words, *(["part_id", "part"] if self._rows == "parts" else []), "start", "end"]

    def _figures(self) -> list[str]:
        unit, names = _UNITS[self._options.base][0], []
        for reader in self._readers:
            if self._is_whole:
                of_one = ["num_words", f"surprisal{unit}", f"surprisal{unit}_mean", "num_unk"]
            else:
                of_one = [f"surprisal{unit}", *([f"entropy{unit}"] if self._has_details else []), "is_unk"]
                of_one += [*(["rank"] if self._has_details else []), "frequency_rank"]
                of_one += [f"entropy_reduction{unit}"] if self._options.entropy_reduction else []
                for back in range(1, self._options.spillover + 1):
                    before = (f"surprisal{unit}", "is_unk", "frequency_rank")
                    of_one += [f"{name}_prev{back}" for name in before]
                of_one += guess_columns(self._options.num_guesses, unit)
            names += [f"{name}{reader.suffix}" for name in of_one]
        return names

    def _groups(self, sentence: "Sentence", words: Sequence["Word"]) -> Iterator[_Group]:
        """What rows of the output are, in order: cells of the table, words, or parts."""
        firsts = [0, *accumulate(len(word.parts) for word in words)]  # of the tokens of each word
        row, of_cell = sentence.first_row, list(sentence.cells)
        if self._rows == "rows":
            first = sum(word.start < of_cell[0][0] for word in words)  # what a cell stands after
            for at, (_, end) in enumerate(of_cell):
                after = first
                while after < len(words) and words[after].start < end:
                    after += 1
                read = tuple(
                    slice(*ends) for ends in pairwise(firsts[first : after + 1]) if ends[0] < ends[1]
                )
                yield _Group(row + at, slice(firsts[first], firsts[after]), words=read)
                first = after
            return
        cell = 0
        for word_id, (word, (first, after)) in enumerate(zip(words, pairwise(firsts), strict=True), 1):
            if word.start < of_cell[0][0]:
                continue
            while word.start >= of_cell[cell][1]:
                cell += 1
            of_word = () if self._stimuli.kind == "words" else (word_id, word.text)
            if self._rows == "words":
                place = (word.start, word.end) if of_word else ()
                yield _Group(row + cell, slice(first, after), (*of_word, *place))
                continue
            begin = of_cell[cell][0]
            for i, part in enumerate(word.parts):
                of_part = (i + 1, part.text, part.start - begin, part.end - begin)
                yield _Group(row + cell, slice(first + i, first + i + 1), (*of_word, *of_part))

    def _cells(
        self, line: "ScoredLine", scores: "Sequence[WordScore | None]", groups: Sequence[_Group]
    ) -> Iterator[list[object]]:
        """The figures of each group of a sentence; empty ones, which pandas and R take for missing."""
        read: list[WordScore] = []  # the last one first
        for score, group in zip(scores, groups, strict=True):
            if score is None:
                yield [""] * (len(self._figures()) // len(self._readers))
                continue
            cost = score.nats * self._per_nat
            if self._is_whole:
                num_unk = sum(any(line.is_unk[word]) for word in group.words)
                yield [len(group.words), cost, cost / len(group.words), num_unk]
                continue
            cells: list[object] = [cost]
            cells += [score.entropy * self._per_nat] if score.entropy is not None else []
            cells += [int(score.num_unk > 0), *([score.rank] if score.rank is not None else [])]
            cells.append(score.frequency_rank)
            if self._options.entropy_reduction and score.entropy_reduction is not None:
                cells.append(score.entropy_reduction * self._per_nat)
            for before in read:
                cells += [before.nats * self._per_nat, int(before.num_unk > 0), before.frequency_rank]
            cells += ["", "", ""] * (self._options.spillover - len(read))
            read = [score, *read][: self._options.spillover]
            cells += guess_cells(score.guesses, self._options.num_guesses, self._per_nat)
            yield cells


def _size(sentences: "Iterable[Sentence]") -> int:
    """Words, as a person counts them."""
    return sum(len(sentence.line.split()) for sentence in sentences)
