"""``lmtrain rescore``."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lmtrain.cli.bad_lines import BadLines, SkipBadLinesOption
from lmtrain.cli.options import (
    DeviceOption,
    JsonOption,
    ModelArgument,
    NgramOption,
    PrecisionOption,
    SnapshotOption,
    WeightOption,
)
from lmtrain.cli.progress import watched, watched_beside_results
from lmtrain.cli.rescoring import interpolation_of, refuse_weight_alone
from lmtrain.cli.signatures import Signatures
from lmtrain.cli.text import note, print_json, write_result
from lmtrain.cli.text_rules import (
    LowercaseOption,
    NumbersOption,
    PunctuationOption,
    RulesOptions,
    TokenizerOption,
)
from lmtrain.cli.unknown_words import UnknownTokens
from lmtrain.errors import UsageError

if TYPE_CHECKING:
    from lmtrain.corpus.nbest import References
    from lmtrain.inference.mixture import Interpolation
    from lmtrain.inference.rescore import Ints, ScoredList, Tally, Weights
    from lmtrain.run.trained import TrainedModel


def rescore(
    model: ModelArgument,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="N-best lists of SRILM, with NBestList headers or without, or beams of NeMo; - is standard "
            "input. A folder has a list a file, or is of Kaldi (words_text, acwt) or ESPnet (1best_recog).",
            show_default=False,
        ),
    ],
    tune_on: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Lists for which --references tell what was said: weights are those with the fewest errors.",
            show_default=False,
        ),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What was said, an utterance a line or a NeMo manifest; of --tune-on, else of FILE.",
            show_default=False,
        ),
    ] = None,
    lm_weight: Annotated[
        float | None,
        typer.Option(metavar="X", min=0, help="Of the model.  [default: 1]", show_default=False),
    ] = None,
    word_insertion: Annotated[
        float | None,
        typer.Option(metavar="X", help="Added for each word, in nats.  [default: 0]", show_default=False),
    ] = None,
    first_pass_weight: Annotated[
        float, typer.Option(metavar="X", help="Of the recogniser's own language model, where it is told.")
    ] = 0.0,
    beam_size: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Lines of an utterance, of beams.", show_default=False),
    ] = None,
    context: Annotated[
        Literal["line", "utterance"],
        typer.Option(
            metavar="line|utterance",
            help="Each utterance on its own, or after the first hypothesis for the one before.",
        ),
    ] = "line",
    tokenizer: TokenizerOption = None,
    lowercase: LowercaseOption = False,
    numbers: NumbersOption = None,
    no_punctuation: PunctuationOption = False,
    ngram: NgramOption = None,
    weight: WeightOption = None,
    precision: PrecisionOption = "float32",
    skip_bad_lines: SkipBadLinesOption = False,
    snapshot: SnapshotOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Picks the best hypothesis of each n-best list.

    Best is the highest sum of the acoustic score, the model's log-probability times a weight, and so much
    for each word. Weights are given, or tuned on lists whose references are known.

    Example: lmtrain rescore runs/ptb-fast test.nbest --lm-weight 12
    """
    import hashlib

    from lmtrain.corpus.nbest import References, nbest_lists
    from lmtrain.files.text_input import input_name
    from lmtrain.inference.rescore import ScoredList, Weights, score_lists, tune, word_errors
    from lmtrain.run.trained import load_model

    if tune_on and not references:
        raise UsageError("--tune-on needs --references, which tell what was said")
    if tune_on and (lm_weight is not None or word_insertion is not None):
        raise UsageError("--tune-on finds --lm-weight and --word-insertion; leave it or them out")
    if not all(map(math.isfinite, (lm_weight or 0.0, word_insertion or 0.0, first_pass_weight))):
        raise UsageError("--lm-weight, --word-insertion and --first-pass-weight have to be finite numbers")
    refuse_weight_alone(ngram, weight)
    said = None
    if references:
        word_errors([], [])  # refuses what is not installed before anything is scored
        said = References.read(references)
    rules = RulesOptions(tokenizer, lowercase, numbers, no_punctuation)
    trained = rules.applied_to(load_model(model, snapshot, device, note))
    interpolation = interpolation_of(trained, ngram, weight)
    bad, digest = BadLines(skip_bad_lines), hashlib.sha256()
    unknown = UnknownTokens(trained.rules, trained.vocab)

    def scored(path: Path, tell: Callable[[bytes], object] | None = None) -> Iterator[ScoredList]:
        lists = nbest_lists(path, beam_size, bad.refuse, tell)
        scorer = trained.scorer(interpolation=interpolation, precision=precision)
        return score_lists(scorer, trained.rules, lists, bad.refuse, goes_on=context == "utterance")

    weights = Weights(1.0 if lm_weight is None else lm_weight, word_insertion or 0.0, first_pass_weight)
    tuned = found = None
    if tune_on and said:
        judged = _Judged.by(said, list(watched(scored(tune_on), None, "utterances", f"scoring {tune_on}")))
        weights = tune(judged.lists, judged.errors, first_pass_weight)
        tuned = judged.tally(weights)
        note(f"{tune_on}: {_told(tuned)}")
    kept: list[ScoredList] = []
    count, each, is_first_pass_told = 0, None, False
    lists = scored(file, digest.update)
    for each in watched_beside_results(lists, None, "utterances", "rescoring", lambda _: 1):
        count += 1
        is_first_pass_told |= any(one.first_pass for one in each.hypotheses)
        unknown.add(((one.place, one.text) for one in each.hypotheses), each.num_tokens, each.num_unk)
        if not as_json:
            best = each.best(weights)
            write_result(" ".join(filter(None, (each.name, best.text if best else ""))))
        if as_json or (said and not tune_on):
            kept.append(each)
    if said and not tune_on:
        found = _Judged.by(said, kept).tally(weights)
        note(f"{file}: {_told(found)}")
    note(_as_options(weights))
    signature = _signature(trained, digest.hexdigest(), context, weights, interpolation, precision)
    Signatures(input_name(file), digest.hexdigest(), {"": signature}).tell(None)
    _note_ends(input_name(file), count, each, beam_size)
    if count and weights.first_pass and not is_first_pass_told:
        note(f"{input_name(file)}: tells no score of another language model; --first-pass-weight has no part")
    unknown.tell()
    bad.end()
    if as_json:
        about = {"lm_weight": weights.language, "word_insertion": weights.insertion}
        about |= {"first_pass_weight": weights.first_pass}
        tallies = {"tuned_on": tuned and _as_json(tuned), "errors": found and _as_json(found)}
        utterances = [_utterance(each, weights) for each in kept]
        origin = {"signature": signature, "snapshot": str(trained.snapshot.path), "data": str(file)}
        print_json({**about, **tallies, "lines_left_out": bad.count, **origin, "utterances": utterances})


