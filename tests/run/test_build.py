import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from lmtrain.config import config_from_dict, options
from lmtrain.corpus.corpus import build_vocabulary, load_corpus
from lmtrain.corpus.text import TextRules
from lmtrain.errors import DataError
from lmtrain.run import build
from lmtrain.run.build import Corpora, load_corpora


def test_texts_that_are_read_twice_are_noted(tmp_path: Path) -> None:
    one, two, link = (tmp_path / name for name in ("one.txt", "two.txt", "link.txt"))
    one.write_text("a b\n")
    two.write_text("a b\n")  # the same words, but another file
    link.symlink_to(one)
    rules = TextRules()
    vocab = build_vocabulary([one], rules, cache_dir=tmp_path)

    def notes(train: list[Path], valid: Path, test: Path | None) -> list[str]:
        texts = [load_corpus(paths, vocab, rules, tmp_path) for paths in (train, [valid], [test or valid])]
        return list(Corpora(vocab, rules, texts[0], texts[1], texts[2] if test else None).notes())

    assert notes([one], two, two) == []
    assert notes([one, two], link, None) == [
        f"data.valid: {link} is a text of data.train too ({one}), and not unseen"
    ]
    assert notes([one, one], two, link) == [
        f"data.train names {one} twice",
        f"data.test: {link} is a text of data.train too ({one}), and not unseen",
    ]


def test_texts_that_are_missing_are_told_by_key_before_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"\xff not read")
    texts = {"train": tmp_path / "train.txt", "valid": tmp_path / "trian.txt", "test": tmp_path / "gone"}
    data = {name: str(path) for name, path in texts.items()}
    config = config_from_dict({"name": "x", "data": data, "train": {"epochs": 1}}, "test")
    with pytest.raises(DataError) as caught:
        load_corpora(config)
    assert str(caught.value).splitlines() == [
        f"data.valid: {texts['valid']}: no such file; did you mean {texts['train']}?",
        f"  data.test: {texts['test']}: no such file",
    ]


def test_every_schedule_can_be_built() -> None:
    assert set(get_args(get_args(options.Schedule)[0])) == set(build._SCHEDULES)


def test_many_unknown_words_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMTRAIN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "train.txt").write_text("a b c d e f g h i j k l m n o p q r s\n" * 20)
    (tmp_path / "few.txt").write_text("a b c d e f g h i j k l m n o p q r x\n")  # 1 of 20
    (tmp_path / "many.txt").write_text("a b c d e f g h i j k l m n o p q x x\n")
    data = {"train": "train.txt", "valid": "few.txt", "test": "many.txt"}
    paths = {name: str(tmp_path / file) for name, file in data.items()}
    config = config_from_dict({"name": "x", "data": paths, "train": {"epochs": 1}}, "test")
    notes = list(load_corpora(config).unknown_words)
    assert [note.split(" of the")[0] for note in notes] == ["data.test: 10.0%"]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (
            "the cat's dog slept , the cat slept!\n",
            "data.tokenizer: penn would leave about 0.0%",
        ),
        ("The Dog slept\n", "data.lowercase: true would leave about 0.0% of the words"),
        ("the The Dog slept.\n", "data.tokenizer: penn and data.lowercase: true would leave"),
        ("the unicorn slept\n", None),
    ],
)
def test_what_would_make_unknown_words_known(
    text: str, advice: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMTRAIN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "train.txt").write_text("the cat 's dog slept , the cat slept !\n" * 20)
    (tmp_path / "valid.txt").write_text(text * 3)
    data = {name: str(tmp_path / f"{name}.txt") for name in ("train", "valid")}
    config = config_from_dict({"name": "x", "data": data, "train": {"epochs": 1}}, "test")
    (told,) = load_corpora(config).unknown_words
    assert ("would leave" in told) == (advice is not None)
    assert advice is None or advice in told


def test_texts_are_watched_while_they_are_read_for_the_first_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMTRAIN_CACHE", str(tmp_path / "cache"))
    text = b"a b c\n" * 50
    (tmp_path / "train.txt").write_bytes(text)
    (tmp_path / "valid.txt.gz").write_bytes(gzip.compress(text[3:]))
    data = {"train": str(tmp_path / "train.txt"), "valid": str(tmp_path / "valid.txt.gz")}
    config = config_from_dict({"name": "x", "data": data, "train": {"epochs": 1, "batch_size": 2}}, "test")
    told: list[tuple[str, int | None, int]] = []

    def watch(blocks: Iterable[bytes], what: str, size: int | None) -> Iterator[bytes]:
        read = 0
        for block in blocks:
            read += len(block)
            yield block
        told.append((what, size, read))

    load_corpora(config, watch=watch)
    assert told == [
        ("counting words of train.txt", len(text), len(text)),
        ("encoding train.txt", len(text), len(text)),
        ("encoding valid.txt.gz", None, len(text) - 3),
    ]
    load_corpora(config, watch=watch)
    assert len(told) == 3
