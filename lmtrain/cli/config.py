"""``lmtrain config``."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Configs: checked, or shown with every value.", no_args_is_help=True)

ConfigArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A YAML config.", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Overrides a value of the config; repeatable."),
]


@app.command()
def validate(file: ConfigArgument, overrides: SetOption = None) -> None:
    """Checks a config; lists all that is wrong with it at once."""
    from lmtrain.config import load_config

    load_config(file, overrides or ())
    typer.echo(f"{file}: holds")


@app.command()
def show(file: ConfigArgument, overrides: SetOption = None) -> None:
    """Prints a config with every value, and where each comes from."""
    from lmtrain.config import load_config_with_origins

    config, origins = load_config_with_origins(file, overrides or ())
    typer.echo(config.to_yaml_with_comments(origins), nl=False)
