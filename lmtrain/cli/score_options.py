"""What the command line of ``lmtrain score`` says, and what of it contradicts itself."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lmtrain.cli.adapting import AdaptOptions, kept_weight
from lmtrain.cli.rescoring import refuse_weight_alone
from lmtrain.cli.score_formats import ScoreFormat
from lmtrain.cli.score_several import SIDE_BY_SIDE
from lmtrain.cli.text_rules import RulesOptions
from lmtrain.cli.word_table import WordOptions
from lmtrain.errors import UsageError
from lmtrain.files.tables import has_table_name

if TYPE_CHECKING:
    from lmtrain.inference.adapt import Adaptation
    from lmtrain.run.trained import Precision


@dataclass(frozen=True)
class ScoreOptions:
    """What is scored, how, and what becomes of the figures; see the options of the command."""

    file: Path
    form: str
    kind: type[ScoreFormat]
    """The class of that form, of one model."""
    context: Literal["line", "stream", "utterance"]
    after: str | None
    extended: bool
    num_guesses: int
    rules: RulesOptions
    words: WordOptions
    out: Path | None
    adapt: AdaptOptions
    ngram: Path | None
    given_weight: float | None
    precision: "Precision"
    as_ensemble: bool
    skip_bad_lines: bool

    @property
    def has_details(self) -> bool:
        """Whether entropy and rank are asked for in so many words."""
        return self.extended or self.num_guesses > 0

    @property
    def with_details(self) -> bool:
        """Whether they are computed: where they are asked for, and for tables wherever there are any."""
        is_of_one = self.ngram is None and not self.as_ensemble
        return self.has_details or (self.asks_for_words and is_of_one)

    @property
    def asks_for_words(self) -> bool:
        """Whether a table comes out, of words as people wrote them, and not a form of lines."""
        is_text_by_rules = self.rules.are_given and self.form == "tsv"
        return self.words.are_given or has_table_name(self.file) or is_text_by_rules

    @property
    def adaptation(self) -> "Adaptation":
        """How the models adapt to what they read."""
        return self.adapt.adaptation()

    @property
    def weight(self) -> float | None:
        """Of the n-gram model, as given or as tuned."""
        return kept_weight(self.adapt.tuning) if self.given_weight is None else self.given_weight

    @property
    def context_name(self) -> str:
        """What signatures call the context."""
        name = "stream1" if self.context == "stream" else self.context
        if self.words.after_column is not None:
            return f"{name}|after:column"
        if self.after is None:
            return name
        return f"{name}|after:{hashlib.sha256(self.after.encode()).hexdigest()[:8]}"

    def refuse_contradictions(self, num_models: int) -> None:
        """Looks at all of it, before anything is loaded.

        Raises:
            UsageError: Two options do not go together; says which.
        """
        refuse_weight_alone(self.ngram, self.given_weight)
        found = chain(
            self._of_form(num_models), self._of_context(num_models), self._of_adaptation(), self._of_words()
        )
        if first := next(found, None):
            raise UsageError(first)

    def _of_form(self, num_models: int) -> Iterator[str]:
        asked = "--top" if self.num_guesses else "--extended"
        if self.has_details and not self.kind.takes_details:
            yield f"{asked} has no place in --format {self.form}; use tsv, json or html"
        if self.has_details and self.ngram is not None:
            yield f"{asked} tells of the model alone, and has no meaning with --ngram"
        if self.as_ensemble and num_models == 1:
            yield "--ensemble needs several models; there is one"
        if num_models > 1 and not self.as_ensemble and self.form not in SIDE_BY_SIDE:
            yield f"--format {self.form} is of one model; use tsv or json, or make them one with --ensemble"

    def _of_context(self, num_models: int) -> Iterator[str]:
        if self.context == "stream" and self.kind.holds_alternatives:
            yield f"--format {self.form} lists alternatives: each is scored on its own, with --context line"
        if self.context == "utterance" and not self.kind.has_fields:
            yield (
                "--context utterance is for kaldi, kaldi-words and nbest; "
                "each line after all others is stream"
            )
        if self.context == "utterance" and num_models > 1:
            yield "--context utterance is for one model"
        if self.after is not None and (self.context != "line" or self.form == "srilm"):
            what = f"--context {self.context}" if self.context != "line" else "--format srilm"
            yield f"--after is a beginning of every line, which has no place in {what}"

    def _of_adaptation(self) -> Iterator[str]:
        if not self.adaptation.is_ordered:
            return
        if self.kind.holds_alternatives:
            yield f"--format {self.form} lists alternatives: nothing is to be learnt from one for the next"
        if self.context == "utterance":
            yield "--context utterance reads alternatives: nothing is to be learnt from them"
        if self.after is not None:
            yield "--after begins every line: what adapts would learn it again with each"

    def _of_words(self) -> Iterator[str]:
        if not self.asks_for_words:
            return
        no_place = "has no place for tables or rows of words"
        if self.form != "tsv" and has_table_name(self.file):
            yield (
                f"--format {self.form} {no_place}: it reads {self.kind.reads}; leave it out for a table, or "
                f"save the column of sentences as a text ({self.file} is a table by its name)"
            )
        elif self.form != "tsv":
            yield (
                f"--format {self.form} {no_place}, which {self.words.first_given} is of: it reads "
                f"{self.kind.reads}; leave out one of the two"
            )
        if self.after is not None:
            yield f"--after {no_place}; --after-column names a column of beginnings"
        if self.skip_bad_lines:
            yield f"--skip-bad-lines {no_place}; leave it out"
        if self.words.after_column is not None:
            given = {
                "--sentence-by": self.words.sentence_by,
                "--context stream": self.context == "stream",
                f"--adapt {self.adapt.adapt}": self.adaptation.is_ordered,
            }
            yield from (
                f"--after-column: each row stands after its own text, and {what} has no meaning"
                for what in given
                if given[what]
            )
