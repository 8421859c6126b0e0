"""``lmtrain generate``."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmtrain.cli.options import DeviceOption, JsonOption, ModelArgument, SnapshotOption
from lmtrain.cli.text import note, print_json, print_json_line, write_result
from lmtrain.cli.text_rules import (
    LowercaseOption,
    NumbersOption,
    PunctuationOption,
    RulesOptions,
    TokenizerOption,
)

if TYPE_CHECKING:
    from lmtrain.inference.beam import BeamSearch
    from lmtrain.inference.generate import GeneratedText
    from lmtrain.inference.sampling import Sampling


def generate(
    model: ModelArgument,
    prompt: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Words to continue; they start a line.", show_default=False),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prompts, one a line; - is standard input.", show_default=False),
    ] = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Continue each line as it is typed; Ctrl-D ends it.")
    ] = False,
    num_words: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="At most N words a sample; a line break counts as one.  [default: 100, or 100 a sentence]",
            show_default=False,
        ),
    ] = None,
    num_sentences: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=2**63 - 1,
            help="Stop at the N-th line break, <eos>.  [default with --interactive and no --num-words: 1]",
            show_default=False,
        ),
    ] = None,
    num_samples: Annotated[
        int, typer.Option(metavar="N", min=1, max=2**63 - 1, help="Samples of each prompt.")
    ] = 1,
    temperature: Annotated[
        float, typer.Option(metavar="X", help="Below 1 bolder, above 1 more varied.")
    ] = 1.0,
    top_k: Annotated[
        int | None,
        typer.Option(metavar="N", help="Choose among the N most probable words.", show_default=False),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Choose among the fewest words that together have probability X.",
            show_default=False,
        ),
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Choose among words at least X times as probable as the most probable one.",
            show_default=False,
        ),
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always the most probable word.")] = False,
    beam: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            max=2**31 - 1,
            help="Beam search with N hypotheses for the most probable texts.",
            show_default=False,
        ),
    ] = None,
    length_penalty: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Hypotheses are ranked by ln p / length^X.  [default: 1.0]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=2**63 - 1, help="Of the draws: the same seed, the same text."),
    ] = 1,
    allow_unk: Annotated[bool, typer.Option("--allow-unk", help="Let <unk> be produced.")] = False,
    detokenize: Annotated[
        bool,
        typer.Option("--detokenize", help="Put words together: do n't, 5 @-@ year, spaces at punctuation."),
    ] = False,
    tokenizer: TokenizerOption = None,
    lowercase: LowercaseOption = False,
    numbers: NumbersOption = None,
    no_punctuation: PunctuationOption = False,
    snapshot: SnapshotOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Writes text with a model.

    Prompts of a file are continued side by side; with --json there is then one object a line.

    Example: lmtrain generate runs/quickstart --prompt "the tiny" --num-samples 3

    Example: lmtrain generate runs/quickstart --interactive --temperature 0.8
    """
    from lmtrain.errors import UsageError
    from lmtrain.inference.sampling import Sampling
    from lmtrain.run.trained import load_model

    sources = {"--prompt": prompt is not None, "--prompts": prompts is not None, "--interactive": interactive}
    if sum(sources.values()) > 1:
        raise UsageError(f"{' and '.join(name for name in sources if sources[name])} exclude each other")
    if length_penalty is not None and beam is None:
        raise UsageError("--length-penalty ranks the hypotheses of a beam search; give --beam N too")
    try:
        sampling = Sampling(allow_unk, temperature, top_k, top_p, greedy, min_p)
        decoding = sampling if beam is None else _search(beam, length_penalty, sampling, num_samples)
        (prompt or "").encode()
    except UnicodeEncodeError as error:
        raise UsageError("--prompt is not UTF-8") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    if interactive and num_words is None and num_sentences is None:
        num_sentences = 1
    rules = RulesOptions(tokenizer, lowercase, numbers, no_punctuation)
    write = partial(
        rules.applied_to(load_model(model, snapshot, device, note)).generate_many,
        num_words=num_words,
        num_sentences=num_sentences,
        num_samples=num_samples,
        sampling=decoding,
        seed=seed,
        readable=detokenize,
    )
    results: Iterator[GeneratedText]
    if interactive:
        results = chain.from_iterable(write([line]) for line in _typed_lines())
    else:
        results = write([prompt or ""] if prompts is None else _lines_of(prompts))
    gap = "" if num_sentences == 1 else "\n"  # texts of one line each need no empty line between them
    for number, result in enumerate(results, 1):
        if result.unknown_words:
            name = "standard input" if prompts == Path("-") else prompts
            place = f"{name}:{number}: " if prompts else ""
            note(f"{place}unknown to the model, read as <unk>: {' '.join(result.unknown_words)}")
        if not as_json:
            write_result((gap if number > 1 else "") + f"\n{gap}".join(result.texts))
        elif interactive or prompts:
            print_json_line(result.to_dict())
        else:
            print_json(result.to_dict())


def _search(beam: int, length_penalty: float | None, sampling: "Sampling", num_samples: int) -> "BeamSearch":
    from lmtrain.errors import UsageError
    from lmtrain.inference.beam import BeamSearch

    search = BeamSearch(beam, 1.0 if length_penalty is None else length_penalty, sampling.allow_unk)
    if replace(sampling, allow_unk=False) != type(sampling)():
        raise UsageError(
            "--beam does not draw; leave out --temperature, --top-k, --top-p, --min-p and --greedy"
        )
    if num_samples > beam:
        raise UsageError(f"--beam {beam} gives no more than {beam} texts (--num-samples {num_samples})")
    return search


def _lines_of(path: Path) -> Iterator[str]:
    from lmtrain.files.text_input import read_lines

    return (line for group in read_lines(path) for line in group.lines)


def _typed_lines() -> Iterator[str]:
    """The lines of standard input, each as soon as it is there; on a terminal with a prompt and a history."""
    if not sys.stdin.isatty():
        from lmtrain.files.text_input import STANDARD_INPUT, file_blocks, line_groups

        for group in line_groups(file_blocks(STANDARD_INPUT), "standard input"):
            yield from group.lines
        return
    with suppress(ImportError):
        import readline  # noqa: F401  (`input` uses it once it is there)
    while True:
        try:
            line = input("> " if sys.stdout.isatty() else "")
            line.encode()
        except EOFError:
            note("")  # the shell's prompt goes to a line of its own
            return
        except UnicodeEncodeError:
            note("not UTF-8; type it again")
            continue
        yield line
