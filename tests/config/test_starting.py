"""Configs to start from."""

from pathlib import Path

import pytest

from lmtrain.config import Config, load_config
from lmtrain.config.json_schema import SCHEMA_FILE, model_schema, modeline
from lmtrain.config.starting import SIZES, SYNTHETIC, starting_config, texts_of
from lmtrain.corpus.fetching.known import KNOWN_CORPORA as FETCHED
from lmtrain.errors import ConfigError, DataError

RECIPES = Path(__file__).resolve().parents[2] / "configs"


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "new.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_each_holds(size: str, cell: str, tmp_path: Path) -> None:
    text = starting_config(texts_of(["ptb"], FETCHED), size, cell)
    config = loaded(tmp_path, text)
    assert config.name == f"ptb-{cell}-{size}"
    assert config.model.cell == cell
    assert text.splitlines()[0] == modeline(SCHEMA_FILE)


@pytest.mark.parametrize(
    ("corpus", "size", "recipe"),
    [
        ("toy-english", "tiny", "quickstart"),
        ("ptb", "small", "ptb-lstm-small"),
        ("ptb", "medium", "ptb-lstm-medium"),
        ("ptb", "large", "ptb-lstm-large"),
    ],
)
def test_it_trains_as_the_recipe_it_is_after(corpus: str, size: str, recipe: str, tmp_path: Path) -> None:
    new = loaded(tmp_path, starting_config(texts_of([corpus], FETCHED), size, name=recipe))
    assert new == load_config(RECIPES / f"{recipe}.yaml")


def test_comments_are_the_schema_s_own() -> None:
    lines = starting_config(texts_of(["counting"], FETCHED), "small").splitlines()
    of_key = {line.split(":")[0].strip(): line.partition("  # ")[2] for line in lines if "  # " in line}
    schema = model_schema()["$defs"]
    for definition, key in (
        ("TrainOptions", "bptt_len"),
        ("ModelOptions", "init_range"),
        ("SgdOptions", "lr"),
    ):
        assert of_key[key] == schema[definition]["properties"][key]["description"]
    assert of_key["cell"].endswith("(elman, concat_elman, lstm, gru, mogrifier, sru)")
    assert all(line.endswith(":") or "#" in line or not line for line in lines)


@pytest.mark.parametrize("corpus", [*FETCHED, *SYNTHETIC])
def test_known_corpora_lie_in_their_folder(corpus: str) -> None:
    data = texts_of([corpus], FETCHED)
    assert data["train"] == f"data/{corpus}/train.txt"
    assert ("synthetic" in data) == (corpus in ("toy-english", "counting"))


def test_own_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my book").mkdir()
    Path("my book/train.txt").write_text("a\n")
    Path("my book/valid.txt").write_text("a\n")
    assert texts_of(["my book"], FETCHED) == {"train": "my book/train.txt", "valid": "my book/valid.txt"}
    files = ["my book/train.txt", "my book/valid.txt"]
    assert texts_of(files, FETCHED) == {"train": files}
    assert loaded(tmp_path, starting_config(texts_of(files, FETCHED), "tiny")).name == "my-book-lstm-tiny"


@pytest.mark.parametrize(
    ("corpora", "part"),
    [
        (["ptbb"], "ptbb: no such file, folder or corpus; did you mean ptb?"),
        (["nothing.txt"], "known corpora: ptb, wikitext-2, wikitext-103, toy-english, counting"),
        (["empty"], "empty: there is no train.txt in this folder"),
        (["ptb", "counting"], "ptb: no such file;"),
    ],
)
def test_corpora_that_are_none(
    corpora: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(DataError) as caught:
        texts_of(corpora, FETCHED)
    assert part in str(caught.value)


def test_a_name_that_is_none() -> None:
    with pytest.raises(ConfigError, match="the new config: name: does not fit"):
        starting_config(texts_of(["ptb"], FETCHED), "tiny", name="a/b")
