"""What the README and the files around it promise is there."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from doc_pages import blocks, parse, shell_lines
from packaging.requirements import Requirement

from lmtrain.config import load_config

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def _invocations() -> list[str]:
    """The arguments of every lmtrain command in a shell block or a `lmtrain …` span."""
    shown = [shlex.join(arguments) for line in shell_lines(README) for arguments in line.invocations()]
    spans = re.findall(r"`lmtrain ([^`\n]+)`", README.read_text(encoding="utf-8"))
    return shown + spans


@pytest.mark.parametrize("arguments", _invocations())
def test_a_command_of_the_readme_exists(arguments: str) -> None:
    _, params = parse(shlex.split(arguments)) or ("", {})
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
        parse(shlex.split(arguments))


def test_its_config_holds(tmp_path: Path) -> None:
    (text,) = blocks(README, "yaml")
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_config(path).name == path.stem


def test_ci_runs_its_test_command() -> None:
    commands = [block.strip() for block in blocks(README, "bash") if "pytest" in block]
    assert len(commands) == 1
    assert f'run "{commands[0]}"\n' in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_recipe_has_its_row() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


def test_every_dependency_is_pinned_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = map(Requirement, project["dependencies"] + project["optional-dependencies"]["test"])
    assert [str(r) for r in wanted if not r.specifier.contains(pins.get(r.name.lower(), "0"))] == []
