"""``lmtrain data``."""

from pathlib import Path
from typing import Annotated

import typer

from lmtrain.cli.text import print_pairs

app = typer.Typer(help="Corpora: what there is, and synthetic ones to make.", no_args_is_help=True)


@app.command("list")
def list_corpora() -> None:
    """Lists the corpora this program can make."""
    from lmtrain.corpus.synthetic import SYNTHETIC

    print_pairs(list(SYNTHETIC.items()))


@app.command()
def synth(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of a synthetic corpus; see list.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write it.", show_default=False)],
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The same seed, the same text.")] = 1,
) -> None:
    """Makes a synthetic corpus and prints its files.

    They are train.txt, valid.txt, test.txt and, for toy-english, what its source knows of them.

    Example: lmtrain data synth toy-english --out data/toy-english
    """
    from lmtrain.corpus.synthetic import write_synthetic

    for path in write_synthetic(name, out, seed):
        typer.echo(path)
