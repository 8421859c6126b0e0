import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lmtrain.config import Config, load_config
from lmtrain.config.options import DropoutOptions
from lmtrain.errors import ConfigError

SMALLEST: dict[str, Any] = {"name": "x", "data": {"train": "a.txt"}, "train": {"epochs": 1}}


def values_of(**sections: dict[str, Any]) -> dict[str, Any]:
    """The smallest config with more values in its sections."""
    return {**SMALLEST, **{name: SMALLEST.get(name, {}) | more for name, more in sections.items()}}


def config_of(**sections: dict[str, Any]) -> Config:
    return Config.model_validate(values_of(**sections))


def test_defaults() -> None:
    assert config_of().to_dict() == {
        "name": "x",
        "seed": 1,
        "data": {
            "train": ["a.txt"],
            "valid": [],
            "test": [],
            "synthetic": None,
            "context": "stream",
            "vocab": None,
            "max_vocab": None,
            "min_count": 1,
            "extend_vocab": False,
            "lowercase": False,
            "tokenizer": "whitespace",
            "moses_language": "en",
        },
        "model": {
            "cell": "lstm",
            "activation": "tanh",
            "mogrifier": {"rounds": 5, "rank": None, "cap_input_gate": False},
            "embedding_dim": 200,
            "hidden_size": 200,
            "num_layers": 2,
            "last_hidden_size": None,
            "skip_connections": False,
            "tie_weights": False,
            "dropout": {
                "input": 0.0,
                "layers": 0.0,
                "output": 0.0,
                "words": 0.0,
                "recurrent": 0.0,
                "latent": 0.0,
                "locked": False,
            },
            "embedding_activation": "none",
            "softmax": "full",
            "adaptive": {"cutoffs": None, "div": 4.0},
            "sampled": {"num_samples": 1000, "distribution": "log_uniform"},
            "mixture": {"components": 15},
            "init": "uniform",
            "init_range": 0.1,
            "recurrent_init": "same",
            "forget_gate_bias": None,
            "pretrained_embedding": None,
            "freeze_embedding": False,
        },
        "train": {
            "epochs": 1,
            "max_steps": None,
            "batch_size": 20,
            "bptt_len": 35,
            "random_bptt": False,
            "partial_shuffle": False,
            "accumulate": 1,
            "loss_reduction": "mean",
            "activation_regularization": 0.0,
            "temporal_regularization": 0.0,
            "max_grad_norm": 5.0,
            "precision": "float32",
            "threads": None,
            "optimizer": {
                "name": "sgd",
                "lr": 1.0,
                "momentum": 0.0,
                "nesterov": False,
                "weight_decay": 0.0,
            },
            "schedule": {"name": "constant"},
            "averaging": {"name": "none"},
            "early_stopping": None,
            "stop_above_uniform": True,
        },
        "distributed": {"compress": False, "timeout": 600.0},
        "evaluation": {"every": "epoch", "streams": 1},
        "snapshots": {"every": "epoch", "keep": 3},
        "logging": {"every": 50, "samples": 3},
    }


@pytest.mark.parametrize(
    ("options", "defaults"),
    [
        ({"name": "adam"}, {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}),
        ({"name": "adamw"}, {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}),
    ],
)
def test_defaults_of_optimizers(options: dict[str, Any], defaults: dict[str, Any]) -> None:
    config = config_of(train={"optimizer": options})
    assert config.to_dict()["train"]["optimizer"] == options | defaults


@pytest.mark.parametrize(
    ("options", "defaults"),
    [
        ({"name": "step_decay", "constant_epochs": 4}, {"factor": 0.5}),
        ({"name": "plateau"}, {"factor": 0.25, "patience": 0}),
        ({"name": "linear"}, {"warmup_steps": 0, "final_fraction": 0.0}),
        ({"name": "cosine"}, {"warmup_steps": 0, "final_fraction": 0.0}),
        ({"name": "one_cycle"}, {"warmup_fraction": 0.3, "start_fraction": 0.04, "final_fraction": 1e-4}),
    ],
)
def test_defaults_of_schedules(options: dict[str, Any], defaults: dict[str, Any]) -> None:
    config = config_of(train={"schedule": options}, data={"valid": "v.txt"})
    assert config.to_dict()["train"]["schedule"] == options | defaults


@pytest.mark.parametrize(("num_layers", "layers"), [(1, 0.0), (2, 0.5)])
def test_one_dropout_is_for_all_units_and_for_no_words_or_weights(num_layers: int, layers: float) -> None:
    dropout = config_of(model={"dropout": 0.5, "num_layers": num_layers}).model.dropout
    assert dropout == DropoutOptions(input=0.5, layers=layers, output=0.5)
    assert (dropout.words, dropout.recurrent, dropout.latent, dropout.locked) == (0.0, 0.0, 0.0, False)


