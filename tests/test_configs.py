"""Every recipe in configs/ holds, says what it is, and trains: as it stands, only smaller."""

import itertools
import math
import re
from pathlib import Path

import pytest

from lmtrain.config import Config, load_config
from lmtrain.run.observer import Observer
from lmtrain.run.train import train
from lmtrain.run.trained import load_model

RECIPES = sorted((Path(__file__).resolve().parents[1] / "configs").glob("*.yaml"))
SMALLER = (
    "model.embedding_dim=8",
    "model.hidden_size=8",
    "model.last_hidden_size=null",
    "train.batch_size=4",
    "train.epochs=null",
    "train.max_steps=4",
)

pytestmark = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def test_a_recipe_round_trips(recipe: Path, tmp_path: Path) -> None:
    config = load_config(recipe)
    resolved = tmp_path / "config.yaml"
    resolved.write_text(config.to_yaml(), encoding="utf-8")
    assert load_config(resolved) == config


def test_a_recipe_is_named_after_its_file(recipe: Path) -> None:
    assert load_config(recipe).name == recipe.stem


def test_a_recipe_says_what_it_is_and_what_it_costs(recipe: Path) -> None:
    lines = recipe.read_text(encoding="utf-8").splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    header = " ".join(line.removeprefix("# ") for line in comment)
    what, costs, how_much = header.partition("Costs ")
    assert len(what.split()) >= 5
    assert costs
    assert re.search(r"\b(seconds|minutes?|hours?)\b.* (one core|2 cores)", how_much)


def test_a_recipe_trains_evaluates_and_writes(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(recipe, SMALLER)
    monkeypatch.chdir(tmp_path)
    _write_texts(config)
    result = train(config, Observer(), run_dir=Path("run"), device="cpu")
    assert result.steps == 4
    assert result.best_loss is not None
    assert (result.test is not None) == bool(config.data.test)

    model = load_model(Path("run"), device="cpu")
    held_out = model.evaluate(config.data.valid[0])
    assert held_out.evaluation.perplexity == pytest.approx(math.exp(result.best_loss), rel=1e-6)
    written = model.generate("the cat", num_words=6).texts[0]
    assert written.startswith("the cat")
    assert set(written.split()) <= set(model.vocab.words)


def _write_texts(config: Config) -> None:
    """Small texts where the recipe expects its own; a generator leaves files that are there alone."""
    words = ("the cat", "a dog", "some bird"), ("sees", "hears"), ("the cat", "a dog", "nothing")
    text = "".join(f"{' '.join(line)}\n" for line in itertools.product(*words))
    for path in (*config.data.train, *config.data.valid, *config.data.test):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
