"""The lines of a text that is scored: read, and given to a scorer as they belong together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from lmtrain.cli.bad_lines import BadLines
from lmtrain.cli.score_formats import ScoreFormat
from lmtrain.corpus.text import TextRules
from lmtrain.errors import DataError
from lmtrain.files.text_input import input_name, read_lines

if TYPE_CHECKING:
    from lmtrain.inference.score import ScoredLine, Scorer


@dataclass(frozen=True)
class Sentence:
    """A line to be scored."""

    number: int
    """Of the line, from 1."""
    text: str
    prefix: str
    """What precedes the sentence, for the form it is written in."""
    words: list[str]
    utterance: str
    """What it is a hypothesis for, where the form tells."""


def read_sentences(
    file: Path,
    form: ScoreFormat,
    rules: TextRules,
    bad: BadLines,
    tell: Callable[[bytes], object],
) -> Iterator[list[Sentence | None]]:
    """Lines as they come, some at once; None is a blank line that the form hands on.

    Args:
        file: The text; ``-`` is standard input.
        form: Tells what the sentence on a line is.
        rules: By which it becomes words.
        bad: Takes lines that cannot be used.
        tell: Is told the bytes of the text; see ``read_lines``.

    Raises:
        DataError: The text or a line cannot be used; what comes before that has been handed out.
    """
    name = input_name(file)
    for first_number, lines in read_lines(file, tell):
        group: list[Sentence | None] = []
        for number, line in enumerate(lines, first_number):
            try:
                group.append(_sentence(number, line, f"{name}:{number}", form, rules))
            except DataError as error:
                try:
                    bad.refuse(error)
                except DataError:
                    if group:
                        yield group
                    raise
        if group:
            yield group


def _sentence(number: int, line: str, place: str, form: ScoreFormat, rules: TextRules) -> Sentence | None:
    if form.has_fields and not line.strip():
        form.end_list()
        return None
    prefix, text = form.parse(line, place)
    return Sentence(number, text, prefix, rules.words(text, place), form.utterance(prefix))


class UtteranceScorer:
    """Each utterance goes on from the first hypothesis for the one before.

    Args:
        scorer: In ``line`` context.
    """

    def __init__(self, scorer: "Scorer") -> None:
        self._scorer = scorer
        self._last: str | None = None

    def score(self, sentences: list[Sentence]) -> "list[ScoredLine]":
        """As of ``Scorer``; hypotheses for the same utterance follow each other, in this call or the next."""
        scored: list[ScoredLine] = []
        for utterance, group in groupby(sentences, lambda sentence: sentence.utterance):
            lines = [sentence.words for sentence in group]
            scored += self._scorer.score_hypotheses(lines, is_next=utterance != self._last)
            self._last = utterance
        return scored
