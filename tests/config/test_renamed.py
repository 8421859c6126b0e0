"""Keys of old configs by the names they have now."""

from pathlib import Path

import pytest

from lmtrain.config import config_from_dict, load_config
from lmtrain.config.differences import differences
from lmtrain.config.loading import load_config_with_origins
from lmtrain.config.options import DropoutOptions
from lmtrain.errors import ConfigError

TEXT = "name: x\ndata: {train: [a.txt]}\ntrain: {epochs: 1}\nmodel:\n  dropout:\n    "


def written(folder: Path, text: str, name: str = "c.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_dropout_of_the_embedding_is_that_of_the_input(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT + "embedding: 0.3\n")
    config, origins = load_config_with_origins(path)
    assert config.model.dropout == DropoutOptions(input=0.3)
    assert origins["model.dropout.input"] == f"{path}:6"
    assert load_config(path, ["model.dropout.embedding=0.1"]).model.dropout.input == 0.1
    assert load_config(path, ["model.dropout={embedding: 0.2}"]).model.dropout.input == 0.2


def test_a_base_by_the_old_name(tmp_path: Path) -> None:
    written(tmp_path, TEXT + "embedding: 0.3\n", "old.yaml")
    path = written(tmp_path, "base: old.yaml\nname: y\nmodel: {dropout: {input: 0.4}}\n")
    assert load_config(path).model.dropout.input == 0.4


def test_a_snapshot_by_the_old_name(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, TEXT + "input: 0.3\n"))
    old = config.to_dict()
    old["model"]["dropout"]["embedding"] = old["model"]["dropout"].pop("input")
    assert config_from_dict(old, "snapshot") == config
    assert differences(old, config) == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("embedding: 1.5", "c.yaml:6: model.dropout.input: too large"),
        ("embedding: 0.1\n    input: 0.1", "model.dropout.embedding: unknown key"),
    ],
)
def test_what_does_not_hold(lines: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        load_config(written(tmp_path, TEXT + lines + "\n"))
