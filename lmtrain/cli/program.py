"""The program: its commands, each imported when it is named."""

import sys
from typing import Annotated

import typer
from typer.main import get_command

from lmtrain import __version__
from lmtrain.cli.group import Group, Named, be_quiet
from lmtrain.cli.streams import prepare_streams
from lmtrain.cli.text import VOICE, write_result

COMMANDS = (
    Named("train", "train:train", "Trains a language model, or continues an interrupted run."),
    Named("eval", "evaluate:evaluate", "Measures the perplexity of held-out text."),
    Named("score", "score:score", "Prints the surprisal of every word, or a score for each line."),
    Named("rescore", "rescore:rescore", "Picks the best hypothesis of each n-best list."),
    Named("judge", "judge:judge", "Tells how often a model prefers the better of two sentences."),
    Named(
        "adapt-stats",
        "adapt_stats:adapt_stats",
        "Measures gradients of a training text, for the rule rms.",
    ),
    Named("generate", "generate:generate", "Writes text with a model."),
    Named("export", "export:export", "Takes a model elsewhere, where it runs without lmtrain."),
    Named("import", "import_model:import_model", "Makes a model of weights from elsewhere."),
    Named("convert", "import_model:convert", "Makes a safetensors file of a .pt file."),
    Named("sweep", "sweep:sweep", "Searches for good values of some keys of a config, by Optuna."),
    Named("info", "info:info", "Says what a model is and how it was trained."),
    Named("runs", "runs:runs", "Compares the runs in a folder, in a table that can be sorted."),
    Named("env", "info:env", "Prints what an issue report needs: versions, devices."),
    Named("plot", "plot:plot", "Draws perplexity and learning rate of runs."),
    Named("diagnose", "diagnose:diagnose", "Reports what a model has learnt and where it fails."),
    Named("data", "data", "Corpora: fetched, checked, or synthetic ones made."),
    Named("config", "config", "Configs: started, checked, or shown with every value."),
)
"""In the order of the help. What stands here of a command is the first line of its own help."""

app = typer.Typer(
    name="lmtrain",
    help="""Train, evaluate, score and sample word-level recurrent language models.

    A first model, on a small corpus that it makes itself, takes half a minute:

    Example: lmtrain config new --corpus toy-english --size tiny --out toy.yaml

    Example: lmtrain train --config toy.yaml

    Example: lmtrain generate runs/toy --prompt "the tiny"
    """,
    cls=Group,
    rich_markup_mode=None,  # plain text, whose lines a log keeps whole
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run() -> int | None:
    """Runs the command that was typed, and gives its exit code.

    Raises:
        Exception: See ``lmtrain.errors``, and typer's for what cannot be understood.
    """
    prepare_streams()
    VOICE.is_quiet = VOICE.has_json = False
    code: int | None = program().main(prog_name="lmtrain", standalone_mode=False)
    sys.stdout.flush()
    return code


def program() -> Group:
    """The group of all commands, of which none is imported yet."""
    group = get_command(app)
    assert isinstance(group, Group)  # noqa: S101
    for command in COMMANDS:
        group.add_command(command)
    return group


def whole_program() -> Group:
    """The same with all that is below it, for those that describe it."""
    group = program()
    group.commands = {str(command.name): command.load() for command in COMMANDS}
    return group


def _print_version(is_asked_for: bool) -> None:
    if is_asked_for:
        write_result(f"lmtrain {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[  # noqa: ARG001  (its callback reads it)
        bool,
        # Eager: it answers before a command is missed.
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            expose_value=False,
            help="Print the version and exit.",
        ),
    ] = False,
    quiet: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=be_quiet,
            expose_value=False,
            help="Only errors and what was asked for: no notes, no progress.",
        ),
    ] = False,
) -> None:
    from lmtrain.machine.process import prepare_process

    prepare_process()
