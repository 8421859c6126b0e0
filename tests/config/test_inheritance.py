"""``base: other.yaml``."""

from pathlib import Path

import pytest
from effort import effort

from lmtrain.config import load_config, load_config_with_origins
from lmtrain.config.options import DropoutOptions
from lmtrain.errors import ConfigError

BASE = """\
name: base
seed: 7
data: {train: [a.txt, b.txt], valid: v.txt}
model:
  hidden_size: 300
  dropout: {output: 0.5}
train:
  epochs: 3
  optimizer: {name: sgd, lr: 2.0, momentum: 0.9}
  schedule: {name: step_decay, constant_epochs: 4}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(BASE)


def child(text: str, name: str = "c.yaml") -> Path:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text("name: child\n" + text)
    return path


def problems_of(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return caught.value.problems


def test_what_is_left_out_comes_from_the_base() -> None:
    config = load_config(child("base: base.yaml\n"))
    assert config.name == "child"
    assert config.to_dict() == load_config(Path("base.yaml")).to_dict() | {"name": "child"}


def test_mappings_are_merged_and_lists_replaced() -> None:
    text = "base: base.yaml\ndata: {train: [c.txt]}\nmodel: {dropout: {input: 0.2}}\ntrain: {bptt_len: 9}\n"
    config = load_config(child(text))
    assert config.data.train == (Path("c.txt"),)
    assert config.data.valid == (Path("v.txt"),)
    assert config.model.hidden_size == 300
    assert config.model.dropout == DropoutOptions(input=0.2, output=0.5)
    assert (config.train.epochs, config.train.bptt_len) == (3, 9)


def test_a_section_of_another_name_is_replaced_and_one_of_the_same_merged() -> None:
    config = load_config(
        child("base: base.yaml\ntrain: {optimizer: {name: adam}, schedule: {name: linear}}\n")
    )
    assert config.train.optimizer.lr == 0.001
    same = load_config(child("base: base.yaml\ntrain: {optimizer: {name: sgd, lr: 1.5}}\n"))
    assert same.train.optimizer.model_dump() == {
        "name": "sgd",
        "lr": 1.5,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0,
    }
    unnamed = load_config(child("base: base.yaml\ntrain: {optimizer: {lr: 0.5}}\n"))
    assert unnamed.train.optimizer.model_dump() == same.train.optimizer.model_dump() | {"lr": 0.5}


def test_null_and_single_values_stand_over_sections() -> None:
    config = load_config(
        child("base: base.yaml\nmodel: {dropout: 0.1}\ntrain: {epochs: null, max_steps: 5}\n")
    )
    assert config.model.dropout == DropoutOptions(input=0.1, layers=0.1, output=0.1)
    assert config.train.max_steps == 5
    assert load_config(child("base: base.yaml\nmodel:\n")).model.hidden_size == 200


def test_paths_of_bases_are_from_the_file_and_of_texts_from_here() -> None:
    child("base: ../base.yaml\nmodel: {hidden_size: 64}\n", "sub/middle.yaml")
    top = child("base: sub/middle.yaml\n", "top.yaml")
    config, origins = load_config_with_origins(top, ["train.epochs=9"])
    assert config.model.hidden_size == 64
    assert config.data.train[0] == Path("a.txt")
    assert origins["name"] == "top.yaml:1"
    assert origins["model.hidden_size"] == "sub/middle.yaml:3"
    assert origins["seed"] == "sub/../base.yaml:2"
    assert origins["model.dropout.layers"] == "default"
    assert origins["train.epochs"] == "--set"
    assert "base" not in config.to_dict()


def test_a_middle_config_hides_the_kind_below_it() -> None:
    """Each config is whole before another one stands on it."""
    child("base: base.yaml\nmodel: {dropout: 0.3}\ntrain: {optimizer: {lr: 4.0}}\n", "middle.yaml")
    config = load_config(
        child("base: middle.yaml\nmodel: {dropout: {output: 0.1}}\ntrain: {optimizer: {name: adam}}\n")
    )
    assert config.model.dropout == DropoutOptions(output=0.1)
    assert config.train.optimizer.lr == 0.001


def test_a_name_is_not_inherited() -> None:
    Path("c.yaml").write_text("base: base.yaml\n")
    [problem] = problems_of(Path("c.yaml"))
    assert problem.startswith("c.yaml:1: name: missing")
    assert load_config(Path("c.yaml"), ["name=other"]).name == "other"


def test_problems_name_the_file_they_are_in() -> None:
    Path("base.yaml").write_text(BASE.replace("seed: 7", "seed: -7").replace("hidden_size", "hiden_size"))
    problems = problems_of(child("base: base.yaml\nmodel: {cell: lsmt}\ntrain: {max_steps: 3}\n"))
    assert [problem.partition("; ")[0] for problem in problems] == [
        "base.yaml:2: seed: too small (got -7)",
        "base.yaml:5: model.hiden_size: unknown key",
        'c.yaml:3: model.cell: unknown choice (got "lsmt")',
        "c.yaml:4: train.max_steps: both epochs and max_steps are given",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("base: missing.yaml", "c.yaml:2: base: missing.yaml cannot be read: No such file or directory"),
        ("base: [base.yaml]", 'c.yaml:2: base: of the wrong kind (got ["base.yaml"]); allowed: a path'),
        ("base: ''", 'c.yaml:2: base: of the wrong kind (got ""); allowed: a path'),
        ("base: '-'", 'c.yaml:2: base: of the wrong kind (got "-"); allowed: a path'),
        ("base: c.yaml", "c.yaml:2: base: a config cannot be its own base: c.yaml → c.yaml"),
        ("base: broken.yaml", "broken.yaml:1: not YAML"),
        ("base: list.yaml", "list.yaml:1: a config is a mapping of keys to values, this is [1]"),
        ("base: *x", 'c.yaml:2: base: the alias "x" is not followed'),
        ("bse: base.yaml", "c.yaml:2: bse: unknown key; did you mean 'base'?"),
        ("model: {base: base.yaml}", "c.yaml:2: model.base: unknown key; it belongs at the top level"),
    ],
)
def test_a_base_that_is_none(line: str, problem: str) -> None:
    Path("broken.yaml").write_text("name: [")
    Path("list.yaml").write_text("[1]")
    problems = problems_of(child(line + "\n"))
    if "unknown" in problem:  # without a base, more is missing
        problems = [each for each in problems if ": missing; " not in each and "nothing says" not in each]
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_a_circle_is_named() -> None:
    child("base: b.yaml\n", "a.yaml")
    child("base: a.yaml\n", "b.yaml")
    child("base: a.yaml\n")
    assert problems_of(Path("c.yaml")) == [
        "b.yaml:2: base: a config cannot be its own base: c.yaml → a.yaml → b.yaml → a.yaml"
    ]


def test_a_long_chain_ends() -> None:
    for i in range(30):
        child(f"base: {i + 1}.yaml\n", f"{i}.yaml")
    [problem] = problems_of(Path("0.yaml"))
    assert "more than 16 configs on each other" in problem


def test_set_cannot_name_a_base() -> None:
    assert problems_of(Path("base.yaml"), "base=other.yaml") == [
        "--set base=other.yaml: base: only a file can name its base"
    ]


def test_a_large_base_is_read_at_once() -> None:
    Path("base.yaml").write_text(BASE + "more:\n" + "".join(f"  key{i}: 1\n" for i in range(9_000)))
    with effort() as made:
        problems_of(child("base: base.yaml\nmore: {key: 1}\n"))
    assert made.calls < 3_000_000
