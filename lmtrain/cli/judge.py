"""``lmtrain judge``."""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmtrain.cli.completion import complete_model
from lmtrain.cli.options import DeviceOption, JsonOption, SnapshotOption, columns_named
from lmtrain.cli.progress import watched
from lmtrain.cli.signatures import Signatures, results_to
from lmtrain.cli.text import note, print_json, print_table, write_result
from lmtrain.cli.text_rules import (
    LowercaseOption,
    NumbersOption,
    PunctuationOption,
    RulesOptions,
    TokenizerOption,
)
from lmtrain.errors import UsageError

if TYPE_CHECKING:
    from lmtrain.corpus.suites.published import Published
    from lmtrain.corpus.suites.question import Question
    from lmtrain.inference.judge import Judge, Verdict
    from lmtrain.inference.tally import Group, Tally
    from lmtrain.run.trained import TrainedModel

_NAMED = 6
"""Sets of others, at most."""


def judge(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL... FILE...",
            help="Run directories or snapshots, then files: minimal pairs (BLiMP's JSON lines, CSV, TSV), "
            "verbs of a corpus (.gold beside .text), test suites of SyntaxGym (.json), or toy-english; - is "
            "standard input.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ],
    good: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Of sentences that ought to be the more probable ones.  [default: found by usual names]",
            show_default=False,
        ),
    ] = None,
    bad: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Of the others.", show_default=False)
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN,...", help="Figures for each value of these columns too.", show_default=False
        ),
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Figures of others to stand beside: JSON lines or a table, a set a row, a model a column.",
            show_default=False,
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A row for each pair or prediction (.csv, .tsv): its groups, surprisals by each model, "
            "whether it is right; what these depend on to FILE.json.",
            show_default=False,
        ),
    ] = None,
    tokenizer: TokenizerOption = None,
    lowercase: LowercaseOption = False,
    numbers: NumbersOption = None,
    no_punctuation: PunctuationOption = False,
    snapshot: SnapshotOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Tells how often a model prefers the better of two sentences.

    Accuracy by set, term and field of minimal pairs, by the nouns between subject and verb, by test suite;
    several models side by side. A tie is not right. Beside it stand how many pairs rest on words that the
    model does not know, and the accuracy of the others.

    Example: lmtrain judge runs/quickstart toy-english
    """
    from lmtrain.cli.score_several import names_of
    from lmtrain.corpus.patterns import expand_patterns
    from lmtrain.corpus.suites.published import read_published
    from lmtrain.corpus.suites.reading import read_files
    from lmtrain.corpus.suites.records import Columns
    from lmtrain.files.tables import as_text
    from lmtrain.inference.question_table import QuestionTable
    from lmtrain.inference.tally import groups_of
    from lmtrain.run.trained import load_model

    models, files = _told_apart(paths)
    rules = RulesOptions(tokenizer, lowercase, numbers, no_punctuation)
    loaded = [rules.applied_to(load_model(model, snapshot, device, note)) for model in models]
    columns = Columns(good, bad, columns_named(by))
    figures = None if published is None else read_published(published)
    questions = read_files(expand_patterns(files), columns)
    names = names_of(models)
    table = None if pairs is None else QuestionTable(questions, names)
    by_model = [
        _verdicts(model, questions, name if len(models) > 1 else "")
        for model, name in zip(loaded, names, strict=True)
    ]
    _tell_ties(by_model, names)
    groups = groups_of(questions, by_model)
    if figures is not None:
        _tell_strangers(published, figures, groups)
    signatures = _signatures(loaded, names, files, questions)
    if pairs is not None and table is not None:
        with results_to(pairs) as write:
            write(as_text(table.rows(by_model), "\t" if pairs.suffix.lower() == ".tsv" else ","))
        signatures.tell(pairs)
    if as_json:
        print_json(_as_dict(groups, loaded, signatures, figures))
        return
    _print(groups, names, figures)
    for signature in signatures.of_models.values():
        write_result(signature)


def _tell_strangers(path: Path | None, published: "Published", groups: "Sequence[Group]") -> None:
    """Says so where published figures are of other sets alone, so that none stands beside ours."""
    judged = {name for group in groups for name in group.sets}
    if judged.isdisjoint(published.by_set):
        others = ", ".join(
            [*islice(published.by_set, _NAMED), *(["…"] if len(published.by_set) > _NAMED else [])]
        )
        note(f"{path}: has no figure of these sets ({others} are in it), which go by their names")


def _told_apart(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The models, which are folders, and the files."""
    models = [paths[0], *(path for path in paths[1:] if path.is_dir())]
    files = [path for path in paths[1:] if not path.is_dir()]
    if not files:
        raise UsageError("name a file to be judged on after the model: minimal pairs or test suites")
    return models, files


def _verdicts(model: "TrainedModel", questions: "Sequence[Question]", name: str) -> "list[Verdict]":
    from lmtrain.inference.judge import Judge, Line

    def watch(groups: Sequence[Sequence[Line]]) -> Iterable[Sequence[Line]]:
        return watched(groups, sum(map(len, groups)), "lines", f"judging {name}".rstrip(), len)

    judging = Judge(model.model, model.vocab, model.rules, watch)
    verdicts = judging.verdicts(questions)
    _tell_unknown(judging, questions, model, name)
    return verdicts


