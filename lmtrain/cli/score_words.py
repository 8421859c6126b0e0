"""Surprisal of words as people wrote them: the table, what it depends on, and words that are unknown."""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from lmtrain.cli.score_models import NamedScorer, signatures_of
from lmtrain.cli.score_options import ScoreOptions
from lmtrain.cli.score_text import note_table
from lmtrain.cli.signatures import results_to
from lmtrain.cli.text import note
from lmtrain.cli.unknown_words import MANY, name_unknown
from lmtrain.cli.word_table import WordReader, WordTable
from lmtrain.errors import DataError
from lmtrain.files.tables import as_text

if TYPE_CHECKING:
    from lmtrain.corpus.stimuli import Stimuli

_ROWS = 5000
"""Written at once."""
_NAMED = 6
"""Rows at most, by number."""


def score_words(scorers: Sequence[NamedScorer], options: ScoreOptions) -> None:
    """Writes the table, and tells what it depends on and which words the models do not know."""
    from lmtrain.corpus.stimuli import read_stimuli

    suffixes = [f"_{each.name}" for each in scorers] if len(scorers) > 1 else [""]
    readers = [
        WordReader(each.model, each.scorer, suffix) for each, suffix in zip(scorers, suffixes, strict=True)
    ]
    asked = options.words
    stimuli = read_stimuli(options.file, asked.column, asked.sentence_by, asked.after_column)
    _refuse_torn(stimuli)
    table = WordTable(stimuli, readers, options.words, has_details=options.with_details, out=options.out)
    if stimuli.kind == "words" and not stimuli.keys and asked.after_column is None:
        note(
            f"{stimuli.name}: no column such as item or sentence_id; all rows are read as one sentence "
            "(name what tells sentences apart with --sentence-by)"
        )
    if stimuli.kind == "text":
        note_table(stimuli.sentences[0].line, stimuli.name)
    rows = table.summed() if options.words.by else table.rows()
    with results_to(options.out) as write:
        while some := list(islice(rows, _ROWS)):
            write(as_text(some, stimuli.table.separator))
    if absent := [str(row + 1) for row in table.without_words]:
        note(
            f"{stimuli.name}: {len(absent):,} of {len(stimuli.table.rows):,} rows have no word, and none in "
            f"what is written: {', '.join(absent[:_NAMED])}{', …' if len(absent) > _NAMED else ''}"
        )
    sha256, base = stimuli.table.sha256, options.words.base
    signatures_of(scorers, options, stimuli.name, sha256, base, with_eos=False).tell(options.out)
    for reader, count in zip(readers, table.num_unknown, strict=True):
        if count > MANY * table.num_words:
            _tell_unknown(stimuli, reader, count, table.num_words)


def _refuse_torn(stimuli: "Stimuli") -> None:
    """Where words are sorted by their place in a sentence, say, a sentence would be read as many."""
    if torn := stimuli.torn:
        values = ", ".join(f"{key} {stimuli.table.column(key)[torn.first_row]}" for key in stimuli.keys)
        raise DataError(
            f"{stimuli.name}: row {torn.first_row + 1} ({values}) goes on with a sentence that other rows "
            "interrupt; sort the table so that the words of a sentence follow each other or, if this is "
            f"another sentence, name all columns that tell: --sentence-by {','.join(stimuli.keys)},…"
        )


def _tell_unknown(stimuli: "Stimuli", reader: WordReader, count: int, num_words: int) -> None:
    model = reader.suffix.removeprefix("_")
    of = f"{model}: " if model else ""
    note(
        f"{of}{count:,} of {num_words:,} words ({count / num_words:.1%}) are unknown "
        "to the model or have a part that is; <unk> stands for all of them"
    )
    lines = [(sentence.label, sentence.line) for sentence in stimuli.sentences]
    name_unknown(lines, reader.model.rules, reader.model.vocab, model)
