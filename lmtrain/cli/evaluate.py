"""``lmtrain eval``."""

import functools
import math
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lmtrain.cli.adapting import (
    AdaptOption,
    AdaptOptions,
    AdaptSetOption,
    TemperatureOption,
    TuningOption,
    kept_weight,
    tuned,
    watched_windows,
)
from lmtrain.cli.options import (
    DeviceOption,
    EnsembleOption,
    JsonOption,
    ModelsArgument,
    NgramOption,
    PrecisionOption,
    SnapshotOption,
    WeightOption,
)
from lmtrain.cli.rescoring import interpolation_of, refuse_weight_alone
from lmtrain.cli.text import above, note, print_json, print_pairs, print_table, write_result
from lmtrain.cli.text_rules import (
    LowercaseOption,
    NumbersOption,
    PunctuationOption,
    RulesOptions,
    TokenizerOption,
)

if TYPE_CHECKING:
    from lmtrain.inference.adapt import Adaptation
    from lmtrain.inference.evaluation import Evaluation
    from lmtrain.jobs.seeds import SeedGroup
    from lmtrain.run.ensemble import Ensemble
    from lmtrain.run.result import HeldOutResult
    from lmtrain.run.trained import TrainedModel

_MANY_OOV = 0.05
"""The share of unknown words from which on a perplexity says little without a word about them."""


