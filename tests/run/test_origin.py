"""Runs that begin from the weights of another model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from support import Silent, fingerprint, last_snapshot, make_corpus, run, settings, trained_in

from lmtrain.errors import ConfigError, UsageError

STILL = {"train__optimizer": {"name": "sgd", "lr": 1e-30}, "train__max_steps": 1}
"""Changes no weight that is not zero."""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("LMTRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts with words of the first, in another order of frequency, and new ones."""
    folder = tmp_path_factory.mktemp("other")
    for name in ("train", "valid", "test"):
        (folder / f"{name}.txt").write_text("w16 new w1 w4 newer\nnew new w0\nnewest w9 w8 w13\n" * 20)
    return folder


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(last_snapshot(run_dir) / "model.safetensors")


def words(run_dir: Path) -> list[str]:
    return (last_snapshot(run_dir) / "vocab.txt").read_text().splitlines()


KINDS: dict[str, dict[str, Any]] = {
    "untied": {},
    "tied": {"model__tie_weights": True, "model__embedding_dim": 7},
    "sampled": {"model__softmax": "sampled", "model__sampled": {"num_samples": 5}},
    "mixture, averaged": {
        "model__softmax": "mixture",
        "model__mixture": {"components": 2},
        "model__tie_weights": True,
        "train__averaging": {"name": "ema", "decay": 0.8},
    },
    "gru, adam": {"model__cell": "gru", "train__optimizer": {"name": "adam", "lr": 0.01}},
}


@pytest.mark.parametrize("extend", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_words_are_taken_and_the_run_resumes(
    kind: str, extend: bool, corpus: Path, other: Path, tmp_path: Path
) -> None:
    changes = {**KINDS[kind], "data__extend_vocab": extend}
    base = trained_in(tmp_path / "base", corpus, **KINDS[kind], train__max_steps=3)
    best = Path(tmp_path / "base" / "snapshots")
    begun = tmp_path / "begun"
    run(settings(other, **{**changes, **STILL}), begun, start_from=base)
    new = ["new", "newer", "newest"] if extend else []
    assert words(begun) == words(base) + new
    fresh = tmp_path / "fresh"  # with as many words, and the same seed
    (tmp_path / "words").mkdir()
    others = [word for word in words(begun) if word != "<eos>"]
    for name in ("train", "valid", "test"):
        (tmp_path / "words" / f"{name}.txt").write_text(" ".join(others) + "\n" + "w1\n" * 30)
    run(settings(tmp_path / "words", **{**KINDS[kind], **STILL}), fresh)
    assert len(words(fresh)) == len(words(begun))
    drawn, found, taken = weights(fresh), weights(begun), weights(base)
    for name, weight in found.items():
        n = len(taken[name])
        torch.testing.assert_close(weight[:n], taken[name], rtol=0, atol=1e-20)
        torch.testing.assert_close(weight[n:], drawn[name][n:], rtol=0, atol=1e-20)
    assert json.loads((begun / "environment.json").read_text())["from"]["snapshot"].startswith(str(best))

    whole, halved = tmp_path / "whole", tmp_path / "halved"
    run(settings(other, **changes), whole, start_from=base)
    shutil.rmtree(base)
    shutil.copytree(whole, halved)
    for step in range(6, 15):  # as if it had been killed after 5
        shutil.rmtree(halved / "snapshots" / f"step-{step:08d}")
    run(settings(other, **changes), halved, start_from=base)
    assert fingerprint(halved) == fingerprint(whole)
    observer = Silent()
    assert run(settings(other, **changes), halved, observer).was_finished


def test_what_does_not_fit_is_refused(corpus: Path, other: Path, tmp_path: Path) -> None:
    base = trained_in(tmp_path / "base", corpus, train__max_steps=2)
    another = trained_in(tmp_path / "another", corpus, train__max_steps=3)
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=r"layers\.0\.bias: \(28,\) there, \(36,\) here"):
        run(settings(other, model__hidden_size=9), out, start_from=base)
    with pytest.raises(ConfigError, match=r"model\.cell: lstm there, gru here"):
        run(settings(other, model__cell="gru"), out, start_from=base)
    capped = {"model__cell": "mogrifier", "model__mogrifier": {"rounds": 1, "cap_input_gate": True}}
    mogrifier = trained_in(tmp_path / "mogrifier", corpus, train__max_steps=2, **capped)
    with pytest.raises(ConfigError, match=r"model\.mogrifier: .*True.* there, .*False.* here"):
        run(
            settings(other, model__cell="mogrifier", model__mogrifier={"rounds": 1}),
            out,
            start_from=mogrifier,
        )
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("1 6\nw1 1 2 3 4 5 6\n")
    with pytest.raises(ConfigError, match="has word vectors already"):
        run(settings(other, model__pretrained_embedding=str(vectors)), out, start_from=base)
    with pytest.raises(UsageError, match="name it with --from"):
        run(settings(other, data__extend_vocab=True), out)
    with pytest.raises(ConfigError, match="none can be added"):
        run(settings(other, data__extend_vocab=True, model__softmax="adaptive"), out, start_from=base)
    assert not list(out.glob("snapshots/*"))
    run(settings(other, train__max_steps=2), out, start_from=base)
    with pytest.raises(ConfigError, match="began from another model"):
        run(settings(other, train__max_steps=4), out, start_from=another)
    with pytest.raises(ConfigError, match="did not begin from a model"):
        run(settings(corpus, train__max_steps=4), base, start_from=another)
