"""What the README and the files around it promise is there."""

import functools
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from typer.main import get_command

from lmtrain.cli import app
from lmtrain.config import load_config

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _invocations() -> list[str]:
    """The arguments of every lmtrain command in a shell block or a `lmtrain …` span."""
    lines = "\n".join(_blocks("bash")).splitlines() + re.findall(r"`([^`\n]+)`", README)
    commands = [command for line in lines for command in re.split(r"&&|\|", line)]
    found = [re.match(r"\s*(?:\S*/)?lmtrain\s+(\S.*)", command) for command in commands]
    return [shlex.join(shlex.split(match[1], comments=True)) for match in found if match]


def _parse(arguments: str) -> tuple[str, dict[str, Any]] | None:
    """The command that would run, and its parameters; None where help is asked for. Runs nothing."""
    parsed: list[tuple[str, dict[str, Any]]] = []

    def note(command: str, /, **params: Any) -> None:
        parsed.append((command, params))

    root = get_command(app)
    for name, command in _leaves(root):
        command.callback = functools.partial(note, name)
    root.main(shlex.split(arguments), prog_name="lmtrain", standalone_mode=False)
    return parsed[0] if parsed else None


def _leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for part, child in command.commands.items():
        yield from _leaves(child, f"{name} {part}".strip())


@pytest.mark.parametrize("arguments", _invocations())
def test_a_command_of_the_readme_exists(arguments: str) -> None:
    _, params = _parse(arguments) or ("", {})
    config = params.get("config") or params.get("file")
    if config and config.suffix == ".yaml" and config.name != "mine.yaml":  # which the reader writes
        load_config(ROOT / config, params.get("overrides") or ())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("data fetsh ptb", "No such command 'fetsh'"),
        ("train --confg x.yaml", "No such option: --confg"),
        ("generate runs/x --num-words many", "valid int"),
        ("eval runs/x", "Missing .*data"),
    ],
)
def test_one_that_does_not_exist_would_be_noticed(arguments: str, complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        _parse(arguments)


def test_every_command_has_an_example() -> None:
    shown = {parsed[0] for arguments in _invocations() if (parsed := _parse(arguments))}
    assert shown == {name for name, _ in _leaves(get_command(app))}


def test_its_config_holds(tmp_path: Path) -> None:
    (text,) = _blocks("yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_config(path).name == path.stem


def test_ci_runs_its_test_command() -> None:
    commands = [block.strip() for block in _blocks("bash") if "pytest" in block]
    assert len(commands) == 1
    assert f'run "{commands[0]}"\n' in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_recipe_has_its_row() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE)
    assert sorted(rows) == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


def test_every_dependency_is_pinned_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = map(Requirement, project["dependencies"] + project["optional-dependencies"]["test"])
    assert [str(r) for r in wanted if not r.specifier.contains(pins.get(r.name.lower(), "0"))] == []
