"""``lmtrain config``; what a config is refused for stands in test_bad_input."""

import io
import json
import re
from pathlib import Path
from unittest.mock import patch

import pytest
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


def test_show_names_the_file_of_a_base(project: Path) -> None:
    (project / "child.yaml").write_text("base: config.yaml\nname: child\nmodel: {hidden_size: 9}\n")
    outcome = lmtrain("config", "show", "child.yaml", folder=project)
    origins = dict(re.split(r" +# ", line) for line in outcome.out.splitlines() if "#" in line)
    assert origins["  hidden_size: 9"] == "child.yaml:3"
    assert origins["  embedding_dim: 6"] == "config.yaml:3"
    assert "base" not in yaml.safe_load(outcome.out)


def test_a_config_with_a_base_trains(project: Path) -> None:
    (project / "child.yaml").write_text("base: config.yaml\nname: child\ntrain: {epochs: 1}\n")
    assert lmtrain("train", "--config", "child.yaml", folder=project).code == 0
    assert yaml.safe_load((project / "runs/child/config.yaml").read_text())["model"]["hidden_size"] == 7


def test_schema(tmp_path: Path) -> None:
    outcome = lmtrain("config", "schema", folder=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert "base" in json.loads(outcome.out)["properties"]


def test_new_prints_a_config_that_trains(project: Path) -> None:
    texts = ["--corpus", "train.txt", "--valid", "valid.txt", "--test", "test.txt"]
    outcome = lmtrain("config", "new", *texts, "--size", "tiny", "--cell", "gru", folder=project)
    assert (outcome.code, outcome.err) == (0, "")
    (project / "new.yaml").write_text(outcome.out)
    shorter = ["--set", "train.epochs=1", "--set", "train.batch_size=4"]
    assert lmtrain("train", "--config", "new.yaml", *shorter, folder=project).code == 0


def test_new_writes_a_file_once_and_the_schema_beside_it(tmp_path: Path) -> None:
    new = ["config", "new", "--corpus", "ptb", "--out", "my run.yaml"]
    outcome = lmtrain(*new, folder=tmp_path)
    assert (outcome.code, outcome.out) == (0, "")
    written = files_in(tmp_path)
    assert set(written) == {"my run.yaml", "lmtrain.schema.json"}
    assert yaml.safe_load(written["my run.yaml"])["name"] == "my-run"
    again = lmtrain(*new, folder=tmp_path)
    assert again.code == 2
    assert "my run.yaml: is there already, and nothing is overwritten" in again.err
    assert files_in(tmp_path) == written
    assert lmtrain("config", "validate", "my run.yaml", folder=tmp_path).code == 0


@pytest.mark.parametrize(
    ("options", "code", "part"),
    [
        ([], 2, "name a corpus, such as --corpus ptb"),
        (["--corpus", "ptbb"], 3, "did you mean ptb?"),
        (["--corpus", "ptb", "--size", "huge"], 2, "huge"),
        (["--corpus", "ptb", "--name", "a/b"], 2, "the new config: name: does not fit"),
        (["--corpus", "ptb", "--out", "missing/new.yaml"], 6, "missing/new.yaml: cannot be written"),
    ],
)
def test_new_refuses(options: list[str], code: int, part: str, tmp_path: Path) -> None:
    outcome = lmtrain("config", "new", *options, folder=tmp_path)
    assert outcome.code == code
    assert part in outcome.err
    assert files_in(tmp_path) == {}


def test_new_asks_a_person(tmp_path: Path) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    with patch.object(io, "TextIOWrapper", Terminal):
        outcome = lmtrain("config", "new", folder=tmp_path, stdin=b"ptb\nhuge\nmedium\n")
    assert outcome.code == 0
    assert yaml.safe_load(outcome.out)["name"] == "ptb-lstm-medium"
    assert outcome.err.count("size (tiny, small, medium, large) [small]:") == 2
