"""Options and arguments that several commands have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lmtrain.cli.completion import complete_device, complete_model, complete_snapshot

ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="Run directory or snapshot.",
        show_default=False,
        autocompletion=complete_model,
    ),
]
ModelsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="MODEL",
        help="Run directories or snapshots; of several, figures stand side by side.",
        show_default=False,
        autocompletion=complete_model,
    ),
]
EnsembleOption = Annotated[
    bool,
    typer.Option("--ensemble", help="Several models of one vocabulary as one: mean of their probabilities."),
]
SnapshotOption = Annotated[
    str | None,
    typer.Option(
        metavar="best|last|STEP",
        help="Which one of a run directory.  [default: best by validation, else last]",
        autocompletion=complete_snapshot,
        show_default=False,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(metavar="auto|cpu|cuda|cuda:N", help="Where to compute.", autocompletion=complete_device),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Overrides a value of the config; repeatable."),
]
NgramOption = Annotated[
    Path | None,
    typer.Option(
        "--ngram",
        metavar="FILE",
        help="An n-gram model, ARPA or KenLM binary, to be mixed in word by word.",
        show_default=False,
    ),
]
WeightOption = Annotated[
    float | None,
    typer.Option(metavar="X", min=0, max=1, help="Of the n-gram model.  [default: 0.5]", show_default=False),
]
PrecisionOption = Annotated[
    Literal["float32", "bfloat16"],
    typer.Option(
        metavar="float32|bfloat16",
        help="Of the products; bfloat16 is faster where the processor has it, and not quite exact.",
    ),
]


def columns_named(text: str | None) -> tuple[str, ...]:
    """Those that an option names: ``item, condition``."""
    return tuple(filter(None, map(str.strip, (text or "").split(","))))
