"""``lmtrain eval``."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lmtrain.cli.options import DeviceOption, JsonOption, ModelArgument, SnapshotOption
from lmtrain.cli.text import print_json, print_pairs

if TYPE_CHECKING:
    from lmtrain.corpus.batching import Window
    from lmtrain.run.trained import HeldOutResult


def evaluate(
    model: ModelArgument,
    data: Annotated[
        Path, typer.Option(metavar="FILE", help="Held-out text; - is standard input.", show_default=False)
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
    adapt: Annotated[
        Literal["none"], typer.Option(metavar="none", help="Adaptation to the text while reading it.")
    ] = "none",
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(
            metavar="float32|bfloat16",
            help="Of the products; bfloat16 is faster where the processor has it, and not quite exact.",
        ),
    ] = "float32",
    snapshot: SnapshotOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measures the perplexity of held-out text.

    Every token is scored once, line ends included, unknown words as <unk>.

    Example: lmtrain eval runs/quickstart --data data/toy-english/test.txt
    """
    from lmtrain.run.loading import load_model

    result = load_model(model, snapshot, device).evaluate(
        data,
        context=context,
        streams=streams,
        batch_size=batch_size,
        adapt=adapt,
        precision=precision,
        watch=None if as_json else _with_bar,
    )
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result)


def _with_bar(windows: Iterable["Window"], num_tokens: int) -> Iterator["Window"]:
    from tqdm import tqdm

    with tqdm(
        total=num_tokens,
        unit=" tokens",
        unit_scale=True,
        leave=False,
        dynamic_ncols=True,
        disable=None,  # where standard error is no terminal
    ) as bar:
        for input_ids, targets in windows:
            yield input_ids, targets
            bar.update(int((targets >= 0).sum()))


def _print(result: "HeldOutResult") -> None:
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
        ("snapshot", result.snapshot),
        ("signature", result.signature),
    ]
    if result.source_perplexity is not None:
        ratio = figures.perplexity / result.source_perplexity
        pairs.insert(1, ("  of the source", f"{result.source_perplexity:.4f} (ratio {ratio:.4f})"))
    print_pairs(pairs)
