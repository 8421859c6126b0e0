"""Verbs of a corpus: both forms after the words before them, by attractors; files that do not fit."""

from collections import Counter
from pathlib import Path

import pytest

from lmtrain.corpus.suites.question import ONE_PREFIX, Stretch
from lmtrain.corpus.suites.reading import read_files, read_questions
from lmtrain.errors import DataError

GULORDAVA = "L!NOUN\t0\t{item}\t2\tVERB\tNumber=Sing\t{right}\t{wrong}\tsit\t1\tNOUN\tThe cat sits\n"
TAB = (
    "form\tclass\ttype\tn_attr\n"
    "sits\tcorrect\toriginal\t0\nsit\twrong\toriginal\t0\nsings\tcorrect\tgenerated\t1\nsing\twrong\tgenerated\t1\n"
)


def written(folder: Path, text: str, gold: str, tab: str | None = None) -> Path:
    (folder / "my.text").write_text(text, encoding="utf-8")
    (folder / "my.gold").write_text(gold, encoding="utf-8")
    if tab is not None:
        (folder / "my.tab").write_text(tab, encoding="utf-8")
    return folder / "my.gold"


def test_linzens(tmp_path: Path) -> None:
    path = written(tmp_path, "the cat sits . <eos>\nIs it <eos>\n", "2\tsits\tsit\t3\n0\tIs\tAre\t0\n")
    first, second = read_questions(path)
    assert first.stretches == (Stretch("the cat sits", 7), Stretch("the cat sit", 7))
    assert (first.place.test, first.place.method, first.place.groups) == (
        "my",
        ONE_PREFIX,
        {"attractors": "3"},
    )
    assert second.stretches == (Stretch("Is"), Stretch("Are"))
    assert [q.stretches for q in read_questions(tmp_path / "my.text")] == [first.stretches, second.stretches]


def test_forms_are_in_the_case_of_the_sentence(tmp_path: Path) -> None:
    path = written(tmp_path, "here are cats <eos>\n", "1\tAre\tIs\t0\n")
    assert [s.line for s in read_questions(path)[0].stretches] == ["here are", "here is"]


def test_gulordavas_right_form_is_put_in(tmp_path: Path) -> None:
    text = "The cat sits . <eos>\nThe dog hums it . <eos>\n"
    gold = GULORDAVA.format(item=0, right="sits", wrong="sit")
    gold += GULORDAVA.format(item=1, right="sings", wrong="sing")
    path = written(tmp_path, text, gold)
    assert [q.place.groups for q in read_questions(path)] == [{}, {}]
    first, second = read_questions(written(tmp_path, text, gold, TAB))
    assert [s.line for s in second.stretches] == ["The dog sings", "The dog sing"]
    assert [q.place.groups for q in (first, second)] == [
        {"attractors": "0", "type": "original"},
        {"attractors": "1", "type": "generated"},
    ]


@pytest.mark.parametrize(
    ("gold", "tab", "complaint"),
    [
        ("2\tsits\tsit\t3\n" * 2, None, "2 lines, where"),
        ("3\tsits\tsit\t3\n", None, "my.gold:1: position '3', where the sentence has 3 words, from 0"),
        ("x\tsits\tsit\t3\n", None, "position 'x'"),
        ("2\tsits\tsit\n", None, "my.gold:1: 3 columns; there are 4 (Linzen) or 12 (Gulordava)"),
        (GULORDAVA.format(item=0, right="sits", wrong="sit"), TAB, "4 rows, where there are 1 verbs"),
        (GULORDAVA.format(item=0, right="sits", wrong="sit"), "form\ntype\n", "no column 'n_attr'"),
        (
            GULORDAVA.format(item=0, right="sat", wrong="sit"),
            "".join(TAB.splitlines(keepends=True)[:3]),
            "my.gold:1: sat, sit, where",
        ),
    ],
)
def test_files_that_do_not_fit(gold: str, tab: str | None, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refusal:
        read_questions(written(tmp_path, "the cat sits <eos>\n", gold, tab))
    assert complaint in str(refusal.value)


def test_a_missing_half(tmp_path: Path) -> None:
    path = written(tmp_path, "the cat sits <eos>\n", "2\tsits\tsit\t3\n")
    (tmp_path / "my.text").unlink()
    with pytest.raises(DataError, match=r"my\.text: "):
        read_questions(path)


def test_both_halves_are_one_file(tmp_path: Path) -> None:
    path = written(tmp_path, "the cat sits <eos>\n", "2\tsits\tsit\t3\n")
    assert len(read_files([path, path.with_suffix(".text"), path])) == 1


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "stimuli" / "agreement"
    linzen, gulordava = (read_questions(folder / f"{name}.gold") for name in ("linzen", "generated"))
    counts = Counter(q.place.groups["attractors"] for q in linzen)
    assert counts == {"0": 1067, "1": 1070, "2": 1013, "3": 685, "4": 165}
    assert Counter(q.place.groups["attractors"] for q in gulordava) == {"0": 330, "1": 70, "2": 10}
    assert Counter(q.place.groups["type"] for q in gulordava) == {"generated": 369, "original": 41}
    texts = [line.split() for line in (folder / "linzen.text").read_text("utf-8").splitlines()]
    for question, words in zip(linzen, texts, strict=True):
        good = question.stretches[0].line.split()
        assert good == words[: len(good)]
