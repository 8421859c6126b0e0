"""``lmtrain config``."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lmtrain.cli.options import SetOption

app = typer.Typer(help="Configs: checked, or shown with every value.", no_args_is_help=True)

ConfigArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A YAML config.", show_default=False)]


@app.command()
def validate(file: ConfigArgument, overrides: SetOption = None) -> None:
    """Checks a config and lists all that is wrong at once."""
    from lmtrain.config import load_config

    load_config(file, overrides or ())
    typer.echo(f"{file}: holds")


@app.command()
def show(file: ConfigArgument, overrides: SetOption = None) -> None:
    """Prints a config with every value and its origin."""
    from lmtrain.config import load_config_with_origins

    config, origins = load_config_with_origins(file, overrides or ())
    lines = list(_lines(config.to_dict(), origins))
    width = max(len(text) for text, origin in lines if origin)
    for text, origin in lines:
        typer.echo(f"{text:<{width}}  # {origin}" if origin else text)


def _lines(
    values: Mapping[str, Any], origins: Mapping[str, str], path: str = ""
) -> Iterator[tuple[str, str]]:
    """YAML lines and the origin of the value on each; a section's own line has none."""
    from lmtrain.config.yaml_text import dump_yaml

    indent, document_end = "  " * path.count("."), "...\n"
    for key, value in values.items():
        dotted = f"{path}{key}"
        if isinstance(value, dict):
            yield f"{indent}{key}:", ""
            yield from _lines(value, origins, f"{dotted}.")
        else:
            yield f"{indent}{key}: {dump_yaml(value).removesuffix(document_end).strip()}", origins[dotted]
