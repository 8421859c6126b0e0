"""``lmtrain config``; what a config is refused for stands in test_bad_input."""

import re
from pathlib import Path

import yaml
from program import CONFIG, files_in, lmtrain


def test_validate(project: Path) -> None:
    before = files_in(project)
    outcome = lmtrain("config", "validate", "config.yaml", folder=project)
    assert (outcome.code, outcome.out, outcome.err) == (0, "config.yaml: holds\n", "")
    assert files_in(project) == before


def test_validate_with_overrides(project: Path) -> None:
    outcome = lmtrain("config", "validate", "config.yaml", "--set", "train.lr=1", folder=project)
    assert outcome.code == 2
    assert "--set train.lr=1: train.lr: unknown key" in outcome.err


def test_show_is_yaml_with_the_origin_of_each_value(project: Path) -> None:
    outcome = lmtrain("config", "show", "config.yaml", "--set", "train.optimizer.lr=2", folder=project)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    origins = dict(re.split(r" +# ", line) for line in lines if "#" in line)
    assert origins["name: tiny"] == "config.yaml:1"
    assert origins["  hidden_size: 7"] == "config.yaml:3"
    assert origins["    lr: 2.0"] == "--set"
    assert origins["seed: 1"] == "default"
    assert len({line.index("# ") for line in lines if "#" in line}) == 1  # they stand in one column


def test_what_show_prints_is_the_same_config(project: Path) -> None:
    shown = lmtrain("config", "show", "config.yaml", folder=project).out
    (project / "shown.yaml").write_text(shown)
    again = lmtrain("config", "show", "shown.yaml", folder=project)
    assert again.code == 0
    assert yaml.safe_load(again.out) == yaml.safe_load(shown)
    assert "default" not in again.out


def test_a_config_from_standard_input(tmp_path: Path) -> None:
    outcome = lmtrain("config", "validate", "-", folder=tmp_path, stdin=CONFIG.encode())
    assert (outcome.code, outcome.out) == (0, "-: holds\n")
    outcome = lmtrain("config", "validate", "-", folder=tmp_path, stdin=b"name: [")
    assert outcome.code == 2
    assert "-:1: not YAML" in outcome.err