def test_epochs_may_be_a_part_of_one() -> None:
    assert config_of(train={"epochs": 0.5}).train.epochs == 0.5
    assert isinstance(config_of(train={"epochs": 13}).train.epochs, int)


def test_a_config_is_frozen() -> None:
    config = config_of()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config.model, "hidden_size", 3)  # noqa: B010  (a plain assignment is a type error)
    assert {config: 1}[config_of()] == 1


NESTEROV = {"name": "sgd", "nesterov": True}
STOPPING = {"early_stopping": {"patience": 1}}
ONE_LAYER = {"num_layers": 1, "dropout": {"layers": 0.5}}
CONTRADICTIONS: list[tuple[dict[str, dict[str, Any]], str, str]] = [
    ({"train": {"epochs": None}}, "train.epochs", "give epochs or max_steps"),
    ({"train": {"max_steps": 3}}, "train.max_steps", "both epochs and max_steps"),
    ({"model": {"tie_weights": True, "hidden_size": 9}}, "model.tie_weights", "200 and 9"),
    ({"model": {"tie_weights": True, "softmax": "adaptive"}}, "model.softmax", "no row for each word"),
    ({"model": {"cell": "lstm", "activation": "relu"}}, "model.activation", "cell is lstm"),
    ({"model": {"cell": "gru", "activation": "relu"}}, "model.activation", "cell is gru"),
    ({"model": {"cell": "gru", "forget_gate_bias": 0}}, "model.forget_gate_bias", "of lstm and mogrifier"),
    (
        {"model": {"tie_weights": True, "last_hidden_size": 9}},
        "model.tie_weights",
        "last_hidden_size to be equal (got 200 and 9)",
    ),
    ({"model": {"num_layers": 1, "last_hidden_size": 9}}, "model.last_hidden_size", "num_layers 1"),
    ({"model": {"num_layers": 1, "skip_connections": True}}, "model.skip_connections", "num_layers is 1"),
    (
        {"model": {"last_hidden_size": 9, "skip_connections": True}},
        "model.skip_connections",
        "of one size (got 200 and 9)",
    ),
    ({"model": {"cell": "sru", "dropout": {"recurrent": 0.5}}}, "model.dropout.recurrent", "sru has no"),
    ({"model": ONE_LAYER}, "model.dropout.layers", "num_layers 1"),
    ({"model": {"dropout": {"latent": 0.5}}}, "model.dropout.latent", "only a mixture has"),
    ({"model": {"freeze_embedding": True}}, "model.freeze_embedding", "pretrained"),
    *(
        ({"data": {"context": "line"}, "train": {key: value}}, f"train.{key}", "one running text")
        for key, value in (
            ("random_bptt", True),
            ("partial_shuffle", True),
            ("activation_regularization", 2.0),
            ("temporal_regularization", 1.0),
        )
    ),
    ({"train": {"optimizer": NESTEROV}}, "train.optimizer.nesterov", "momentum"),
    ({"train": {"schedule": {"name": "plateau"}}}, "train.schedule.name", "data.valid"),
    ({"train": {"averaging": {"name": "asgd"}}}, "train.averaging.name", "data.valid"),
    ({"train": STOPPING}, "train.early_stopping", "data.valid"),
    ({"train": STOPPING, "data": {"valid": []}}, "train.early_stopping", "data.valid"),
]


def problems_of(file: Path, values: dict[str, Any]) -> list[str]:
    """The problems of a config written with one section a line."""
    lines = (f"{name}: {json.dumps(value)}" for name, value in values.items())
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return caught.value.problems


@pytest.mark.parametrize(("sections", "key", "words"), CONTRADICTIONS)
def test_contradictions(tmp_path: Path, sections: dict[str, dict[str, Any]], key: str, words: str) -> None:
    values = values_of(**sections)
    [problem] = problems_of(tmp_path / "c.yaml", values)
    line = 1 + list(values).index(key.partition(".")[0])
    assert problem.startswith(f"{tmp_path / 'c.yaml'}:{line}: {key}: ")
    assert words in problem
    with pytest.raises(ValidationError, match=re.escape(words)):
        Config.model_validate(values)


def test_a_mixture_is_tied_whatever_the_hidden_size() -> None:
    model = {"tie_weights": True, "hidden_size": 9, "softmax": "mixture"}
    assert Config.model_validate(values_of(model=model)).model.tie_weights


