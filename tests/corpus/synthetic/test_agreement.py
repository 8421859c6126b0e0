"""Questions about verbs are of the grammar of toy-english, and those of judge."""

from dataclasses import replace
from pathlib import Path

import pytest

from lmtrain.corpus.suites import reading
from lmtrain.corpus.suites.question import ONE_PREFIX
from lmtrain.corpus.suites.reading import read_questions
from lmtrain.corpus.synthetic.agreement import ATTRACTORS, Item, agreement_items, missing_words
from lmtrain.corpus.synthetic.synthetic import toy_english
from lmtrain.corpus.synthetic.toy_english import toy_english_rules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import DataError

WORDS = sorted({word for rules in toy_english_rules().values() for rule in rules for word in rule.words})
VOCAB = Vocabulary((*(word for word in WORDS if word != "<eos>"), "<eos>", "<unk>"))
EACH = 20


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return agreement_items(EACH, seed=1)


def test_the_items_are_of_the_grammar(items: list[Item]) -> None:
    grammar = toy_english()
    for item in items:
        *before, verb = (*item.before, item.verb)
        for word, is_possible in ((verb, True), (item.wrong, False)):
            with pytest.raises(DataError) as refusal:  # of "<no word>", or already of the wrong form
                grammar.parse([*before, word, "<no word>"])
            assert ("<no word>'" in str(refusal.value).split(":")[0]) == is_possible
    counts = [sum(item.attractors == number for item in items) for number in ATTRACTORS]
    assert counts == [EACH] * len(ATTRACTORS)
    assert all(item.nearest_agrees for item in items if item.attractors == 0)
    assert not all(item.nearest_agrees for item in items if item.attractors == 1)


def test_the_same_seed_gives_the_same_items(items: list[Item]) -> None:
    assert agreement_items(EACH, seed=1) == items != agreement_items(EACH, seed=2)


def test_missing_words() -> None:
    assert missing_words(VOCAB) == []
    assert "walruses" in missing_words(Vocabulary(("the", "<eos>", "<unk>")))


def test_toy_english_is_a_file_of_judge(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_VERBS", EACH)
    monkeypatch.chdir(tmp_path)
    questions = read_questions(Path("toy-english"))
    numbered = [item.pair.place for item in items]
    numbered = [replace(place, item=str(i)) for i, place in enumerate(numbered, 1)]
    assert questions == [replace(item.pair, place=at) for item, at in zip(items, numbered, strict=True)]
    assert {q.place.method for q in questions} == {ONE_PREFIX}
    for item, question in zip(items, questions, strict=True):
        good, bad = question.stretches
        assert good.line.split() == [*item.before, item.verb]
        assert bad.line[bad.start :].split() == [item.wrong]
        nearest = "agrees" if item.nearest_agrees else "misleads"
        assert question.place.groups == {"attractors": str(item.attractors), "nearest noun": nearest}
    (tmp_path / "toy-english").write_text("good\tbad\na\tb\n", encoding="utf-8")
    assert len(read_questions(Path("toy-english"))) == 1  # a file of this name goes first
