"""The JSON Schema that editors complete keys with."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lmtrain.config.json_schema import SCHEMA_FILE, file_schema, modeline, schema_text
from lmtrain.config.problems import Place
from lmtrain.config.schema_tree import SchemaTree
from lmtrain.config.yaml_text import Findings, parse_yaml

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RECIPES = sorted(CONFIGS.glob("*.yaml"))


def sections(node: Any) -> Iterator[dict[str, Any]]:
    """All schemas of mappings in a schema, itself included."""
    if isinstance(node, dict):
        if "properties" in node and "additionalProperties" in node:
            yield node
        for child in node.values():
            yield from sections(child)


def test_the_committed_copy_is_current() -> None:
    text = (CONFIGS / SCHEMA_FILE).read_text(encoding="utf-8")
    assert text == schema_text(), f"renew it: lmtrain config schema > configs/{SCHEMA_FILE}"


def test_it_says_which_schema_it_is() -> None:
    schema = json.loads(schema_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["name"]
    assert schema["properties"]["base"]["type"] == "string"


def test_every_section_refuses_unknown_keys_and_describes_its_own() -> None:
    found = list(sections(file_schema()))
    assert len(found) > 15
    for section in found:
        assert section["additionalProperties"] is False
        for name, child in section["properties"].items():
            assert child.get("description") or "$ref" in child, name


def test_nothing_in_it_is_foreign_to_json_schema() -> None:
    text = schema_text()
    assert '"discriminator"' not in text
    assert '"allOf": []' not in text


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_names_it_in_its_first_line(recipe: Path) -> None:
    assert recipe.read_text(encoding="utf-8").splitlines()[0] == modeline(SCHEMA_FILE)


def errors(text: str) -> list[str]:
    """What a validator has against a config."""
    validator = jsonschema.Draft202012Validator(file_schema())
    values = parse_yaml(text, lambda line: Place("c.yaml", line), (), Findings())
    return [error.json_path for error in validator.iter_errors(values)]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_valid(recipe: Path) -> None:
    assert errors(recipe.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("name: x\ndata: {train: a.txt}", []),
        ("name: x\nbase: b.yaml\ntrain: {optimizer: {lr: 1}, schedule: {factor: 0.5}}", []),
        ("name: x\ndata: {train: [a.txt]}\nmodel:\nsnapshots:", []),
        ("name: x", ["$"]),
        ("base: b.yaml", ["$"]),
        ("name: x\ndata: {valid: a.txt}", ["$.data"]),
        ("name: x\ndata: {train: a.txt}\nmodle: {}", ["$"]),
        ("name: x\ndata: {train: a.txt}\nmodel: {cell: lsmt}", ["$.model.cell"]),
        ("name: x\ndata: {train: a.txt}\ntrain: {optimizer: {lr: 1}}", ["$.train.optimizer"]),
        (
            "name: x\ndata: {train: a.txt}\ntrain: {optimizer: {name: adam, momentum: 0}}",
            ["$.train.optimizer"],
        ),
        ("name: x\ndata: {train: a.txt}\ntrain: {schedule: {name: step_decay}}", ["$.train.schedule"]),
        ("name: x\nbase: b.yaml\nmodel: {dropout: 1.5}", ["$.model.dropout"]),
    ],
)
def test_a_validator_agrees(text: str, paths: list[str]) -> None:
    assert errors(text) == paths


def test_explanations_list_choices() -> None:
    from lmtrain.config.json_schema import model_schema

    tree = SchemaTree(model_schema())
    model = tree.child(tree.root, "model")
    assert model is not None
    keys = dict(tree.children(model))
    assert tree.explanation(keys["cell"]) == "recurrent cell (elman, concat_elman, lstm, gru, mogrifier, sru)"
    assert tree.explanation(keys["hidden_size"]) == "units of a recurrent layer"
