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
)
from lmtrain.cli.bad_lines import SkipBadLinesOption
from lmtrain.cli.options import (
    DeviceOption,
    EnsembleOption,
    ModelsArgument,
    NgramOption,
    PrecisionOption,
    SnapshotOption,
    WeightOption,
    columns_named,
)
from lmtrain.cli.text_rules import (
    LowercaseOption,
    NumbersOption,
    PunctuationOption,
    RulesOptions,
    TokenizerOption,
)


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
    no_punctuation: PunctuationOption = False,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="FILE is a table, and this column has its sentences or words.  [default: word or sentence]",
            show_default=False,
        ),
    ] = None,
    sentence_by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN,…",
            help="Of a table with a word a row: where one of these columns changes, another sentence begins: "
            "item,version.  [default: those of usual names]",
            show_default=False,
        ),
    ] = None,
    after_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Each row of a table goes on from the text in this column, which is not scored (cloze).",
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
            help="Written here once it is complete, and what the figures depend on to FILE.json.  "
            "[default: standard output, and standard error]",
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
    from lmtrain.cli.score_models import load_scorers
    from lmtrain.cli.score_options import ScoreOptions
    from lmtrain.cli.score_text import score_text
    from lmtrain.cli.score_words import score_words
    from lmtrain.cli.word_table import WordOptions

    words = WordOptions(
        column,
        rows,
        columns_named(by),
        spillover,
        base,
        entropy_reduction,
        num_guesses,
        columns_named(sentence_by),
        after_column,
    )
    options = ScoreOptions(
        file=file,
        form=form,
        kind=HtmlFormat if form == "html" else FORMATS[form],
        context=context,
        after=after,
        extended=extended,
        num_guesses=num_guesses,
        rules=RulesOptions(tokenizer, lowercase, numbers, no_punctuation),
        words=words,
        out=out,
        adapt=AdaptOptions(adapt, adapt_set, temperature, tuning),
        ngram=ngram,
        given_weight=weight,
        precision=precision,
        as_ensemble=as_ensemble,
        skip_bad_lines=skip_bad_lines,
    )
    options.refuse_contradictions(len(models))
    scorers = load_scorers(models, options, snapshot, device)
    if options.asks_for_words:
        score_words(scorers, options)
    else:
        score_text(scorers, options)
