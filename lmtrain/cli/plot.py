"""``lmtrain plot``."""

import math
from pathlib import Path
from typing import Annotated

import typer

from lmtrain.cli.completion import complete_model
from lmtrain.cli.text import write_result
from lmtrain.errors import UsageError


def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run directories, finished or not.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The picture: .png, .svg or .pdf. An earlier one is replaced."),
    ] = Path("plot.png"),
    panel: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="perplexity (against words), time (perplexity against it), validation (the last ones, "
            "closer), lr or loss; repeatable.  [default: the first four]",
            show_default=False,
        ),
    ] = None,
    xlim: Annotated[
        str | None,
        typer.Option(metavar="LOW,HIGH", help="Limits of the x axis of one panel.", show_default=False),
    ] = None,
    ylim: Annotated[
        str | None,
        typer.Option(metavar="LOW,HIGH", help="Limits of its y axis.", show_default=False),
    ] = None,
) -> None:
    """Draws perplexity and learning rate of runs.

    Perplexity is drawn against the words seen and against time, and once more where it comes to its end,
    as close as runs that are alike ask for.

    Example: lmtrain plot runs/quickstart runs/short --out curves.pdf

    Example: lmtrain plot runs/quickstart runs/short --panel validation --ylim 13,16
    """
    from lmtrain.jobs.plot import plot_runs
    from lmtrain.report.plots import PANELS, Limits

    x, y = _limits("--xlim", xlim), _limits("--ylim", ylim)
    plot_runs(runs, out, panel or PANELS[:4], Limits(x, y) if x or y else None)
    write_result(out)


def _limits(option: str, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"{option} {text}: expected two numbers, the lower one first, such as 10,20")
    return low, high