def _tell_ties(by_model: "Sequence[Sequence[Verdict]]", names: Sequence[str]) -> None:
    """Says which models do not decide some pairs; once where it is the same of all."""
    ties = [[verdict for verdict in verdicts if verdict.is_tie] for verdicts in by_model]
    told = [(len(found), sum(verdict.has_unknown for verdict in found)) for found in ties]
    told_of = list(zip(names, told, strict=True)) if len(set(told)) > 1 else [("", told[0])]
    for name, (number, num_unknown) in told_of:
        if number:
            note(
                f"{name and f'{name}: '}both sides of {number:,} pairs are equally probable, which counts as "
                f"wrong; {num_unknown:,} of them rest on unknown words"
            )


def _tell_unknown(
    judging: "Judge", questions: "Sequence[Question]", model: "TrainedModel", name: str
) -> None:
    """Names unknown words of lines from all files, where there are many."""
    from lmtrain.cli.unknown_words import MANY, NUM_TRIED, name_unknown
    from lmtrain.corpus.words import Unknown

    unknown = Unknown.of(list(judging.words.values()), model.vocab)
    if unknown.share <= MANY:
        return
    note(
        f"{name and f'{name}: '}{len(unknown.words):,} of {unknown.num_words:,} words ({unknown.share:.1%}) "
        "are unknown to the model or have a part that is"
    )
    where = {s.line: question.place.where for question in questions for s in question.stretches}
    lines = [(label.rpartition("/")[2], line) for line, label in where.items()]
    name_unknown(lines[:: max(1, len(lines) // NUM_TRIED)], model.rules, model.vocab, name)


def _signatures(
    loaded: "Sequence[TrainedModel]",
    names: Sequence[str],
    files: Sequence[Path],
    questions: "Sequence[Question]",
) -> Signatures:
    """All that the figures of each model depend on; of the files, what is asked."""
    import hashlib

    from lmtrain.run.trained import NOT_ADAPTED

    data = hashlib.sha256(repr([question.stretches for question in questions]).encode()).hexdigest()
    figure = "judge|ties:wrong"
    signed = {
        name: model.signature(data, "line", NOT_ADAPTED, "float32", None, model.weights, figure=figure)
        for name, model in zip(names, loaded, strict=True)
    }
    return Signatures(" ".join(map(str, files)), data, signed)


def _print(groups: "Sequence[Group]", names: Sequence[str], published: "Published | None") -> None:
    for (test, method), found in groupby(groups, key=lambda group: (group.test, group.method)):
        kinds = [(by, list(rows)) for by, rows in groupby(found, key=lambda group: group.by)]
        if len(kinds) > 1:  # the row of all stands beneath those of the first kind
            (first, rows), (_, together) = kinds[0], kinds.pop()
            kinds[0] = (first, [*rows, *together] if len(rows) > 1 else rows)
        write_result(f"{test}: {method}" if method else test)
        for by, rows in kinds:
            write_result()
            _print_table(by, rows, names, published)
        write_result()


def _print_table(
    by: str, rows: "Sequence[Group]", names: Sequence[str], published: "Published | None"
) -> None:
    """Accuracy with its interval, share that is unknown, and accuracy of the rest; all in percent."""
    header = [by, "number"]
    for name in names if len(names) > 1 else [""]:
        header += [f"{name} {what}".lstrip() for what in ("right %", "95 %", "unknown %", "known right %")]
    header.append("chance %")
    cells = []
    for row in rows:
        figures = [cell for tally in row.tallies for cell in _cells(tally)]
        cells.append([row.name, f"{row.num:,}", *figures, _percent(row.chance, 0)])
    beside = [published.mean(row.sets) for row in rows] if published and rows[0].is_main else []
    if any(map(math.isfinite, (x for row in beside for x in row.values()))):
        header += beside[0]
        cells = [[*row, *map(_percent, x.values())] for row, x in zip(cells, beside, strict=True)]
    print_table(header, cells)


def _cells(tally: "Tally") -> list[str]:
    low, high = tally.interval
    return [
        _percent(tally.accuracy),
        f"{_percent(low)}-{_percent(high)}",
        _percent(tally.unknown_share),
        _percent(tally.known_accuracy),
    ]


def _percent(share: float, digits: int = 1) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.{digits}f}"


def _as_dict(
    groups: "Sequence[Group]",
    loaded: "Sequence[TrainedModel]",
    signatures: Signatures,
    published: "Published | None",
) -> dict[str, Any]:
    return {
        "models": [
            {"model": name, "snapshot": str(model.snapshot.path), "signature": signature}
            for model, (name, signature) in zip(loaded, signatures.of_models.items(), strict=True)
        ],
        "groups": [
            {
                "test": group.test,
                "method": group.method or None,
                "by": group.by,
                "name": group.name,
                "chance": group.chance,
                "published": published.mean(group.sets) if published and group.is_main else None,
                "models": [
                    {"model": name, **tally.to_dict()}
                    for name, tally in zip(signatures.of_models, group.tallies, strict=True)
                ],
            }
            for group in groups
        ],
    }
