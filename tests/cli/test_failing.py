"""How the program says that something went wrong, to people and to programs."""

import json
import signal
from pathlib import Path
from typing import NoReturn

import pytest
from program import Outcome, Trained, lmtrain

from lmtrain import errors
from lmtrain.cli.failing import CONFIG_KEYS
from lmtrain.config import load_config
from lmtrain.machine import environment

REPORTING = (
    "train --config missing.yaml --dry-run",
    "eval missing --data test.txt",
    "generate missing",
    "export missing --format safetensors --out exported",
    "sweep --config missing.yaml --space space.yaml --trials 1",
    "info missing",
    "runs missing",
    "diagnose missing --data test.txt",
    "data check missing.txt",
    "config show missing.yaml",
    "config validate missing.yaml",
)


def error_in(outcome: Outcome) -> str:
    """Of standard output, which holds nothing else; standard error says the same."""
    value = json.loads(outcome.out)
    assert list(value) == ["error", "code"]
    assert value["code"] == outcome.code
    assert outcome.err.startswith(f"lmtrain: {value['error']}\n")
    return str(value["error"])


@pytest.mark.parametrize("command", REPORTING)
def test_every_reporting_command_fails_in_json_where_it_is_asked_for(command: str, project: Path) -> None:
    outcome = lmtrain(*command.split(), "--json", folder=project)
    assert outcome.code in (2, 3, 4)
    assert "missing" in error_in(outcome)
    without = lmtrain(*command.split(), folder=project)
    assert (without.code, without.out, without.err) == (outcome.code, "", outcome.err)


@pytest.mark.parametrize(
    ("fault", "code"),
    [(errors.Interrupted("sorry", signal.SIGINT), 130), (OSError("sorry"), 6), (ZeroDivisionError(), 1)],
)
def test_faults_of_any_kind_are_json(
    fault: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> NoReturn:
        raise fault

    monkeypatch.setattr(environment, "describe_environment", fail)
    outcome = lmtrain("env", "--json")
    assert json.loads(outcome.out)["code"] == outcome.code == code


def test_what_cannot_be_understood_is_json_too() -> None:
    assert error_in(lmtrain("eval", "x", "--json", "--dta", "y")) == (
        "No such option: --dta. Did you mean --data?"
    )
    assert "Missing argument 'MODEL'" in error_in(lmtrain("info", "--json"))
    assert lmtrain("info", "--", "--json").out == ""


def test_a_value_that_is_there_stays_alone(project: Path) -> None:
    """Of a text with faults there is a report, which names them."""
    (project / "bad.txt").write_bytes(b"caf\xe9\n")
    outcome = lmtrain("data", "check", "bad.txt", "--json", folder=project)
    assert outcome.code == 3
    assert json.loads(outcome.out)["num_faults"] == 1
    assert outcome.err == "lmtrain: bad.txt: cannot be used: 1 fault, the first in line 1\n"


def test_lines_of_json_end_with_the_error(trained: Trained, project: Path) -> None:
    (project / "prompts.txt").write_bytes(b"the old cat\ncaf\xe9\n")
    arguments = (trained.run_dir, "--prompts", "prompts.txt", "--num-words", "2", "--json")
    outcome = lmtrain("generate", *arguments, folder=project)
    assert outcome.code == 3
    assert set(json.loads(outcome.out.splitlines()[-1])) == {"error", "code"}


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ("trian", ["No such command 'trian'. Did you mean 'train'?", "Help: lmtrain --help"]),
        (
            "data foo",
            ["No such command 'foo'. There are list, fetch, check, synth.", "Help: lmtrain data --help"],
        ),
        (
            "train",
            [
                "Missing option '--config'.",
                "Example: lmtrain train --config configs/quickstart.yaml",
                "Help: lmtrain train --help",
            ],
        ),
        (
            "train --confg x.yaml",
            ["No such option: --confg. Did you mean --config?", "Help: lmtrain train --help"],
        ),
        (
            "train --epochs 3 --config x.yaml",
            [
                "No such option: --epochs. It is a key of the config: --set train.epochs=3",
                "Help: lmtrain train --help",
            ],
        ),
        (
            "train --batch-size=4",
            [
                "No such option: --batch-size. It is a key of the config: --set train.batch_size=4",
                "Help: lmtrain train --help",
            ],
        ),
        (
            "eval model --data a.txt b.txt",
            ["b.txt: a text, not a model; repeat --data for each text"],
        ),
    ],
)
def test_a_mistyped_command_is_mended_from_the_message_alone(arguments: str, lines: list[str]) -> None:
    outcome = lmtrain(*arguments.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines() == [f"lmtrain: {lines[0]}", *lines[1:]]


@pytest.mark.parametrize("key", CONFIG_KEYS.values())
def test_what_is_told_as_a_key_of_the_config_is_one(key: str) -> None:
    value = load_config(Path(__file__).parents[2] / "configs" / "quickstart.yaml")
    for part in key.split("."):
        assert hasattr(value, part), key
        value = getattr(value, part)
