"""The program as a whole: help, versions, and how it ends when something goes wrong."""

import errno
import os
import re
import shlex
import signal
import subprocess
import sys
from typing import NoReturn

import pytest
from doc_pages import commands, parse
from program import lmtrain

import lmtrain as package
from lmtrain import errors
from lmtrain.cli.group import Named
from lmtrain.cli.program import COMMANDS, whole_program
from lmtrain.machine import environment

OPTIONS = {
    "": "--version --help --install-completion --show-completion",
    "train": "--config --set --run-dir --resume --device --dry-run --json",
    "eval": "MODEL --data --context --streams --batch-size --adapt --adapt-set --temperature --tuning "
    "--tune-on --save-tuning --snapshot --json",
    "adapt-stats": "MODEL --data --num-tokens --snapshot --device",
    "generate": "MODEL --prompt --prompts --interactive --num-words --num-sentences --num-samples "
    "--temperature --top-k --top-p --min-p --greedy --beam --length-penalty --seed --allow-unk --detokenize "
    "--snapshot --json",
    "info": "MODEL --snapshot --json",
    "runs": "DIR --sort --reverse --json",
    "env": "--json",
    "plot": "RUN --out",
    "diagnose": "MODEL --data --out --compare --positions --words --seed --snapshot --json",
    "score": "MODEL FILE --format --context --extended --adapt --adapt-set --temperature --tuning --ngram "
    "--weight --skip-bad-lines --snapshot --device",
    "judge": "MODEL FILE --json",
    "rescore": "MODEL FILE --tune-on --references --lm-weight --word-insertion --first-pass-weight "
    "--beam-size --context --skip-bad-lines --snapshot --device --json",
    "export": "MODEL --format --out --layout --snapshot --json",
    "import": "FOLDER --out --vocab --unk --eos --activation --tokenizer --lowercase --name --json",
    "convert": "FILE --out",
    "data": "list fetch check synth",
    "data list": "--json",
    "data fetch": "NAME --mirror --to",
    "data check": "FILE --vocab --snapshot --train --json",
    "data synth": "NAME --out --seed",
    "config": "new show validate schema",
    "config new": "--corpus --size --cell --valid --test --name --out",
    "config schema": "",
    "sweep": "--config --space --trials --set --sweep-dir --pruner --prune-after --seed --device --json",
    "config show": "FILE --set --json",
    "config validate": "FILE --set --json",
}
"""What others rely on, by command."""


def fails_with(monkeypatch: pytest.MonkeyPatch, fault: BaseException) -> None:
    """Makes ``lmtrain env`` end with an exception."""

    def fail() -> NoReturn:
        raise fault

    monkeypatch.setattr(environment, "describe_environment", fail)


def test_version() -> None:
    outcome = lmtrain("--version")
    assert (outcome.code, outcome.out) == (0, f"lmtrain {package.__version__}\n")


