"""``lmtrain score``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lmtrain.cli.adapting import (
    AdaptOption,
    AdaptOptions,
    AdaptSetOption,
    TemperatureOption,
    TuningOption,
    kept_weight,
)
from lmtrain.cli.bad_lines import BadLines, SkipBadLinesOption
from lmtrain.cli.options import (
    DeviceOption,
    EnsembleOption,
    ModelsArgument,
    NgramOption,
    PrecisionOption,
    SnapshotOption,
    WeightOption,
)
from lmtrain.cli.progress import watched_beside_results
from lmtrain.cli.rescoring import interpolation_of, refuse_weight_alone
from lmtrain.cli.text import note, write_result
from lmtrain.cli.text_rules import LowercaseOption, NumbersOption, RulesOptions, TokenizerOption


def score(
    models: ModelsArgument,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Sentences, one a line, or a table (.csv, .tsv); - is standard input.",
            show_default=False,
        ),
    ],
    form: Annotated[
        Literal["tsv", "srilm", "kaldi", "kaldi-words", "nbest", "json", "html"],
        typer.Option(
            "--format",
            metavar="tsv|srilm|kaldi|kaldi-words|nbest|json|html",
            help="tsv: a line a token, surprisal in bits. json: an object a sentence. srilm: what 'ngram "
            "-ppl FILE -debug 2' prints. kaldi: 'utt-id words' become 'utt-id cost'. kaldi-words: that of "
            "each word and of the end. nbest: 'ascore lscore nwords words' get their lscore. html: a page "
            "with words shaded by surprisal.",
        ),
    ] = "tsv",
    context: Annotated[
        Literal["line", "stream", "utterance"],
        typer.Option(
            metavar="line|stream|utterance",
            help="Each line on its own, or after all that stands before it; or hypotheses after the first "
            "one for the utterance before (kaldi: ids 'utt-N'; nbest: lists apart by blank lines).",
        ),
    ] = "line",
    after: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Each line goes on from this beginning, which itself is not scored.",
            show_default=False,
        ),
    ] = None,
    extended: Annotated[
        bool,
        typer.Option(
            "--extended", help="tsv, json and html: also whether a word is unknown, entropy (bits) and rank."
        ),
    ] = False,
    num_guesses: Annotated[
        int,
        typer.Option(
            "--top",
            metavar="N",
            min=0,
            max=100,
            help="The N most probable words in each place too; --extended goes with it.",
        ),
    ] = 0,
    tokenizer: TokenizerOption = None,
    lowercase: LowercaseOption = False,
    numbers: NumbersOption = None,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="FILE is a table, and this column has its sentences or words.  [default: word or sentence]",
            show_default=False,
        ),
    ] = None,
    rows: Annotated[
        Literal["words", "parts"] | None,
        typer.Option(
            metavar="words|parts",
            help="A row a word as people write it, or a row for each part that the model reads.  "
            "[default: rows of a table as they came; words with --tokenizer and the like; else tokens]",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN,…",
            help="Sums and means by these columns: item,condition,region.",
            show_default=False,
        ),
    ] = None,
    spillover: Annotated[
        int, typer.Option(metavar="0|1|2", min=0, max=2, help="Columns of so many words before each word.")
    ] = 0,
    entropy_reduction: Annotated[
        bool, typer.Option("--entropy-reduction", help="Words: how much less uncertain the next word is.")
    ] = False,
    base: Annotated[
        Literal["2", "e", "10"],
        typer.Option(metavar="2|e|10", help="Words: of the logarithm; columns are named by another than 2."),
    ] = "2",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Words: written here, and what the figures depend on to FILE.json.",
            show_default=False,
        ),
    ] = None,
    adapt: AdaptOption = "none",
    adapt_set: AdaptSetOption = None,
    temperature: TemperatureOption = None,
    tuning: TuningOption = None,
    ngram: NgramOption = None,
    weight: WeightOption = None,
    precision: PrecisionOption = "float32",
    as_ensemble: EnsembleOption = False,
    skip_bad_lines: SkipBadLinesOption = False,
    snapshot: SnapshotOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Prints the surprisal of every word, or a score for each line.

    Output comes as input does, in the same order; line ends are scored too, unknown words as <unk>. Several
    models have a column each.

    Example: echo "the tiny wizard giggles ." | lmtrain score runs/quickstart -

    Example: lmtrain score runs/quickstart text.txt --format json --extended
    """
    from lmtrain.cli.score_formats import FORMATS
    from lmtrain.cli.score_html import HtmlFormat
    from lmtrain.cli.score_lines import UtteranceScorer, read_sentences
    from lmtrain.cli.score_several import SIDE_BY_SIDE, names_of
    from lmtrain.cli.score_words import write_words
    from lmtrain.cli.unknown_words import MANY, NUM_TRIED, name_unknown
    from lmtrain.cli.word_table import WordOptions, WordReader, WordTable
    from lmtrain.corpus.stimuli import looks_like_table, read_stimuli
    from lmtrain.errors import UsageError
    from lmtrain.files.tables import has_table_name
    from lmtrain.files.text_input import input_name
    from lmtrain.inference.score import Scorer
    from lmtrain.machine.process import return_freed_memory
    from lmtrain.run.ensemble import Ensemble, refuse_other_rules
    from lmtrain.run.trained import TrainedModel, load_model

    kind = HtmlFormat if form == "html" else FORMATS[form]
    asked, extended = "--top" if num_guesses else "--extended", extended or num_guesses > 0
    if extended and not kind.takes_details:
        raise UsageError(f"{asked} has no place in --format {form}; use tsv, json or html")
    if as_ensemble and len(models) == 1:
        raise UsageError("--ensemble needs several models; there is one")
    if len(models) > 1 and not as_ensemble and form not in SIDE_BY_SIDE:
        raise UsageError(
            f"--format {form} is of one model; use tsv or json, or make them one with --ensemble"
        )
    if context == "stream" and kind.holds_alternatives:
        raise UsageError(
            f"--format {form} lists alternatives: each is scored on its own, with --context line"
        )
    if context == "utterance" and not kind.has_fields:
        raise UsageError(
            "--context utterance is for kaldi, kaldi-words and nbest; each line after all others is stream"
        )
    if context == "utterance" and len(models) > 1:
        raise UsageError("--context utterance is for one model")
    if after is not None and (context != "line" or form == "srilm"):
        what = f"--context {context}" if context != "line" else "--format srilm"
        raise UsageError(f"--after is a beginning of every line, which has no place in {what}")
    if extended and ngram is not None:
        raise UsageError(f"{asked} tells of the model alone, and has no meaning with --ngram")
    refuse_weight_alone(ngram, weight)
    adaptation = AdaptOptions(adapt, adapt_set, temperature, tuning).adaptation()
    if adaptation.is_ordered and kind.holds_alternatives:
        raise UsageError(f"--format {form} lists alternatives: nothing is to be learnt from one for the next")
    if adaptation.is_ordered and context == "utterance":
        raise UsageError("--context utterance reads alternatives: nothing is to be learnt from them")
    if adaptation.is_ordered and after is not None:
        raise UsageError("--after begins every line: what adapts would learn it again with each")
    weight = kept_weight(tuning) if weight is None else weight
    rules = RulesOptions(tokenizer, lowercase, numbers)
    columns = tuple(filter(None, (by or "").split(",")))
    words = WordOptions(column, rows, columns, spillover, base, entropy_reduction, out, num_guesses)
    asks_for_words = words.are_given or has_table_name(file) or (rules.are_given and form == "tsv")
    if asks_for_words and (form != "tsv" or after is not None or skip_bad_lines):
        what = f"--format {form}" if form != "tsv" else "--skip-bad-lines" if skip_bad_lines else "--after"
        raise UsageError(f"{what} has no place for tables or rows of words; leave it out")
    loaded = [rules.applied_to(load_model(model, snapshot, device, note)) for model in models]
    refuse_other_rules(loaded)
    readers: list[TrainedModel | Ensemble] = [Ensemble.of(loaded)] if as_ensemble else [*loaded]
    names = names_of(models)
    has_details = extended or (asks_for_words and ngram is None and not as_ensemble)
    if len(readers) == 1:
        writer = kind(file, extended, loaded[0].vocab, num_guesses)
    else:
        writer = SIDE_BY_SIDE[form](file, extended, names, num_guesses)
    interpolations = [interpolation_of(reader, ngram, weight) for reader in readers]
    scorers = [
        reader.scorer(
            "stream" if context == "stream" else "line",
            with_details=has_details,
            num_guesses=num_guesses,
            adaptation=adaptation,
            interpolation=interpolation,
            precision=precision,
        )
        for reader, interpolation in zip(readers, interpolations, strict=True)
    ]
    if asks_for_words:
        suffixes = [f"_{model}" for model in names] if len(readers) > 1 else [""]
        word_readers = [WordReader(*one) for one in zip(readers, scorers, suffixes, strict=True)]
        stimuli = read_stimuli(file, column)
        table = WordTable(stimuli, word_readers, words, has_details=has_details)
        signature = loaded[0].signature(
            stimuli.table.sha256,
            context,
            adaptation,
            precision,
            interpolations[0],
            f"models:{','.join(model.sha256[:8] for model in loaded)}",
            figure=f"surprisal|log:{base}",
            eos="excl",
        )
        write_words(stimuli, table, word_readers, words, signature)
        return
    first = scorers[0]
    carried = UtteranceScorer(first) if context == "utterance" and isinstance(first, Scorer) else None
    begun = loaded[0].rules.words(after or "", "--after")
    num_tokens, num_unk = 0, [0] * len(scorers)
    first_lines: list[tuple[str, str]] = []
    has_begun = False
    bad = BadLines(skip_bad_lines)
    groups = read_sentences(file, writer, loaded[0].rules, bad)
    for group in watched_beside_results(groups, None, "lines", "scoring", len):
        sentences = [sentence for sentence in group if sentence]
        first_lines += [(f"line {each.number}", each.text) for each in sentences if each.number <= NUM_TRIED]
        if not has_begun and form in ("tsv", "json", "html") and looks_like_table(sentences[0].text):
            note(
                f"{input_name(file)}: looks like a table and is read as lines of text; "
                "name its column with --column"
            )
        if carried:
            by_model = [carried.score(sentences)]
        else:
            lines = [begun + sentence.words for sentence in sentences]
            by_model = [[line.after(len(begun)) for line in scorer.score(lines)] for scorer in scorers]
        if not has_begun:
            write_result(writer.begin(), end="")
            has_begun = True
        scored = zip(*by_model, strict=True)
        written = (writer.write_all(each.prefix, next(scored)) if each else "\n" for each in group)
        write_result("".join(written), end="")
        num_tokens += sum(len(line.tokens) for line in by_model[0])
        num_unk = [
            n + sum(sum(line.is_unk) for line in lines) for n, lines in zip(num_unk, by_model, strict=True)
        ]
        return_freed_memory()  # the next lines are of other lengths, and would find the gaps too small
    write_result(("" if has_begun else writer.begin()) + writer.end(), end="")
    if remark := writer.remark():
        note(remark)
    for name, reader, count in zip(names, readers, num_unk, strict=False):  # an ensemble is one
        if count:
            of = name if len(readers) > 1 else ""
            note(
                f"{of and f'{of}: '}{count:,} of {num_tokens:,} tokens are scored as <unk>, "
                "which stands for all unknown words"
            )
            if count > MANY * num_tokens:
                name_unknown(first_lines, reader.rules, reader.vocab, of)
    bad.end()
