"""Scores of several models side by side, in the forms that have a place for them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmtrain.cli.score_formats import ScoreFormat, as_json_line, fields_of, guess_cells, guess_columns

if TYPE_CHECKING:
    from lmtrain.inference.score import ScoredLine


class SideBySide(ScoreFormat):
    """What both forms share.

    Args:
        name: Of the text.
        is_extended: Whether entropy and rank are written too.
        models: What each is called.
        num_guesses: How many words are written that each expected in the place of a token.
        signatures: What the figures of each depend on, but for the text.
    """

    takes_details = True

    def __init__(
        self,
        name: Path,
        is_extended: bool,
        models: Sequence[str],
        num_guesses: int,
        signatures: Sequence[str],
    ) -> None:
        super().__init__(name, is_extended, num_guesses=num_guesses, signatures=signatures)
        self.models = models


class TsvSideBySide(SideBySide):
    """A line a token, as the text has it; ``surprisal_NAME`` in bits, and ``is_unk_NAME``, of each model."""

    def begin(self) -> str:
        """The header."""
        names = ["surprisal", "is_unk", *(["entropy", "rank"] if self.is_extended else [])]
        names += guess_columns(self.num_guesses)
        columns = [f"{name}_{model}" for model in self.models for name in names]
        return "\t".join(["sentence_id", "token_id", "token", *columns]) + "\n"

    def write_all(self, prefix: str, lines: Sequence["ScoredLine"]) -> str:  # noqa: ARG002
        """The rows of a sentence."""
        self.number += 1
        tokens = lines[0].tokens
        columns: list[Iterable[object]] = [range(1, len(tokens) + 1), tokens]
        for line in lines:
            columns += [[f"{bits:z.6f}" for bits in line.surprisal.tolist()], map(int, line.is_unk)]
            if line.details is not None:
                entropy, rank = line.details.entropy.tolist(), line.details.rank.tolist()
                columns += [[f"{bits:z.6f}" for bits in entropy], rank]
                cells = [guess_cells(guesses, self.num_guesses) for guesses in line.details.guesses]
                columns += zip(*cells, strict=True)
        rows = zip(*columns, strict=True)
        return "".join("\t".join(map(str, (self.number, *row))) + "\n" for row in rows)


class JsonSideBySide(SideBySide):
    """A JSON object a sentence: under ``models``, by name, what the form has of one."""

    def write_all(self, prefix: str, lines: Sequence["ScoredLine"]) -> str:  # noqa: ARG002
        """The object of a sentence."""
        self.number += 1
        each = zip(self.models, lines, self.signatures, strict=True)
        of_models = {model: fields_of(line, signature) for model, line, signature in each}
        return as_json_line({"sentence_id": self.number, "models": of_models})


SIDE_BY_SIDE = {"tsv": TsvSideBySide, "json": JsonSideBySide}


def names_of(models: Sequence[Path]) -> list[str]:
    """What models are called in headers: the last part of each path or, where two are alike, the whole."""
    short = [model.resolve().name for model in models]
    names = short if len(set(short)) == len(short) else [str(model) for model in models]
    return [f"{name}.{i}" if names.count(name) > 1 else name for i, name in enumerate(names, 1)]
