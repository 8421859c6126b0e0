"""How the program says that something went wrong."""

import re
import sys
import traceback
from contextlib import suppress
from typing import NoReturn

import typer

from lmtrain import __version__
from lmtrain.cli.text import VOICE, print_json_line, say
from lmtrain.errors import EndedElsewhere, Interrupted, LmtrainError, StorageError

_EXAMPLE = re.compile(r"^ *(Example: .*)", re.MULTILINE)


_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory")
"""What torch says, in a RuntimeError, when the system or a device has no more."""


def fail_with(error: BaseException) -> NoReturn:
    """Ends the program because of an error, with the exit code of its kind."""
    match error:
        case EndedElsewhere():
            sys.exit(error.exit_code)
        case typer.TyperException():
            fail_usage(error)
        case LmtrainError() | Interrupted():
            fail(str(error), error.exit_code)
        case OSError():
            fail(f"{error.filename or 'the system'}: {error.strerror or error}", 6)
    if isinstance(error.__cause__, Interrupted):  # made by a library into an error of its own
        fail(str(error.__cause__), error.__cause__.exit_code)
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
        fail("there is not enough memory for this; a smaller model or batch needs less", 6)
    traceback.print_exception(error)
    fail(f"this is a fault of lmtrain {__version__}; please report it with the lines above", 1)


def fail(message: str, code: int, hint: str = "") -> NoReturn:
    """Ends the program with a message on standard error.

    With ``--json`` standard output has it too, as ``{"error": …, "code": …}`` in one line, unless the value
    that was asked for is there already.

    Args:
        message: One line or a short list.
        code: The exit code.
        hint: Lines for a person alone.
    """
    if _is_json_asked_for() and not VOICE.has_json:
        with suppress(StorageError):  # a full disk: the message is still to be told
            print_json_line({"error": message, "code": code})
    say("\n".join(filter(None, (message, hint))), sys.stderr, "lmtrain: ")
    sys.exit(code)


def fail_usage(error: typer.TyperException) -> NoReturn:
    """Ends the program because the command line cannot be understood; says what was meant."""
    message = error.format_message().replace("Value error, ", "", 1)  # the words of what typer checks with
    if near := getattr(error, "possibilities", None):
        message = f"{error.message}. Did you mean {near[0]}?"
    context = getattr(error, "ctx", None)
    if context is None:
        fail(message, 2)
    if message.startswith("Got unexpected extra argument"):
        several = [param.opts[0] for param in context.command.params if getattr(param, "multiple", False)]
        typed = [name for name in several if name in sys.argv] or several
        message += f"; repeat {' or '.join(typed)} for each value" if typed else ""
    example = _EXAMPLE.search(context.command.help or "") if message.startswith("Missing ") else None
    help_line = f"Help: {context.command_path} --help"
    fail(message, 2, f"{example[1]}\n{help_line}" if example else help_line)


def _is_json_asked_for() -> bool:
    """By the words themselves: they may be what could not be understood."""
    words = sys.argv[1:]
    return "--json" in (words[: words.index("--")] if "--" in words else words)
