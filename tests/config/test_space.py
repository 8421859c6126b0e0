"""What a sweep varies."""

from pathlib import Path
from typing import Any

import pytest

from lmtrain.config.document import Document
from lmtrain.config.space import Choice, Range, Space
from lmtrain.errors import ConfigError

CONFIG = """\
name: base
data: {train: a.txt, valid: v.txt}
model: {tie_weights: true, dropout: 0.1}
train: {epochs: 3, optimizer: {name: adam}}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(CONFIG)


def space_of(text: str, *overrides: str) -> Space:
    Path("s.yaml").write_text(text)
    document = Document(Path("c.yaml"))
    for override in overrides:
        document.override(override)
    return Space(document, Path("s.yaml"))


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError, match="the space does not hold") as caught:
        space_of(text)
    return caught.value.problems


GOOD = """\
train.optimizer.lr: {float: [1e-4, 1], log: true}
model.hidden_size, model.embedding_dim: {int: [100, 400], step: 50}
model.dropout: {float: [0, 0.7], step: 0.1}
model.cell: {choice: [lstm, gru]}
train.optimizer: {choice: [{name: adam, lr: 0.1}, {name: sgd}]}
"""


def test_what_is_read() -> None:
    space = space_of(GOOD)
    assert [(p.name, p.values) for p in space.parameters] == [
        ("train.optimizer.lr", Range(1e-4, 1, is_whole=False, is_log=True)),
        ("model.hidden_size, model.embedding_dim", Range(100, 400, is_whole=True, step=50)),
        ("model.dropout", Range(0, 0.7, is_whole=False, step=0.1)),
        ("model.cell", Choice(("lstm", "gru"))),
        ("train.optimizer", Choice(({"name": "adam", "lr": 0.1}, {"name": "sgd"}))),
    ]
    assert space.base.model.hidden_size == 200


def test_a_config_with_values_and_how_to_set_them() -> None:
    space = space_of("\n".join(GOOD.splitlines()[:4]), "seed=5")
    values: dict[str, Any] = {
        "train.optimizer.lr": 1e-05,
        "model.hidden_size, model.embedding_dim": 150,
        "model.dropout": 0.2,
        "model.cell": "gru",
    }
    assert space.assignments(values) == [
        *("train.optimizer.lr=1e-05", "model.hidden_size=150", "model.embedding_dim=150"),
        *("model.dropout=0.2", 'model.cell="gru"'),
    ]
    config = space.config(values)
    assert (config.seed, config.model.hidden_size, config.model.embedding_dim) == (5, 150, 150)
    assert config.train.optimizer.lr == 1e-5
    assert config.model.cell == "gru"
    assert space.base.model.cell == "lstm"


def test_values_that_do_not_go_together_are_told_when_they_meet() -> None:
    space = space_of("model.hidden_size: {int: [100, 400]}\nmodel.embedding_dim: {int: [100, 400]}\n")
    with pytest.raises(ConfigError, match="tied weights need"):
        space.config({"model.hidden_size": 100, "model.embedding_dim": 101})


def test_all_problems_come_at_once() -> None:
    assert problems_of(
        """\
model.hiden_size: {int: [1, 3]}
model.cell: {choice: [lstm, grru]}
model.num_layers: {int: [0, 2]}
model.dropout: {float: [0, 1.5]}
model.init_range: {float: [2, 1]}
seed: {int: [1.5, 2]}
train.bptt_len: {int: [1, 9], lgo: true}
train.epochs: [1, 2]
train.optimizer.lr: {float: [0, 1], log: true}
train.max_grad_norm: {float: [1, 2], log: true, step: 0.5}
train.batch_size: {int: [1, 2], float: [1, 2]}
model: {hidden_size: {int: [1, 2]}}
train.optimizer.momentum: {choice: [0.9]}
model.init: {choice: []}
model.dropout.output: {float: [0, 0.5]}
"""
    ) == [
        "s.yaml:1: model.hiden_size: unknown key; did you mean 'hidden_size'?",
        's.yaml:2: model.cell: unknown choice (got "grru"); allowed: elman, concat_elman, lstm, gru, '
        "mogrifier, sru",
        "s.yaml:3: model.num_layers: too small (got 0); allowed: a whole number > 0 and <= 1000",
        "s.yaml:4: model.dropout: too large (got 1.5); "
        "allowed: a number >= 0 and < 1 or a mapping with input, layers, output, words, "
        "recurrent, latent, locked",
        "s.yaml:5: model.init_range: float: the low end comes first (got [2, 1])",
        "s.yaml:6: seed: int: of the wrong kind (got [1.5, 2]); allowed: [low, high], each a whole number",
        "s.yaml:7: train.bptt_len: \"lgo\": unknown key; did you mean 'log'?",
        "s.yaml:8: train.epochs: of the wrong kind (got [1, 2]); "
        "allowed: {float: [low, high]}, {int: [low, high]} or {choice: [a, b]}",
        "s.yaml:9: train.optimizer.lr: log: a logarithmic range begins above 0 (got [0, 1])",
        "s.yaml:10: train.max_grad_norm: step: a logarithmic range has no steps; "
        "leave out one of log and step",
        's.yaml:11: train.batch_size: of the wrong kind (got {"int": [1, 2], "float": [1, 2]}); '
        "allowed: {float: [low, high]}, {int: [low, high]} or {choice: [a, b]}",
        's.yaml:12: model: of the wrong kind (got {"hidden_size": {"int": [1, 2]}}); '
        "allowed: {float: [low, high]}, {int: [low, high]} or {choice: [a, b]}",
        "s.yaml:13: train.optimizer.momentum: unknown key; allowed: name, lr, betas, eps, weight_decay",
        "s.yaml:14: model.init: choice: of the wrong kind (got []); allowed: a list of values",
        "s.yaml:15: model.dropout.output: has no keys, it is 0.1; set it as a whole",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "s.yaml:1: a space is a mapping of keys to {float"),
        ("[1]", "s.yaml:1: a space is a mapping"),
        ("seed: {", "s.yaml:1: not YAML"),
        ("seed: {int: [1, 2]}\nseed: {int: [1, 2]}", "s.yaml:2: seed: given twice"),
        ("seed: {int: [1, 2]}\n'seed, train.bptt_len': {int: [1, 2]}", "s.yaml:2: seed: varied twice"),
        ("seed: *x", 's.yaml:1: seed: the alias "x" is not followed'),
        ("seed: {float: [.nan, 1]}", "seed: float: of the wrong kind (got [NaN, 1])"),
        ("seed: {int: [1, 2], log: 1}", "seed: log: of the wrong kind (got 1); allowed: true or false"),
        (
            "model.hidden_size: {int: [5, 16], step: 4}",
            "model.hidden_size: step: 16 is not 5 + a multiple of 4; end with 13",
        ),
        (
            "model.dropout: {float: [0, 0.75], step: 0.1}",
            "model.dropout: step: 0.75 is not 0 + a multiple of 0.1; end with 0.7",
        ),
        (
            "seed: {int: [1, 2], step: 0}",
            "seed: step: of the wrong kind (got 0); allowed: a whole number > 0",
        ),
    ],
)
def test_a_file_that_is_no_space(text: str, problem: str) -> None:
    problems = problems_of(text)
    assert len(problems) == 1
    assert problem in problems[0]


def test_a_config_that_does_not_hold_is_said_first() -> None:
    with pytest.raises(ConfigError, match=r"the config does not hold:\n  --set seed=x: seed: "):
        space_of("seed: {int: [1, 2]}", "seed=x")
