"""``lmtrain plot``."""

from pathlib import Path
from typing import Annotated

import typer

from lmtrain.cli.completion import complete_model
from lmtrain.cli.text import write_result


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
) -> None:
    """Draws perplexity, loss and learning rate of runs.

    Perplexity is drawn against the words seen and against time.

    Example: lmtrain plot runs/quickstart runs/short --out curves.pdf
    """
    from lmtrain.jobs.plot import plot_runs

    plot_runs(runs, out)
    write_result(out)
