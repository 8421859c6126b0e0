"""``lmtrain config``."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lmtrain.cli.group import Group
from lmtrain.cli.options import JsonOption, SetOption
from lmtrain.cli.text import command, note, print_json, write_result

app = typer.Typer(
    help="""Configs: started, checked, or shown with every value.

    Example: lmtrain config new --corpus toy-english --size tiny --out toy.yaml
    """,
    cls=Group,
    add_completion=False,
    rich_markup_mode=None,
)

ConfigArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A YAML config.", show_default=False)]


@app.command()
def new(
    corpora: Annotated[
        list[str] | None,
        typer.Option(
            "--corpus",
            metavar="NAME|FOLDER|FILE",
            help="A corpus of lmtrain data list, such as ptb; a folder with train.txt and maybe valid.txt, "
            "test.txt; or a text to train on, repeatable.",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        Literal["tiny", "small", "medium", "large"] | None,
        typer.Option(
            metavar="tiny|small|medium|large",
            help="A layer of 128 units, or two of 200, 650 or 1,500.  [default: small]",
            show_default=False,
        ),
    ] = None,
    cell: Annotated[
        str, typer.Option(metavar="CELL", help="What model.cell may be: lstm, gru, elman, …")
    ] = "lstm",
    valid: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text to validate on.", show_default=False)
    ] = None,
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Text to test on, at the end.", show_default=False)
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of the run.  [default: that of the file, else of corpus, cell and size]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where to write it.  [default: standard output]", show_default=False
        ),
    ] = None,
) -> None:
    """Starts a config: commented YAML of good values.

    Asks for corpus and size where they are missing and a person is there to answer.

    Example: lmtrain config new --corpus ptb --size medium --out mine.yaml
    """
    from lmtrain.config.starting import SIZES, name_of, starting_config, texts_of
    from lmtrain.corpus.fetching.known import KNOWN_CORPORA
    from lmtrain.errors import UsageError

    if not corpora:
        if not sys.stdin.isatty():
            raise UsageError("name a corpus, such as --corpus ptb or --corpus text/train.txt")
        corpora = [_ask("corpus (a name, folder or file)", "toy-english")]
        while size not in SIZES:
            size = _ask(f"size ({', '.join(SIZES)})", "small")  # type: ignore[assignment]
    data = {
        **texts_of(corpora, KNOWN_CORPORA),
        **{k: str(v) for k, v in (("valid", valid), ("test", test)) if v},
    }
    name = name or (name_of(out) if out else None)
    text = starting_config(data, size or "small", cell, name)
    if out is None:
        write_result(text, end="")
    else:
        _write_new(out, text)


def _ask(question: str, default: str) -> str:
    """The answer, or the default where there is none. Standard output is kept for the config."""
    print(f"{question} [{default}]: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() or default


def _write_new(path: Path, text: str) -> None:
    """Writes a config, and the schema that its first line names beside it where there is none."""
    from lmtrain.config.json_schema import SCHEMA_FILE, schema_text
    from lmtrain.errors import StorageError, UsageError

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        schema = path.parent / SCHEMA_FILE
        if not schema.exists():
            schema.write_text(schema_text(), encoding="utf-8")
    except FileExistsError as error:
        raise UsageError(
            f"{path}: is there already, and nothing is overwritten; choose another --out"
        ) from error
    except OSError as error:
        raise StorageError(f"{error.filename}: cannot be written: {error.strerror}") from error
    train = command("train", "--config", path)
    note(f"{path}: written; next an estimate, then training:\n{train} --dry-run\n{train}")


@app.command()
def schema() -> None:
    """Prints the JSON Schema that editors complete keys with.

    Example: lmtrain config schema > lmtrain.schema.json
    """
    from lmtrain.config.json_schema import schema_text

    write_result(schema_text(), end="")


@app.command()
def validate(file: ConfigArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Checks a config and lists all that is wrong at once.

    Example: lmtrain config validate configs/ptb-lstm-small.yaml
    """
    from lmtrain.config import load_config

    config = load_config(file, overrides or ())
    if as_json:
        print_json({"file": str(file), "name": config.name, "holds": True})
    else:
        write_result(f"{file}: holds")


@app.command()
def show(file: ConfigArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Prints a config with every value and its origin.

    Example: lmtrain config show configs/quickstart.yaml --set train.epochs=3
    """
    from lmtrain.config import load_config_with_origins

    config, origins = load_config_with_origins(file, overrides or ())
    if as_json:
        print_json({"config": config.to_dict(), "origins": dict(origins)})
        return
    lines = list(_lines(config.to_dict(), origins))
    width = max(len(text) for text, origin in lines if origin)
    for text, origin in lines:
        write_result(f"{text:<{width}}  # {origin}" if origin else text)


def _lines(
    values: Mapping[str, Any], origins: Mapping[str, str], path: str = ""
) -> Iterator[tuple[str, str]]:
    """YAML lines and the origin of the value on each; a section's own line has none."""
    from lmtrain.config.yaml_text import dump_inline

    indent = "  " * path.count(".")
    for key, value in values.items():
        dotted = f"{path}{key}"
        if isinstance(value, dict):
            yield f"{indent}{key}:", ""
            yield from _lines(value, origins, f"{dotted}.")
        else:
            yield f"{indent}{key}: {dump_inline(value)}", origins[dotted]
