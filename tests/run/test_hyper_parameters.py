"""Settings as TensorBoard compares them: every run fits into the same columns."""

from pathlib import Path
from typing import Any

import pytest
from support import settings as values_of

from lmtrain.config import config_from_dict, load_config
from lmtrain.run.hyper_parameters import columns, settings

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_setting_of_a_recipe_has_a_column_of_its_kind(path: Path) -> None:
    kinds = {column.name: column.kind for column in columns()}
    found = settings(load_config(path))
    assert found
    assert {name: type(value) for name, value in found.items()} == {name: kinds[name] for name in found}


def test_choices_of_unions_are_joined() -> None:
    choices = {column.name: column.choices for column in columns()}
    assert choices["train.optimizer.name"] == ("sgd", "adam", "adamw")
    assert choices["model.tie_weights"] == (False, True)
    assert choices["train.epochs"] == ()


def test_what_stands_first_exists() -> None:
    assert sum(column.is_telling for column in columns()) == 5


@pytest.mark.parametrize(
    ("changes", "present", "absent"),
    [
        ({}, "train.max_steps", "train.epochs"),
        ({}, "model.dropout.layers", "model.sampled.num_samples"),
        ({"model__softmax": "sampled"}, "model.sampled.num_samples", "model.adaptive.div"),
        ({"model__softmax": "mixture"}, "model.mixture.components", "model.sampled.num_samples"),
        ({}, "model.cell", "model.mogrifier.rounds"),
        ({"model__cell": "mogrifier"}, "model.mogrifier.rounds", "model.mixture.components"),
        ({"train__optimizer": {"name": "adam"}}, "train.optimizer.betas", "train.optimizer.momentum"),
    ],
)
def test_what_does_not_apply_is_left_out(changes: dict[str, Any], present: str, absent: str) -> None:
    found = settings(config_from_dict(values_of(Path("corpus"), **changes), "test"))
    assert present in found
    assert absent not in found