def test_all_contradictions_come_at_once(tmp_path: Path) -> None:
    model = {**ONE_LAYER, "cell": "gru", "activation": "relu", "tie_weights": True, "hidden_size": 9}
    model |= {"forget_gate_bias": 1.0, "freeze_embedding": True}
    train = {"max_steps": 3, "optimizer": NESTEROV, "schedule": {"name": "plateau"}, **STOPPING}
    problems = problems_of(tmp_path / "c.yaml", values_of(model=model, train=train))
    assert len(problems) == 9


def test_nothing_says_how_long(tmp_path: Path) -> None:
    values = {"name": "x", "data": {"train": "a.txt"}}
    [problem] = problems_of(tmp_path / "c.yaml", values)
    assert problem.startswith(f"{tmp_path / 'c.yaml'}:1: train.epochs: nothing says how long")


@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"init": "lecun_normal", "init_range": 0.2}},
        {"model": {"dropout": 0.5, "num_layers": 1}},
        {"model": {"dropout": {"layers": 0.0}, "num_layers": 1}},
        {"model": {"cell": "concat_elman", "activation": "relu"}},
        {"model": {"tie_weights": True, "hidden_size": 9, "last_hidden_size": 200}},
        {"model": {"num_layers": 1, "hidden_size": 9, "last_hidden_size": 9}},
        {"model": {"freeze_embedding": True, "pretrained_embedding": "v.txt"}},
        {"data": {"valid": "a.txt", "test": "a.txt"}},
        {"data": {"valid": "v.txt"}, "train": {"schedule": {"name": "plateau"}, **STOPPING}},
        {"train": {"optimizer": {**NESTEROV, "momentum": 0.9}}},
        {"train": {"schedule": {"name": "linear", "warmup_steps": 10_000}}},
    ],
)
def test_no_contradictions(sections: dict[str, dict[str, Any]]) -> None:
    values = values_of(**sections)
    config = Config.model_validate(values)
    assert Config.model_validate(config.to_dict()) == config


PROBABILITY = st.floats(0, 1, exclude_max=True)
POSITIVE = st.floats(0, exclude_min=True, allow_infinity=False)
COUNT = st.integers(1, 2**63 - 1)
FILE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8).filter(
    lambda text: Path(text).name
)
CONFIGS = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,8}\Z") | st.just("1e-3"),
        "seed": st.integers(0, 2**63 - 1),
        "data": st.fixed_dictionaries(
            {"train": FILE | st.lists(FILE, min_size=1), "valid": FILE},
            optional={"test": FILE | st.lists(FILE) | st.none(), "max_vocab": COUNT | st.none()},
        ),
        "model": st.fixed_dictionaries(
            {},
            optional={
                "num_layers": st.integers(1, 3),
                "dropout": PROBABILITY,
                "init_range": POSITIVE,
                "pretrained_embedding": FILE | st.none(),
            },
        ),
        "train": st.fixed_dictionaries({"epochs": POSITIVE | COUNT})
        | st.fixed_dictionaries(
            {"max_steps": COUNT},
            optional={
                "optimizer": st.fixed_dictionaries(
                    {"name": st.sampled_from(["adam", "adamw"])},
                    optional={"betas": st.lists(PROBABILITY, min_size=2, max_size=2)},
                ),
                "schedule": st.fixed_dictionaries(
                    {"name": st.sampled_from(["linear", "cosine"])},
                    optional={"final_fraction": PROBABILITY},
                ),
                "early_stopping": st.fixed_dictionaries({"patience": COUNT}) | st.none(),
            },
        ),
        "evaluation": st.fixed_dictionaries({"every": COUNT | st.just("epoch")}),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(CONFIGS)
def test_what_to_yaml_writes_loads_as_an_equal_config(tmp_path: Path, values: dict[str, Any]) -> None:
    config = Config.model_validate(values)
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml(), encoding="utf-8")
    assert load_config(file) == config
    assert load_config(file).to_yaml() == config.to_yaml()


def test_to_yaml_is_fit_to_be_read() -> None:
    text = config_of(model={"dropout": 0.5}, train={"optimizer": {"name": "adam"}}).to_yaml()
    assert text.startswith("name: x\nseed: 1\ndata:\n  train: [a.txt]\n  valid: []\n")
    dropout = "{input: 0.5, layers: 0.5, output: 0.5, words: 0.0, recurrent: 0.0, latent: 0.0, locked: false}"
    assert f"\n  dropout: {dropout}\n" in text
    assert "\n    betas: [0.9, 0.999]\n" in text
    assert text.endswith("\nlogging: {every: 50, samples: 3}\n")
