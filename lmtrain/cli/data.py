"""``lmtrain data``."""

import contextlib
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmtrain.cli.check import print_report
from lmtrain.cli.completion import complete_known, complete_synthetic
from lmtrain.cli.group import Group
from lmtrain.cli.options import JsonOption, SnapshotOption
from lmtrain.cli.progress import watched
from lmtrain.cli.text import note, print_json, print_pairs, write_result

if TYPE_CHECKING:
    from lmtrain.corpus.text import TextRules

app = typer.Typer(
    help="""Corpora: fetched, checked, or synthetic ones made.

    Example: lmtrain data list
    """,
    cls=Group,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("list")
def list_corpora(as_json: JsonOption = False) -> None:
    """Lists the corpora this program can fetch or make.

    Example: lmtrain data list
    """
    from lmtrain.corpus.fetching.known import KNOWN_CORPORA
    from lmtrain.corpus.synthetic.synthetic import SYNTHETIC

    if as_json:
        to_fetch = {name: corpus.about for name, corpus in KNOWN_CORPORA.items()}
        print_json({"fetch": to_fetch, "synth": dict(SYNTHETIC)})
        return
    write_result("to fetch (lmtrain data fetch NAME):")
    print_pairs([(f"  {name}", corpus.about) for name, corpus in KNOWN_CORPORA.items()])
    write_result("to make (lmtrain data synth NAME --out DIR):")
    print_pairs([(f"  {name}", about) for name, about in SYNTHETIC.items()])


@app.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Of a known corpus; see list.",
            show_default=False,
            autocompletion=complete_known,
        ),
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
    """Fetches a known corpus and verifies it.

    Prints its files: train.txt, valid.txt and test.txt. What is there already is not fetched again, and
    nothing is overwritten. A download that broke off goes on where it was.

    Example: lmtrain data fetch ptb

    Example: lmtrain data fetch ptb --mirror /media/usb/corpora
    """
    from lmtrain.corpus.fetching.fetch import FetchObserver, fetch

    for path in fetch(name, to, mirror, FetchObserver(note, _watched)):
        write_result(path)


@app.command()
def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A text; - is standard input.", show_default=False)
    ],
    vocab: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL|vocab.txt",
            help="Counts the words it does not know: a model, or a list with one word a line.",
            show_default=False,
        ),
    ] = None,
    snapshot: SnapshotOption = None,
    train: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Looks for lines of FILE in this training text; repeatable, patterns allowed.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Looks through a text before it is trained on.

    Says what it holds, what training would refuse, and what looks odd. Ends with 0 if training would take
    it, else with 3. All of it is read, whatever is wrong with it.

    Example: lmtrain data check data/ptb/valid.txt --train data/ptb/train.txt
    """
    from lmtrain.corpus.checking.check import check_text
    from lmtrain.corpus.patterns import expand_patterns
    from lmtrain.errors import DataError, UsageError
    from lmtrain.files.text_input import input_name

    if snapshot is not None and (vocab is None or vocab.is_file()):
        raise UsageError("--snapshot picks from the run directory that --vocab names")
    known, rules = (None, None) if vocab is None else _words_of(vocab, snapshot)
    with _as_file(file) as path:
        report = check_text(
            *(path, known, rules),
            vocab_name=str(vocab),
            train=expand_patterns(train or ()),
        )
    if as_json:
        print_json({"file": str(file), **report.to_dict()})
    else:
        print_report(report)
    if not report.is_usable:
        faults = "1 fault" if report.num_faults == 1 else f"{report.num_faults:,} faults"
        raise DataError(
            f"{input_name(file)}: cannot be used: {faults}, the first in line {report.faults[0].line:,}"
        )


@app.command()
def synth(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Of a synthetic corpus; see list.",
            show_default=False,
            autocompletion=complete_synthetic,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write it.", show_default=False)],
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The same seed, the same text.")] = 1,
) -> None:
    """Makes a synthetic corpus and prints its files.

    They are train.txt, valid.txt, test.txt and, for toy-english, what its source knows of them.

    Example: lmtrain data synth toy-english --out data/toy-english
    """
    from lmtrain.corpus.synthetic.synthetic import write_synthetic

    for path in write_synthetic(name, out, seed):
        write_result(path)


def _words_of(path: Path, snapshot: str | None) -> "tuple[Container[str], TextRules | None]":
    """What a vocabulary knows, and how text becomes its words; None where that is not said."""
    if path.is_file():
        from lmtrain.corpus.vocab import read_word_list

        return read_word_list(path), None
    from lmtrain.run.trained import load_vocabulary

    words, rules = load_vocabulary(path, snapshot)
    return frozenset(words.words), rules


@contextlib.contextmanager
def _as_file(path: Path) -> Iterator[Path]:
    """A file that can be read more than once; standard input is copied to one."""
    from lmtrain.files.text_input import STANDARD_INPUT, file_blocks

    if path != STANDARD_INPUT:
        yield path
        return
    import tempfile

    with tempfile.NamedTemporaryFile(prefix="lmtrain-") as copy:
        copy.writelines(file_blocks(path))
        copy.flush()
        yield Path(copy.name)


def _watched(blocks: Iterable[bytes], name: str, size: int | None) -> Iterator[bytes]:
    note(f"downloading {name}")
    return watched(blocks, size, "B", name, len)