@pytest.mark.parametrize("command", OPTIONS)
def test_help(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = lmtrain(*command.split(), "--help")
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.out.startswith(f"Usage: lmtrain {command}".rstrip())
    assert [word for word in [*OPTIONS[command].split(), "--quiet"] if word not in outcome.out] == []
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "..." not in re.sub(
        r"(COMMAND \[ARGS\]|\{[A-Z]+\}|COLUMN,|\{?MODEL\.\.\. FILE)\.\.\.(\}\.\.\.)?", "", outcome.out
    )  # no sentence is cut off
    assert lmtrain(*command.split(), "-h").out == outcome.out


@pytest.mark.parametrize("command", ["", "data", "config"])
def test_a_group_alone_shows_its_help(command: str) -> None:
    outcome = lmtrain(*command.split())
    assert outcome.code == 2
    assert (outcome.out + outcome.err).strip() == lmtrain(*command.split(), "--help").out.strip()


@pytest.mark.parametrize("command", OPTIONS)
def test_help_has_examples_that_can_be_pasted(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    examples = re.findall(
        r"^  Example: (.*)\n(?: *\n|$)", lmtrain(*command.split(), "--help").out, re.MULTILINE
    )
    assert examples
    for example in examples:
        words = shlex.split(example.rpartition("| ")[2].partition(" > ")[0])
        assert words[0] == "lmtrain"
        name, _ = parse(words[1:]) or ("", {})
        assert name.startswith(command)


def test_every_command_is_looked_at() -> None:
    groups = {"", "data", "config"}
    assert OPTIONS.keys() == groups | {name for name, _ in commands(whole_program())}


def test_help_answers_without_what_is_heavy() -> None:
    script = (
        "import sys, lmtrain.cli\n"
        "sys.argv = ['lmtrain', '--help']\n"
        "try: lmtrain.cli.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'yaml', 'tensorboard'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("Usage: ")
    assert result.stdout.endswith("[]\n")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_is_listed_as_it_calls_itself(command: Named) -> None:
    assert command.help == command.load().help.splitlines()[0]


@pytest.mark.parametrize("words", ["--help", "runs --help"])
def test_only_the_command_that_is_named_is_imported(words: str) -> None:
    script = (
        "import atexit, sys, lmtrain.cli\n"
        f"sys.argv = ['lmtrain', *{words.split()}]\n"
        "commands = {'train', 'evaluate', 'score', 'runs', 'info', 'config', 'data', 'sweep'}\n"
        "found = lambda: {name.removeprefix('lmtrain.cli.') for name in sys.modules}\n"
        "atexit.register(lambda: print(*sorted(commands & found())))\n"
        "lmtrain.cli.main()"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == words.removesuffix("--help").strip()


def test_the_module_is_the_same_program() -> None:
    command = [sys.executable, "-m", "lmtrain", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == lmtrain("--version").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["data", "foo"], "No such command 'foo'"),
        (["train"], "Missing option '--config'"),
        (["train", "--config", "x.yaml", "--sett", "a=1"], "--set"),
        (["train", "--config", "x.yaml", "--dry-runs"], "--dry-run"),
        (["eval"], "Missing argument 'MODEL'"),
        (["eval", "model"], "Missing option '--data'"),
        (["eval", "model", "--data", "x.txt", "--context", "page"], "'stream', 'line'"),
        (["eval", "model", "--data", "x.txt", "--streams", "0"], "--streams"),
        (["eval", "model", "--data", "x.txt", "--adapt", "magic"], "--adapt"),
        (["generate", "model", "--num-words", "many"], "--num-words"),
        (["generate", "model", "--num-samples", "0"], "--num-samples"),
        (["generate", "model", "--num-sentences", "0"], "--num-sentences"),
        (["generate", "model", "--beam", "wide"], "--beam"),
        (["generate", "model", "--seed", "-1"], "--seed"),
        (["generate", "model", "--seed", "1" + "0" * 30], "--seed"),
        (["data", "synth", "counting"], "Missing option '--out'"),
    ],
)
def test_a_command_that_does_not_hold_together(arguments: list[str], message: str) -> None:
    outcome = lmtrain(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("lmtrain: ")
    assert message in outcome.err
    assert re.search(r"^Help: lmtrain.* --help$", outcome.err, re.MULTILINE)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (errors.LmtrainError("sorry"), 1),
        (errors.UsageError("sorry"), 2),
        (errors.ConfigError(["sorry"]), 2),
        (errors.DataError("sorry"), 3),
        (errors.ModelError("sorry"), 4),
        (errors.DivergenceError("sorry"), 5),
        (errors.StorageError("sorry"), 6),
        (OSError(errno.ENOSPC, "sorry, no space left", "file.txt"), 6),
        (OSError("sorry"), 6),
        (errors.Interrupted("sorry", signal.SIGINT), 130),
        (errors.Interrupted("sorry", signal.SIGTERM), 143),
    ],
)
def test_exit_codes(fault: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_with(monkeypatch, fault)
    outcome = lmtrain("env")
    assert outcome.code == code
    assert outcome.out == ""
    assert outcome.err.startswith("lmtrain: ")
    assert "sorry" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_fault_of_ours_shows_everything_and_asks_for_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    fails_with(monkeypatch, ZeroDivisionError("oops"))
    outcome = lmtrain("env")
    assert outcome.code == 1
    assert outcome.err.startswith("Traceback")
    assert "ZeroDivisionError: oops" in outcome.err
    assert "please report" in outcome.err.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_any_command(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "describe_environment", lambda: os.kill(os.getpid(), number))
    outcome = lmtrain("env")
    assert outcome.code == 128 + number
    assert outcome.err == f"lmtrain: stopped by {number.name}\n"


def test_standard_input_that_is_closed_is_empty() -> None:
    command = f"exec {sys.executable} -m lmtrain data check - <&-"
    outcome = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert outcome.returncode == 3
    assert outcome.stderr == "lmtrain: standard input: cannot be used: 1 fault, the first in line 1\n"
