"""The command line: everything a person types, all that is printed, every exit code."""

import re
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated

import typer

from lmtrain import __version__
from lmtrain.cli import (
    config,
    data,
    diagnose,
    evaluate,
    export,
    generate,
    info,
    plot,
    runs,
    score,
    sweep,
    train,
)
from lmtrain.cli.failing import fail, fail_usage
from lmtrain.cli.group import Group, be_quiet
from lmtrain.cli.text import VOICE, prepare_streams
from lmtrain.errors import Interrupted, LmtrainError

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory")
"""What torch says, in a RuntimeError, when the system or a device has no more."""

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
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("score")(score.score)
app.command("generate")(generate.generate)
app.command("export")(export.export)
app.command("sweep")(sweep.sweep)
app.command("info")(info.info)
app.command("runs")(runs.runs)
app.command("env")(info.env)
app.command("plot")(plot.plot)
app.command("diagnose")(diagnose.diagnose)
app.add_typer(data.app, name="data", cls=Group)
app.add_typer(config.app, name="config", cls=Group)


def _print_version(is_asked_for: bool) -> None:
    if is_asked_for:
        typer.echo(f"lmtrain {__version__}")
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


def main() -> None:
    """Runs a command; errors end it with one clear message and the exit code of their kind."""
    if hasattr(signal, "SIGPIPE"):  # `lmtrain … | head` ends as silently as any other program
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    prepare_streams()
    VOICE.is_quiet = VOICE.has_json = False
    try:
        for number in _STOPPING:
            signal.signal(number, _stop)
        sys.exit(app(prog_name="lmtrain", standalone_mode=False))
    except typer.TyperException as error:
        fail_usage(error)
    except (LmtrainError, Interrupted) as error:
        fail(str(error), error.exit_code)
    except OSError as error:
        fail(f"{error.filename or 'the system'}: {error.strerror or error}", 6)
    except Exception as error:  # noqa: BLE001  (the last resort, which shows everything)
        if isinstance(error.__cause__, Interrupted):  # made by a library into an error of its own
            fail(str(error.__cause__), error.__cause__.exit_code)
        if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
            fail("there is not enough memory for this; a smaller model or batch needs less", 6)
        traceback.print_exc()
        fail(f"this is a fault of lmtrain {__version__}; please report it with the lines above", 1)
    finally:
        # The interpreter still has to shut down, where nothing would catch what `_stop` raises.
        for number in _STOPPING:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise Interrupted(f"stopped by {signal.Signals(number).name}", number)
