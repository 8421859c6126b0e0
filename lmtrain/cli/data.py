"""``lmtrain data``."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from lmtrain.cli.text import note, print_pairs

app = typer.Typer(
    help="Corpora: known ones fetched, texts checked, synthetic ones made.", no_args_is_help=True
)


@app.command("list")
def list_corpora() -> None:
    """Lists the corpora this program can fetch or make."""
    from lmtrain.corpus.known import KNOWN_CORPORA
    from lmtrain.corpus.synthetic import SYNTHETIC

    typer.echo("to fetch (lmtrain data fetch NAME):")
    print_pairs([(f"  {name}", corpus.about) for name, corpus in KNOWN_CORPORA.items()])
    typer.echo("to make (lmtrain data synth NAME --out DIR):")
    print_pairs([(f"  {name}", about) for name, about in SYNTHETIC.items()])


@app.command()
def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of a known corpus; see list.", show_default=False)
    ],
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="URL-OR-DIR",
            help="Where to take it from instead: has NAME/train.txt and so on, or the archive.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the texts go.  [default: data/NAME]", show_default=False),
    ] = None,
) -> None:
    """Fetches a known corpus, verifies it, and prints its files: train.txt, valid.txt and test.txt.

    What is there already is not fetched again, and nothing is overwritten. A download that broke off goes on
    where it was.

    Example: lmtrain data fetch ptb --mirror ../shared/data
    """
    from lmtrain.corpus.fetch import FetchObserver, fetch

    for path in fetch(name, to, mirror, FetchObserver(note, _with_bar)):
        typer.echo(path)


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


def _with_bar(blocks: Iterable[bytes], name: str, size: int | None) -> Iterator[bytes]:
    from tqdm import tqdm

    note(f"downloading {name}")
    with tqdm(
        total=size,
        unit="B",
        unit_scale=True,
        leave=False,
        dynamic_ncols=True,
        disable=None,  # where standard error is no terminal
    ) as bar:
        for block in blocks:
            yield block
            bar.update(len(block))
