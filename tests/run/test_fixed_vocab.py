"""Runs whose words are a list that was given."""

import shutil
from pathlib import Path

import pytest
from support import fingerprint, last_snapshot, make_corpus, run, settings

from lmtrain.errors import ConfigError, DataError
from lmtrain.run.trained import load_model


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return make_corpus(tmp_path)


def write(corpus: Path, words: list[str]) -> Path:
    path = corpus / "words.txt"
    path.write_text("".join(f"{word} {i}\n" for i, word in enumerate(words)))
    return path


WORDS = ["<eps>", *(f"w{i}" for i in (16, 3, 0, 1)), "never", "<UNK>", "<s>", "</s>"]


def test_ids_are_those_of_the_list(corpus: Path, tmp_path: Path) -> None:
    config = settings(corpus, data__vocab=str(write(corpus, WORDS)))
    whole, half = tmp_path / "run", tmp_path / "half"
    run(config, whole)
    kept = (last_snapshot(whole) / "vocab.txt").read_text().split("\n")
    assert kept == ["<eps>", "w16", "w3", "w0", "w1", "never", "<unk>", "<s>", "<eos>", ""]
    shutil.copytree(whole, half)
    for step in range(6, 15):  # as if it had been killed after 5
        shutil.rmtree(half / "snapshots" / f"step-{step:08d}")
    run(config, half)
    assert fingerprint(half) == fingerprint(whole)
    bands = load_model(whole).evaluate(corpus / "valid.txt").evaluation.bands()
    assert [band.name for band in bands] == ["<eos>", "<unk>"]  # nothing is known of the others' frequency


def test_another_list_is_another_run(corpus: Path, tmp_path: Path) -> None:
    config = settings(corpus, data__vocab=str(write(corpus, WORDS)))
    run(config, tmp_path / "run")
    write(corpus, [*WORDS, "more"])
    with pytest.raises(ConfigError, match="the vocabulary"):
        run(config, tmp_path / "run")


def test_a_model_to_begin_from_has_to_have_the_same_words(corpus: Path, tmp_path: Path) -> None:
    config = settings(corpus, data__vocab=str(write(corpus, WORDS)))
    base = tmp_path / "base"
    run(config, base)
    run(config, tmp_path / "next", start_from=base)
    write(corpus, [*WORDS, "more"])
    with pytest.raises(ConfigError, match="other words than those of the model to begin from"):
        run(config, tmp_path / "last", start_from=base)


def test_a_list_of_other_words_is_refused(corpus: Path, tmp_path: Path) -> None:
    path = write(corpus, ["a", "<unk>", "<eos>"])
    with pytest.raises(DataError, match=r"words.txt: knows no word of the training text"):
        run(settings(corpus, data__vocab=str(path)), tmp_path / "run")


def test_that_words_are_those_of_a_list_goes_with_them(corpus: Path, tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "next"
    run(settings(corpus, data__vocab=str(write(corpus, WORDS)), train__max_steps=1), base)
    assert not load_model(base).vocab.is_by_frequency
    run(settings(corpus, train__max_steps=1), out, start_from=base)
    model = load_model(out)
    assert model.config.data.vocab is None
    assert not model.vocab.is_by_frequency
    rows = (out / "tensorboard" / "metadata.tsv").read_text().splitlines()[1:]
    counts = [int(row.split("\t")[1]) for row in rows]
    assert counts == sorted(counts, reverse=True)
    sampled = settings(corpus, model__softmax="sampled", train__max_steps=1)
    with pytest.raises(ConfigError, match="are not in order of frequency"):
        run(sampled, tmp_path / "sampled", start_from=base)


@pytest.mark.parametrize("key", ["data__max_vocab", "data__min_count", "data__extend_vocab"])
def test_words_are_fixed_or_counted(key: str, corpus: Path, tmp_path: Path) -> None:
    path = write(corpus, WORDS)
    value = True if key.endswith("extend_vocab") else 5
    with pytest.raises(ConfigError, match="the words of a list are fixed"):
        run(settings(corpus, data__vocab=str(path), **{key: value}), tmp_path / "run")


def test_a_list_is_in_no_order_of_frequency(corpus: Path, tmp_path: Path) -> None:
    path = str(write(corpus, WORDS))
    with pytest.raises(ConfigError, match="in clusters by frequency"):
        run(settings(corpus, data__vocab=path, model__softmax="adaptive"), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"sampled\.distribution: unigram"):
        run(settings(corpus, data__vocab=path, model__softmax="sampled"), tmp_path / "run")
