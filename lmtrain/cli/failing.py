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

CONFIG_KEYS = {
    "seed": "seed",
    "min_count": "data.min_count",
    "max_vocab": "data.max_vocab",
    "lowercase": "data.lowercase",
    "cell": "model.cell",
    "embedding_dim": "model.embedding_dim",
    "hidden_size": "model.hidden_size",
    "num_layers": "model.num_layers",
    "dropout": "model.dropout",
    "epochs": "train.epochs",
    "max_steps": "train.max_steps",
    "batch_size": "train.batch_size",
    "bptt_len": "train.bptt_len",
    "max_grad_norm": "train.max_grad_norm",
    "precision": "train.precision",
    "optimizer": "train.optimizer.name",
    "lr": "train.optimizer.lr",
}
"""What other programs have as options of training, and where it stands in a config."""

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
    if context is not None and context.command.name == "train":
        message = _of_the_config(getattr(error, "option_name", "")) or message
    if context is None:
        fail(message, 2)
    if message.startswith("Got unexpected extra argument"):
        several = [param.opts[0] for param in context.command.params if getattr(param, "multiple", False)]
        typed = [name for name in several if name in sys.argv] or several
        message += f"; repeat {' or '.join(typed)} for each value" if typed else ""
    example = _EXAMPLE.search(context.command.help or "") if message.startswith("Missing ") else None
    help_line = f"Help: {context.command_path} --help"
    fail(message, 2, f"{example[1]}\n{help_line}" if example else help_line)


def _of_the_config(option: str) -> str:
    """What to type in place of an option that is a key of the config; nothing if it is none."""
    key = CONFIG_KEYS.get(option.removeprefix("--").replace("-", "_"))
    if key is None:
        return ""
    words = iter(sys.argv[1:])
    word = next((word for word in words if word.partition("=")[0] == option), option)
    value = word.partition("=")[2] or next(words, "")
    value = value if value and not value.startswith("-") else "VALUE"
    return f"No such option: {option}. It is a key of the config: --set {key}={value}"


def _is_json_asked_for() -> bool:
    """By the words themselves: they may be what could not be understood."""
    words = sys.argv[1:]
    return "--json" in (words[: words.index("--")] if "--" in words else words)
