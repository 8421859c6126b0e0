"""Surprisal of words as people wrote them: the table, what it depends on, and words that are unknown."""

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from lmtrain.cli.text import note, write_result
from lmtrain.cli.unknown_words import MANY, name_unknown
from lmtrain.cli.word_table import WordOptions, WordReader, WordTable
from lmtrain.files.atomic import write_file
from lmtrain.files.tables import as_text

if TYPE_CHECKING:
    from lmtrain.corpus.stimuli import Stimuli

_ROWS = 5000
"""Written at once."""


def write_words(
    stimuli: "Stimuli", table: WordTable, readers: Sequence[WordReader], options: WordOptions, signature: str
) -> None:
    """Writes the table, and tells of words that the models do not know.

    Args:
        stimuli: What is scored.
        table: What is written of them.
        readers: The models.
        options: Where it goes, and what is summed.
        signature: All that figures depend on, in a line.
    """
    if stimuli.kind == "words" and not stimuli.keys:
        note(f"{stimuli.name}: no column such as item or sentence_id; all rows are read as one sentence")
    rows = table.summed() if options.by else table.rows()
    separator = stimuli.table.separator
    if options.out is None:
        while some := list(islice(rows, _ROWS)):
            write_result(_as_text(some, separator), end="")
        note(f"signature: {signature}")
    else:
        write_file(options.out, _as_text(rows, separator).encode())
        facts = {"signature": signature, "data": stimuli.name, "sha256": stimuli.table.sha256}
        write_file(
            options.out.with_name(f"{options.out.name}.json"),
            (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode(),
        )
    for reader, count in zip(readers, table.num_unknown, strict=True):
        if count > MANY * table.num_words:
            _tell_unknown(stimuli, reader, count, table.num_words)


def _tell_unknown(stimuli: "Stimuli", reader: WordReader, count: int, num_words: int) -> None:
    model = reader.suffix.removeprefix("_")
    of = f"{model}: " if model else ""
    note(
        f"{of}{count:,} of {num_words:,} words ({count / num_words:.1%}) are unknown "
        "to the model or have a part that is; <unk> stands for all of them"
    )
    lines = [(sentence.label, sentence.line) for sentence in stimuli.sentences]
    name_unknown(lines, reader.model.rules, reader.model.vocab, model)


def _as_text(rows: Iterable[Sequence[object]], separator: str) -> str:
    return as_text(
        ([f"{cell:z.6f}" if isinstance(cell, float) else cell for cell in row] for row in rows), separator
    )
