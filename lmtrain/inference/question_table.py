"""Questions and verdicts as a table: a row a pair or prediction, from which all tallies follow."""

from collections.abc import Iterator, Sequence

from lmtrain.corpus.suites.question import Pair, Prediction, Question
from lmtrain.errors import UsageError
from lmtrain.inference.judge import Verdict


class QuestionTable:
    """What was asked and what became of it; surprisals are in bits.

    Args:
        questions: All that are asked.
        names: Of the models.

    Attributes:
        header: The columns: where a question comes from, the groups it is counted in, its texts, and for each
            model its surprisals, and whether it is right, a tie, and rests on unknown words.

    Raises:
        UsageError: Two columns would be called alike.
    """

    def __init__(self, questions: Sequence[Question], names: Sequence[str]) -> None:
        self._questions = questions
        self._groups = list(dict.fromkeys(kind for each in questions for kind in each.place.groups))
        predictions = [each for each in questions if isinstance(each, Prediction)]
        self._has_pairs = len(predictions) < len(questions)
        self._num_regions = max((len(each.regions) for each in predictions), default=0)
        suffixes = [f"_{name}" for name in names] if len(names) > 1 else [""]
        about = ["test", "method", *(kind.replace(" ", "_") for kind in self._groups), "place", "item_id"]
        about += [*self._parts("good", "bad", "region"), *["formula"] * bool(predictions), "chance"]
        figures = self._parts("surprisal_good", "surprisal_bad", "surprisal")
        figures += ["is_right", "is_tie", "is_unk"]
        self.header = [*about, *(f"{name}{suffix}" for suffix in suffixes for name in figures)]
        if twice := next((name for name in self.header if self.header.count(name) > 1), None):
            raise UsageError(
                f"two columns of the table would be called {twice!r}; rename the one that makes groups"
            )

    def rows(self, by_model: Sequence[Sequence[Verdict]]) -> Iterator[Sequence[object]]:
        """The header, and the row of each question, given the verdicts of each model."""
        yield self.header
        for question, *verdicts in zip(self._questions, *by_model, strict=True):
            place = question.place
            groups = [place.groups.get(kind, "") for kind in self._groups]
            figures = [cell for verdict in verdicts for cell in self._figures(question, verdict)]
            about = [place.test, place.method, *groups, place.where, place.item]
            yield [*about, *self._texts(question), question.chance, *figures]

    def _parts(self, good: str, bad: str, region: str) -> list[str]:
        """The names of columns for the stretches of a question."""
        numbered = [f"{region}_{i}" for i in range(1, self._num_regions + 1)]
        return [*([good, bad] if self._has_pairs else []), *numbered]

    def _texts(self, question: Question) -> list[object]:
        if isinstance(question, Prediction):
            found = self._cells(question, [str(region) for region in question.regions])
            return [*found, question.formula.text]
        found = self._cells(question, [stretch.line for stretch in question.stretches])
        return [*found, *[""] * bool(self._num_regions)]

    def _figures(self, question: Question, verdict: Verdict) -> list[object]:
        told = (verdict.holds, verdict.is_tie, verdict.has_unknown)
        return [*self._cells(question, verdict.bits), *map(int, told)]

    def _cells(self, question: Question, parts: Sequence[object]) -> list[object]:
        """What there is of each stretch, in the columns of such a question; empty ones in the others."""
        if isinstance(question, Pair):
            return [*parts, *[""] * self._num_regions]
        left = [""] * (self._num_regions - len(parts))
        return [*["", ""] * self._has_pairs, *parts, *left]
