from pathlib import Path
from typing import get_args

from lmtrain.config import options
from lmtrain.corpus.corpus import build_vocabulary, load_corpus
from lmtrain.corpus.text import TextRules
from lmtrain.run import build
from lmtrain.run.build import Corpora


def test_texts_that_are_read_twice_are_noted(tmp_path: Path) -> None:
    one, two, link = (tmp_path / name for name in ("one.txt", "two.txt", "link.txt"))
    one.write_text("a b\n")
    two.write_text("a b\n")  # the same words, but another file
    link.symlink_to(one)
    rules = TextRules()
    vocab = build_vocabulary([one], rules, cache_dir=tmp_path)

    def notes(train: list[Path], valid: Path, test: Path | None) -> list[str]:
        texts = [load_corpus(paths, vocab, rules, tmp_path) for paths in (train, [valid], [test or valid])]
        return list(Corpora(vocab, texts[0], texts[1], texts[2] if test else None).notes())

    assert notes([one], two, two) == []
    assert notes([one, two], link, None) == [
        f"data.valid: {link} is a text of data.train too ({one}), and not unseen"
    ]
    assert notes([one, one], two, link) == [
        f"data.train names {one} twice",
        f"data.test: {link} is a text of data.train too ({one}), and not unseen",
    ]


def test_every_schedule_can_be_built() -> None:
    assert set(get_args(get_args(options.Schedule)[0])) == set(build._SCHEDULES)