def _note_ends(name: str, num_lists: int, last: "ScoredList | None", beam_size: int | None) -> None:
    """Whether it looks as if lists ended elsewhere than they were taken to."""
    if last is None or last.name is not None:
        return
    size = len(last.hypotheses)
    if num_lists == 1 and size > 1 and beam_size != size:
        note(
            f"{name}: all {size:,} lines are taken for one utterance; a blank line begins the next, and of "
            "beams --beam-size says how many lines one has"
        )
    elif beam_size and size < beam_size:
        note(f"{name}: the last utterance has fewer lines than --beam-size says, {size} and not {beam_size}")


def _as_options(weights: "Weights") -> str:
    """The weights, to be typed again."""
    first_pass = f" --first-pass-weight {weights.first_pass:.6g}" if weights.first_pass else ""
    return f"weights: --lm-weight {weights.language:.6g} --word-insertion {weights.insertion:.6g}{first_pass}"


def _signature(
    model: "TrainedModel",
    data: str,
    context: str,
    weights: "Weights",
    interpolation: "Interpolation | None",
    precision: str,
) -> str:
    """All that the choices depend on."""
    from lmtrain.run.trained import NOT_ADAPTED, shortest

    figure = (
        f"rescore|lm:{shortest(weights.language)}|insertion:{shortest(weights.insertion)}"
        f"|firstpass:{shortest(weights.first_pass)}"
    )
    return model.signature(data, context, NOT_ADAPTED, precision, interpolation, model.weights, figure=figure)


@dataclass(frozen=True)
class _Judged:
    """Lists whose references are known."""

    lists: "list[ScoredList]"
    errors: "list[Ints]"
    said: list[list[str]]

    @classmethod
    def by(cls, references: "References", lists: "list[ScoredList]") -> "_Judged":
        from lmtrain.corpus.nbest import begin_with_ids
        from lmtrain.inference.rescore import count_errors

        names = [each.name for each in lists]
        said = references.of(names)
        if not any(names) and begin_with_ids(said, [[each.text for each in one.hypotheses] for one in lists]):
            note(
                f"{references.name}: lines begin with what no list has, as with ids; these count as words: "
                "cut -d' ' -f2- takes them off"
            )
        return cls(lists, count_errors(lists, said), said)

    def tally(self, weights: "Weights") -> "Tally":
        from lmtrain.inference.rescore import tally

        return tally(self.lists, self.errors, self.said, weights)


def _told(tally: "Tally") -> str:
    rates = (100 * errors / max(tally.num_words, 1) for errors in (tally.errors, tally.first, tally.fewest))
    best, first, fewest = (f"{rate:.2f} %" for rate in rates)
    return (
        f"word error rate {best} ({tally.errors:,} of {tally.num_words:,} words; {first} of the first "
        f"hypotheses, {fewest} of the best there are)"
    )


def _as_json(tally: "Tally") -> dict[str, Any]:
    return {
        "word_error_rate": tally.rate,
        "num_words": tally.num_words,
        "errors": tally.errors,
        "errors_of_first": tally.first,
        "errors_of_best_there_are": tally.fewest,
    }


def _utterance(each: "ScoredList", weights: "Weights") -> dict[str, Any]:
    if not each.hypotheses:
        return {"name": each.name, "text": "", "place": None}
    i = each.scores.best(weights)
    return {
        "name": each.name,
        "text": each.hypotheses[i].text,
        "place": i + 1,
        "total": float(each.scores.totals(weights)[i]),
        "acoustic": float(each.scores.acoustic[i]),
        "first_pass": float(each.scores.first_pass[i]),
        "logprob": float(each.scores.language[i]),
    }