def evaluate(
    models: ModelsArgument,
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE",
            help="Held-out text, or a pattern; repeatable; - is standard input.",
            show_default=False,
        ),
    ],
    context: Annotated[
        Literal["stream", "line"] | None,
        typer.Option(
            metavar="stream|line",
            help="One running text, or each line on its own.  [default: as trained]",
            show_default=False,
        ),
    ] = None,
    streams: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Streams a running text is cut into for speed, each starting without context; 1 is exact.",
        ),
    ] = 1,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Lines at once in line context; changes no figure.  [default: as memory allows]",
            show_default=False,
        ),
    ] = None,
    adapt: AdaptOption = "none",
    adapt_set: AdaptSetOption = None,
    temperature: TemperatureOption = None,
    tuning: TuningOption = None,
    precision: PrecisionOption = "float32",
    ngram: NgramOption = None,
    weight: WeightOption = None,
    tune_on: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Text that the adaptation, a temperature and the weight of the n-gram model are tuned on.",
            show_default=False,
        ),
    ] = None,
    save_tuning: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keeps what --tune-on finds, for --tuning.", show_default=False),
    ] = None,
    tokenizer: TokenizerOption = None,
    lowercase: LowercaseOption = False,
    numbers: NumbersOption = None,
    no_punctuation: PunctuationOption = False,
    as_ensemble: EnsembleOption = False,
    snapshot: SnapshotOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measures the perplexity of held-out text.

    Every token is scored once, line ends included, unknown words as <unk>. Several texts make a table, and
    several models one in which they stand side by side.

    Example: lmtrain eval runs/quickstart --data data/toy-english/test.txt

    Example: lmtrain eval runs/quickstart --data "text/*.txt" --context line --json
    """
    from lmtrain.corpus.patterns import expand_patterns
    from lmtrain.run.ensemble import Ensemble
    from lmtrain.run.trained import load_model

    options = AdaptOptions(adapt, adapt_set, temperature, tuning)
    adaptation = options.adaptation()
    _refuse_contradictions(options, ngram, weight, tune_on, save_tuning)
    paths = expand_patterns(data)
    _refuse_with_several(models, paths, tune_on, save_tuning, as_ensemble=as_ensemble)
    weight = kept_weight(tuning) if weight is None else weight
    rules = RulesOptions(tokenizer, lowercase, numbers, no_punctuation)
    loaded = [rules.applied_to(load_model(model, snapshot, device, note)) for model in models]

    def results_of(reader: "TrainedModel | Ensemble", adaptation: "Adaptation") -> "list[HeldOutResult]":
        interpolation = interpolation_of(reader, ngram, weight)
        if tune_on is not None:
            assert not isinstance(reader, Ensemble)  # noqa: S101  (refused)
            if adapt != "none" or save_tuning is not None:
                adaptation, interpolation = tuned(
                    reader,
                    adaptation,
                    interpolation,
                    tune_on,
                    context=context,
                    precision=precision,
                    save=save_tuning,
                )
            elif interpolation is not None:
                interpolation = reader.tune(
                    interpolation.ngram, tune_on, context=context, precision=precision, watch=watched_windows
                )
        return [
            reader.evaluate(
                path,
                context=context,
                streams=streams,
                batch_size=batch_size,
                adaptation=adaptation,
                precision=precision,
                interpolation=interpolation,
                watch=watched_windows,
            )
            for path in paths
        ]

    if len(models) == 1 or as_ensemble:
        reader = Ensemble.of(loaded) if as_ensemble else loaded[0]
        _print(results_of(reader, adaptation), as_json=as_json)
    else:
        by_model = [results_of(model, adaptation) for model in loaded]
        _print_models(models, loaded, by_model, as_json=as_json)
    if tune_on in paths:
        note(f"{tune_on}: is evaluated with what was tuned on it, which flatters the model")


def _print(results: Sequence["HeldOutResult"], *, as_json: bool) -> None:
    if as_json:
        objects = [result.to_dict() for result in results]
        print_json(objects if len(results) > 1 else objects[0])
    elif len(results) > 1:
        _print_many(results)
    else:
        _print_one(results[0])
    for result in results:
        _warn_of_oov(result)


def _print_models(
    models: Sequence[Path],
    loaded: Sequence["TrainedModel"],
    by_model: Sequence[Sequence["HeldOutResult"]],
    *,
    as_json: bool,
) -> None:
    """Several models side by side: a row a model, text by text."""
    from lmtrain.jobs.seeds import Spread

    if as_json:
        print_json(
            [
                {"model": str(model), "vocab_size": len(each.vocab), **result.to_dict()}
                for model, each, results in zip(models, loaded, by_model, strict=True)
                for result in results
            ]
        )
    else:
        by_text = list(zip(*by_model, strict=True))
        header, rows = ["model", "words", *_HEADER], []
        for of_text in by_text:
            for result, model, each in zip(of_text, models, loaded, strict=True):
                rows.append([str(model), f"{len(each.vocab):,}", *_row(result.evaluation)])
        if len(by_text) > 1:
            texts = [str(result.data) for of_text in by_text for result in of_text]
            header, rows = ["text", *header], [[text, *row] for text, row in zip(texts, rows, strict=True)]
        print_table(header, rows, left={"text", "model"})
        write_result()
        for result in (result for of_text in by_text for result in of_text):
            write_result(result.signature)
        if _differ_by_seed(loaded):
            if problem := _runs_of(loaded).problem:
                note(f"no mean: {len(loaded)} seeds, {problem}")
            else:
                for of_text in by_text:
                    spread = Spread.of([result.evaluation.perplexity for result in of_text])
                    note(f"{of_text[0].data}: {len(of_text)} seeds, perplexity {spread}")
    if len({model.vocab.sha256 for model in loaded}) > 1:
        note(
            "the models know different words: what one scores as <unk> another may have to name, so that "
            "their perplexities are not of the same events"
        )
    for of_text in zip(*by_model, strict=True):
        _warn_of_oov(max(of_text, key=lambda result: result.evaluation.oov_rate))


def _differ_by_seed(models: Sequence["TrainedModel"]) -> bool:
    """Whether they are models of one config, each of another seed."""
    configs = [model.config.to_dict() | {"name": "", "seed": 0} for model in models]
    seeds = {model.config.seed for model in models}
    return len(seeds) == len(models) and all(config == configs[0] for config in configs)


def _runs_of(models: Sequence["TrainedModel"]) -> "SeedGroup":
    """The runs that their snapshots lie in; a snapshot that was taken out of its run has none."""
    from lmtrain.jobs.compare_runs import summarise
    from lmtrain.jobs.seeds import SeedGroup, SeedRun
    from lmtrain.run.layout import run_of

    found = ((model.config.seed, run_of(model.snapshot.path)) for model in models)
    return SeedGroup(tuple(SeedRun.of(seed, summarise(run.run_dir)) for seed, run in found if run))


def _refuse_with_several(
    models: Sequence[Path],
    paths: Sequence[Path],
    tune_on: Path | None,
    save_tuning: Path | None,
    *,
    as_ensemble: bool,
) -> None:
    from lmtrain.errors import UsageError
    from lmtrain.files.text_input import STANDARD_INPUT

    for model in models[1:]:  # the first is no text that was meant for --data
        if model.is_file() or (model.suffix == ".txt" and not model.exists()):
            raise UsageError(f"{model}: a text, not a model; repeat --data for each text")
    if as_ensemble and len(models) == 1:
        raise UsageError("--ensemble needs several models; there is one")
    if as_ensemble and tune_on is not None:
        raise UsageError("--tune-on finds values for one model; leave it or --ensemble out")
    if len(models) > 1 and save_tuning is not None:
        raise UsageError("--save-tuning keeps the values of one model; name one")
    if len(models) > 1 and not as_ensemble and STANDARD_INPUT in (*paths, tune_on):
        raise UsageError("standard input can be read for one model alone; name a file")


def _refuse_contradictions(
    options: AdaptOptions,
    ngram: Path | None,
    weight: float | None,
    tune_on: Path | None,
    save_tuning: Path | None,
) -> None:
    from lmtrain.errors import UsageError

    refuse_weight_alone(ngram, weight)
    if tune_on is not None and ngram is None and options.adapt == "none" and save_tuning is None:
        raise UsageError(
            "--tune-on tunes an adaptation or the weight of an n-gram model; name one with --adapt or --ngram"
        )
    if tune_on is not None and (options.tuning is not None or options.temperature is not None):
        raise UsageError("--tune-on finds all values anew; leave --tuning and --temperature out")
    if save_tuning is not None and tune_on is None:
        raise UsageError("--save-tuning keeps what is found with --tune-on; name a text")
    if tune_on is not None and weight is not None:
        raise UsageError("--weight and --tune-on exclude each other")


def _print_one(result: "HeldOutResult") -> None:
    figures = result.evaluation
    pairs: list[tuple[str, object]] = [
        ("perplexity", f"{figures.perplexity:.4f}"),
        ("  without <eos>", f"{figures.perplexity_without_eos:.4f}"),
        ("  without <unk>", f"{figures.perplexity_without_unk:.4f}"),
        ("bits per word", f"{figures.bits_per_word:.4f}"),
        ("accuracy", f"{figures.accuracy:.4f}"),
        ("tokens", f"{figures.num_tokens:,}"),
        ("scored as <unk>", f"{figures.num_oov:,} ({figures.oov_rate:.2%})"),
        ("words per second", f"{figures.words_per_second:,.0f}"),
        *([("adapted", result.adapt)] if result.adapt != "none" else []),
        *([] if result.members else [("snapshot", result.snapshot)]),
        ("signature", result.signature),
    ]
    if math.isnan(figures.accuracy):  # a mixture, of which only the tokens' own probabilities are known
        pairs = [pair for pair in pairs if pair[0] != "accuracy"]
    if (mixture := result.mixture) is not None:
        tuned = f", tuned on {mixture.interpolation.tuned_on}" if mixture.interpolation.tuned_on else ""
        pairs[1:1] = [
            ("  of the model", f"{mixture.model.perplexity:.4f}"),
            ("  of the n-gram", f"{mixture.ngram.perplexity:.4f}"),
            ("n-gram weight", f"{mixture.interpolation.weight:.4f}{tuned}"),
        ]
    of_members = [(f"  {m.snapshot}", f"{m.evaluation.perplexity:.4f}") for m in result.members]
    pairs[1:1] = [("  mean of probabilities of", ""), *of_members] if of_members else []
    if result.source_perplexity is not None:
        distance = above(figures.perplexity, result.source_perplexity)
        of_source = f"{result.source_perplexity:.4f} ({distance} the best possible)"
        pairs.insert(1, ("  of the source", of_source))
    print_pairs(pairs)
    write_result()
    bands = [band for band in result.evaluation.bands() if band.num_tokens]
    print_table(
        ("rank in training", "tokens", "share", "perplexity"),
        [
            (
                band.name,
                f"{band.num_tokens:,}",
                f"{band.num_tokens / figures.num_tokens:.1%}",
                f"{band.perplexity:,.2f}",
            )
            for band in bands
        ],
    )
    if result.oov_words:
        write_result(
            f"\nunknown words: {', '.join(f'{word} ({count:,})' for word, count in result.oov_words)}"
        )


_HEADER = ("tokens", "ppl", "w/o <eos>", "w/o <unk>", "<unk>", "accuracy")


def _row(figures: "Evaluation") -> tuple[str, ...]:
    """The cells under ``_HEADER``."""
    perplexities = (figures.perplexity, figures.perplexity_without_eos, figures.perplexity_without_unk)
    return (
        f"{figures.num_tokens:,}",
        *(f"{value:.2f}" if value < 1e6 else f"{value:.2e}" for value in perplexities),
        f"{figures.oov_rate:.2%}",
        "-" if math.isnan(figures.accuracy) else f"{figures.accuracy:.4f}",
    )


def _print_many(results: Sequence["HeldOutResult"]) -> None:
    folders = {result.data.parent for result in results}
    names = [result.data.name if len(folders) == 1 else str(result.data) for result in results]
    together = functools.reduce(operator.add, (result.evaluation for result in results))
    print_table(
        ("text", *_HEADER),
        [
            *((name, *_row(result.evaluation)) for name, result in zip(names, results, strict=True)),
            ("together", *_row(together)),
        ],
    )
    write_result()
    for result in results:
        write_result(result.signature)


def _warn_of_oov(result: "HeldOutResult") -> None:
    figures = result.evaluation
    if figures.oov_rate > _MANY_OOV:
        note(
            f"{result.data}: {figures.oov_rate:.1%} of the tokens are <unk>, and a model that expects <unk> "
            "often looks better than it is; quote the perplexity without <unk> too "
            f"({figures.perplexity_without_unk:.2f})"
        )
