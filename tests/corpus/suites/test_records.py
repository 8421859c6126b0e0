"""Minimal pairs of JSON lines and tables: what is compared, what it is counted with, what is refused."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lmtrain.corpus.suites.question import ONE_PREFIX, TWO_PREFIXES, WHOLE, Question, Stretch
from lmtrain.corpus.suites.reading import read_questions
from lmtrain.corpus.suites.records import Columns
from lmtrain.errors import DataError, LmtrainError, UsageError

BLIMP: dict[str, Any] = {
    "sentence_good": "The cat sits.",
    "sentence_bad": "The cat sit.",
    "UID": "agreement_1",
    "linguistics_term": "agreement",
    "field": "morphology",
    "simple_LM_method": True,
    "one_prefix_method": True,
    "one_prefix_prefix": "The cat",
    "one_prefix_word_good": "sits",
    "one_prefix_word_bad": "sit",
    "two_prefix_method": True,
    "two_prefix_prefix_good": "The cat",
    "two_prefix_prefix_bad": "The cats",
    "two_prefix_word": "sits",
}


def read(folder: Path, text: str, name: str = "items.jsonl", **columns: Any) -> list[Question]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_questions(path, Columns(**columns))


def test_the_methods_of_blimp(tmp_path: Path) -> None:
    found = read(tmp_path, json.dumps(BLIMP) + "\n")
    assert {q.place.method: tuple(q.stretches) for q in found} == {
        WHOLE: (Stretch("The cat sits.", with_eos=True), Stretch("The cat sit.", with_eos=True)),
        ONE_PREFIX: (Stretch("The cat sits", 7), Stretch("The cat sit", 7)),
        TWO_PREFIXES: (Stretch("The cat sits", 7), Stretch("The cats sits", 8)),
    }
    groups = {"set": "agreement_1", "term": "agreement", "field": "morphology"}
    assert all(q.place.groups == groups and q.place.test == "minimal pairs" for q in found)
    alone = {**BLIMP, "one_prefix_method": False, "two_prefix_method": False}
    assert [q.place.method for q in read(tmp_path, json.dumps(alone))] == [WHOLE]
    without = {**BLIMP, "simple_LM_method": False}
    assert [q.place.method for q in read(tmp_path, json.dumps([without, without]))] == [
        *(ONE_PREFIX, TWO_PREFIXES) * 2
    ]


def test_real_sets(shared_data: Path) -> None:
    counts: Counter[str] = Counter()
    alike = []
    for path in (shared_data / "stimuli" / "blimp").glob("*.jsonl"):
        for question in read_questions(path):
            counts[question.place.method] += 1
            assert question.place.groups["set"] == path.stem
            if question.stretches[0] == question.stretches[1]:
                alike.append(question.place.where.rpartition("/")[2])
    assert alike == ["passive_1.jsonl:325", "passive_1.jsonl:811"]
    assert counts == {WHOLE: 14_000, ONE_PREFIX: 2_000, TWO_PREFIXES: 5_000}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("my.items.csv", 'good,bad,condition\n"a, b",c,x\nd,e,y\n'),
        ("my.csv", '\ufeffGood,Bad,Condition\r\n"a, b",c,x\r\nd,e,y\r\n'),
        ("my.csv", 'good,bad,condition,Good,Condition\n"a, b",c,x,u,v\nd,e,y,u,v\n'),
        ("my.tsv", "condition\tgrammatical\tungrammatical\nx\ta, b\tc\ny\td\te\n"),
        ("my.txt", "sentence_good;sentence_bad;condition\na, b;c;x\nd;e;y\n".replace(";", "\t")),
    ],
)
def test_tables(name: str, text: str, tmp_path: Path) -> None:
    found = read(tmp_path, text, name)
    assert [[s.line for s in q.stretches] for q in found] == [["a, b", "c"], ["d", "e"]]
    assert [dict(q.place.groups) for q in found] == [{"condition": "x"}, {"condition": "y"}]
    assert {(q.place.test, q.place.method) for q in found} == {("my", WHOLE)}
    assert [q.place.where for q in found] == [f"{tmp_path / name}:2", f"{tmp_path / name}:3"]


def test_named_columns_and_a_prefix(tmp_path: Path) -> None:
    text = "yes,no,prefix,list\nsits,sit,the cat,1\nsat,satten,,2\n"
    found = read(tmp_path, text, "t.csv", good="yes", bad="no", by=("list",))
    assert [list(q.stretches) for q in found] == [
        [Stretch("the cat sits", 7), Stretch("the cat sit", 7)],
        [Stretch("sat"), Stretch("satten")],
    ]
    assert [(q.place.method, dict(q.place.groups)) for q in found] == [
        (ONE_PREFIX, {"list": "1"}),
        (ONE_PREFIX, {"list": "2"}),
    ]


@pytest.mark.parametrize(
    ("text", "columns", "error", "complaint"),
    [
        ("a,b\n1,2\n", {}, UsageError, "no good and bad column (sentence_good/sentence_bad"),
        ("a,b\n1,2\n", {"good": "a"}, UsageError, "name them with --good and --bad (there are a, b)"),
        ("a,b\n1,2\n", {"good": "a", "bad": "c"}, UsageError, "no column 'c' (there are a, b)"),
        ("good,bad\n1,2\n", {"by": ("c",)}, UsageError, "no column 'c' (there are good, bad)"),
        ("good,bad\n1, \n", {}, DataError, ":2: no text in 'bad'"),
        ('{"good": "a", "bad": 3}', {}, DataError, ":1: no text in 'bad'"),
        ('{"good": "a", "bad": "b"}\n\n{"good"', {}, DataError, ":3: not JSON"),
        ('{"good": "a", "bad": "b"}\n5\n', {}, DataError, ":2: no JSON object"),
        ("[]", {}, DataError, "there is no pair in it"),
        ("", {}, DataError, "no row beneath the header"),
        (json.dumps({**BLIMP, "two_prefix_word": None}), {}, DataError, "no text in 'two_prefix_word'"),
    ],
)
def test_what_is_refused(
    text: str, columns: dict[str, Any], error: type[LmtrainError], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as refusal:
        read(tmp_path, text, **columns)
    assert complaint in str(refusal.value)
    assert "items.jsonl" in str(refusal.value)
