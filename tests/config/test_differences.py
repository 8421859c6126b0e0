from collections.abc import Iterator
from typing import Any

import pytest

from lmtrain.config import Config, differences
from lmtrain.config.options import ConstantSchedule, Options, TrainOptions
from lmtrain.errors import ConfigError


def config_of(schedule: str = "constant", **changes: Any) -> Config:
    """A config with values changed by dotted key."""
    values: dict[str, Any] = {
        "name": "x",
        "data": {"train": ["a.txt"], "valid": ["v.txt"]},
        "train": {"epochs": 10, "schedule": {"name": schedule}},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            values.setdefault(section, {})[name] = value
        else:
            values[section] = value
    return Config.model_validate(values)


def test_equal_configs_do_not_differ() -> None:
    assert differences(config_of(), config_of()) == []
    assert differences(config_of().to_dict(), config_of()) == []


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"train__batch_size": 40}, ["train.batch_size: 20 → 40"]),
        ({"data__max_vocab": 9}, ["data.max_vocab: null → 9"]),
        ({"seed": 2, "model__cell": "gru"}, ["seed: 1 → 2", "model.cell: lstm → gru"]),
        (
            {"model__dropout": 0.5},
            [f"model.dropout.{place}: 0.0 → 0.5" for place in ("input", "layers", "output")],
        ),
        (
            {"train__optimizer": {"name": "sgd", "lr": 2}, "train__epochs": 3},
            ["train.optimizer.lr: 1.0 → 2.0"],
        ),
        (
            {"train__schedule": {"name": "plateau"}},
            [
                "train.schedule.name: constant → plateau",
                "train.schedule.factor: absent → 0.25",
                "train.schedule.patience: absent → 0",
            ],
        ),
    ],
)
def test_changes_are_listed_in_the_order_of_the_schema(changes: dict[str, Any], lines: list[str]) -> None:
    assert differences(config_of(), config_of(**changes)) == lines
    assert differences(config_of().to_dict(), config_of(**changes)) == lines


def test_a_key_that_is_gone_is_absent() -> None:
    assert differences(config_of("plateau"), config_of()) == [
        "train.schedule.name: plateau → constant",
        "train.schedule.factor: 0.25 → absent",
        "train.schedule.patience: 0 → absent",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "y"},
        {"data__test": "t.txt"},
        {"data__train": ["elsewhere/a.txt"]},  # the run compares what is in it
        {"data__valid": "elsewhere/v.txt"},
        {"train__epochs": 20},
        {"train__epochs": None, "train__max_steps": 50},
        {"train__early_stopping": {"patience": 3}},
        {"evaluation__every": 10},
        {"snapshots": {"every": 10, "keep": 9}},
        {"logging": {"every": 10, "samples": 0}},
    ],
)
def test_what_may_change_when_a_run_is_resumed(changes: dict[str, Any]) -> None:
    assert differences(config_of(), config_of(**changes)) == []


@pytest.mark.parametrize("schedule", ["linear", "cosine", "one_cycle"])
def test_the_length_of_training_may_not_change_where_it_shapes_the_schedule(schedule: str) -> None:
    longer = config_of(schedule, train__epochs=20, train__schedule={"name": schedule}, name="y")
    assert differences(config_of(schedule), longer) == ["train.epochs: 10 → 20"]
    steps = config_of(schedule, train__epochs=None, train__max_steps=50)
    assert differences(config_of(schedule), steps) == [
        "train.epochs: 10 → null",
        "train.max_steps: null → 50",
    ]


def test_a_dictionary_that_is_no_config_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the config of the run: model.size: unknown key"):
        differences(config_of().to_dict() | {"model": {"size": 3}}, config_of())


def test_a_schedule_that_does_not_say_keeps_the_length_of_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    longer = config_of(train__epochs=20)
    assert differences(config_of(), longer) == []
    monkeypatch.delattr(ConstantSchedule, "depends_on_length")
    assert differences(config_of(), longer) == ["train.epochs: 10 → 20"]


def test_keys_that_may_change_are_keys() -> None:
    def sections(section: type[Options]) -> Iterator[type[Options]]:
        yield section
        for field in section.model_fields.values():
            if isinstance(field.annotation, type) and issubclass(field.annotation, Options):
                yield from sections(field.annotation)

    for section in sections(Config):
        assert section.free <= section.model_fields.keys()
    assert TrainOptions.length <= TrainOptions.model_fields.keys()
