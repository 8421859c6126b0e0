"""The lines of a text are scored as they come, and written in the form that is asked for."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lmtrain.cli.bad_lines import BadLines
from lmtrain.cli.progress import watched_beside_results
from lmtrain.cli.score_formats import ScoreFormat
from lmtrain.cli.score_lines import Sentence, UtteranceScorer, read_sentences
from lmtrain.cli.score_models import NamedScorer, signatures_of
from lmtrain.cli.score_options import ScoreOptions
from lmtrain.cli.score_several import SIDE_BY_SIDE
from lmtrain.cli.signatures import results_to
from lmtrain.cli.text import note
from lmtrain.cli.unknown_words import UnknownTokens
from lmtrain.files.text_input import input_name
from lmtrain.machine.process import return_freed_memory

if TYPE_CHECKING:
    from lmtrain.inference.score import ScoredLine


def score_text(scorers: Sequence[NamedScorer], options: ScoreOptions) -> None:
    """Writes a text in its form, group by group, and tells what figures depend on and what was unknown."""
    digest, bad = hashlib.sha256(), BadLines(options.skip_bad_lines)
    names = [each.name if len(scorers) > 1 else "" for each in scorers]
    unknown = [
        UnknownTokens(each.model.rules, each.model.vocab, name)
        for each, name in zip(scorers, names, strict=True)
    ]
    form, score = _form(scorers, options), _scoring(scorers, options)
    groups = read_sentences(options.file, form, scorers[0].model.rules, bad, digest.update)
    has_begun = False
    with results_to(options.out) as write:
        for group in watched_beside_results(groups, None, "lines", "scoring", len, options.out):
            sentences = [sentence for sentence in group if sentence]
            if not has_begun and not options.kind.has_fields and options.form != "srilm":
                note_table(sentences[0].text, input_name(options.file))
            by_model = score(sentences)
            scored = zip(*by_model, strict=True)
            rows = [form.write_all(each.prefix, next(scored)) if each else "\n" for each in group]
            write("".join(rows) if has_begun else "".join([form.begin(), *rows]))
            has_begun = True
            for of_model, lines in zip(unknown, by_model, strict=True):
                of_model.add(
                    ((f"line {each.number}", each.text) for each in sentences),
                    sum(len(line.tokens) for line in lines),
                    sum(sum(line.is_unk) for line in lines),
                )
            return_freed_memory()  # the next lines are of other lengths, and would find the gaps too small
        name = input_name(options.file)
        signed = signatures_of(scorers, options, name, digest.hexdigest(), form.base, with_eos=True)
        write(("" if has_begun else form.begin()) + form.end(signed))
    signed.tell(options.out)
    if remark := form.remark():
        note(remark)
    for of_model in unknown:
        of_model.tell()
    bad.end()


def _form(scorers: Sequence[NamedScorer], options: ScoreOptions) -> ScoreFormat:
    """What writes the lines; the signatures that it may put into them cannot name the text."""
    kind = options.kind
    signed = [each.signature(options, None, kind.base, with_eos=True) for each in scorers]
    extended, num_guesses = options.has_details, options.num_guesses
    if len(scorers) == 1:
        return kind(options.file, extended, scorers[0].model.vocab, num_guesses, signed)
    names = [each.name for each in scorers]
    return SIDE_BY_SIDE[options.form](options.file, extended, names, num_guesses, signed)


def _scoring(
    scorers: Sequence[NamedScorer], options: ScoreOptions
) -> "Callable[[list[Sentence]], list[list[ScoredLine]]]":
    """What gives, of some lines that follow each other, the scores by each model."""
    from lmtrain.inference.score import Scorer

    first = scorers[0]
    if options.context == "utterance" and isinstance(first.scorer, Scorer):
        carried = UtteranceScorer(first.scorer)
        return lambda sentences: [carried.score(sentences)]
    begun = first.model.rules.words(options.after or "", "--after")

    def score(sentences: list[Sentence]) -> "list[list[ScoredLine]]":
        lines = [begun + sentence.words for sentence in sentences]
        return [[line.after(len(begun)) for line in each.scorer.score(lines)] for each in scorers]

    return score


def note_table(line: str, name: str) -> None:
    """Says so where the first line of what is read as text, which is called ``name``, is a table's header."""
    from lmtrain.corpus.stimuli import looks_like_table

    if looks_like_table(line):
        note(
            f"{name}: looks like a table and is read as lines of text; name its column of sentences or words "
            "with --column"
        )
