"""N-best lists as SRILM's nbest-format(5) and NeMo describe them."""

import gzip
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lmtrain.corpus.nbest import Hypothesis, NbestList, References, begin_with_ids, nbest_lists
from lmtrain.errors import DataError, UsageError

BYTELOG = 1024 * math.log(1.0001)
TEN = math.log(10)


def fail(error: DataError) -> None:
    raise error


def read(path: Path, text: str, beam_size: int | None = None) -> list[NbestList]:
    path.write_text(text)
    return lists_at(path, beam_size)


def lists_at(
    path: Path,
    beam_size: int | None = None,
    refuse: Callable[[DataError], object] = fail,
    tell: Callable[[bytes], object] | None = None,
) -> list[NbestList]:
    return [each for group in nbest_lists(path, beam_size, refuse, tell) for each in group]


def seen(lists: list[NbestList]) -> list[list[str]]:
    return [[each.text for each in one.hypotheses] for one in lists]


def test_srilm(tmp_path: Path) -> None:
    text = "-120.5 -8.25 3 the old cat\n-1e2 -9 1 -pau- <s> cat </s>\n\n\n-3\t-4\t0\n"
    first, second = read(tmp_path / "a", text)
    assert first.hypotheses[0] == Hypothesis(
        "the old cat", -120.5 * TEN, -8.25 * TEN, 3, f"{tmp_path / 'a'}:1"
    )
    assert first.hypotheses[1].num_words == 1
    assert seen([second]) == [[""]]


def test_marks_and_pauses_are_no_words(tmp_path: Path) -> None:
    text = "-1 -2 2 <s> the -pau- cat </s>\n-1 -2 0 <s> </s>\n-1 -2 2 <s>the cat\n"
    assert seen(read(tmp_path / "a", text)) == [["the cat", "", "<s>the cat"]]


def test_decipher_1(tmp_path: Path) -> None:
    text = "NBestList1.0\n(-100) the cat\n(-90.5) -pau- cat\nNBestList1.0\nNBestList1.0\n(0)\n"
    lists = read(tmp_path / "a", text)
    assert seen(lists) == [["the cat", "cat"], [], [""]]
    assert lists[0].hypotheses[1].acoustic == pytest.approx(-90.5 * BYTELOG)
    assert [each.num_words for each in lists[0].hypotheses] == [2, 1]


def test_decipher_2(tmp_path: Path) -> None:
    """With the phones of a word, which lie within its time."""
    text = (
        "NBestList2.0\n"
        "(-500) the ( st: 0.00 et: 0.20 g: -10 a: -100 ) dh ( st: 0.00 et: 0.10 g: 0 a: -60 ) "
        "ax ( st: 0.10 et: 0.20 g: 0 a: -40 ) cat ( st: 0.20 et: 0.60 g: -20 a: -200 )\n"
    )
    (only,) = read(tmp_path / "a", text)
    (hypothesis,) = only.hypotheses
    assert (hypothesis.text, hypothesis.num_words) == ("the cat", 2)
    assert hypothesis.acoustic == pytest.approx(-300 * BYTELOG)
    assert hypothesis.first_pass == pytest.approx(-30 * BYTELOG)


def test_beams(tmp_path: Path) -> None:
    text = "the cat\t-1.5\n\t-2\nthe\t-3\nmat\t-4\ncat\t-5\n"
    assert seen(read(tmp_path / "a", text, 2)) == [["the cat", ""], ["the", "mat"], ["cat"]]
    (whole,) = read(tmp_path / "a", text)
    assert [each.acoustic for each in whole.hypotheses] == [-1.5, -2, -3, -4, -5]
    assert seen(read(tmp_path / "a", "a\t-1\n\nb\t-2\n")) == [["a"], ["b"]]


def test_a_folder_has_a_list_a_file(tmp_path: Path) -> None:
    (tmp_path / "utt2.nbest.gz").write_bytes(gzip.compress(b"-1 -2 1 cat\n-1 -2 1 mat\n"))
    (tmp_path / "utt1.5.nbest").write_text("NBestList1.0\n(-1) the\n")
    lists = lists_at(tmp_path)
    assert [each.name for each in lists] == ["utt1.5", "utt2"]
    assert seen(lists) == [["the"], ["cat", "mat"]]
    (tmp_path / "references.txt").write_text("utt2 <s> the mat </s>\nutt1.5\n")
    said = References.read(tmp_path / "references.txt").of([each.name for each in lists])
    assert said == [[], ["the", "mat"]]
    with pytest.raises(DataError, match="no line begins with 'utt3', the name of a list"):
        References.read(tmp_path / "references.txt").of(["utt3"])
    (tmp_path / "references.txt").write_text("utt2 the mat\nutt2 the cat\n")
    with pytest.raises(DataError, match="two lines that differ begin with 'utt2'"):
        References.read(tmp_path / "references.txt").of(["utt2"])


def test_archives_of_kaldi(tmp_path: Path) -> None:
    """Costs, which are negated; in any order."""
    (tmp_path / "words_text").write_text("a-b-1 the cat\na-b-2 \nc-1 <s> mat </s>\nc-10 the mat\n")
    (tmp_path / "acwt").write_text("c-10 7\na-b-1 100.5\na-b-2 90\nc-1 1e1\n")
    first, second = lists_at(tmp_path)
    assert (first.name, second.name) == ("a-b", "c")
    assert seen([first, second]) == [["the cat", ""], ["mat", "the mat"]]
    place = f"{tmp_path / 'words_text'}:1"
    assert first.hypotheses[0] == Hypothesis("the cat", -100.5, 0.0, 2, place)
    assert [each.acoustic for each in second.hypotheses] == [-10, -7]
    (tmp_path / "lmwt.lmonly").write_text("a-b-1 9\na-b-2 8.5\nc-1 7\nc-10 -6\n")
    told: list[bytes] = []
    lists = lists_at(tmp_path, tell=told.append)
    assert [[each.first_pass for each in one.hypotheses] for one in lists] == [[-9, -8.5], [-7, 6]]
    files = ("words_text", "acwt", "lmwt.lmonly")
    assert b"".join(told) == b"".join((tmp_path / name).read_bytes() for name in files)


def test_beams_of_espnet(tmp_path: Path) -> None:
    for n, text, score in (
        (1, "b the cat\na mat\n", "b -1.5\na tensor(-3.25)\n"),
        (2, "b the mat\n", "b tensor(-2e1, device='cuda:0')\n"),
        (10, "a not read\n", "a -1\n"),  # a gap: 3 to 9 are not there
    ):
        (tmp_path / f"{n}best_recog").mkdir()
        (tmp_path / f"{n}best_recog" / "text").write_text(text)
        (tmp_path / f"{n}best_recog" / "score").write_text(score)
    lists = lists_at(tmp_path)
    assert [each.name for each in lists] == ["b", "a"]
    assert seen(lists) == [["the cat", "the mat"], ["mat"]]
    assert [[each.acoustic for each in one.hypotheses] for one in lists] == [[-1.5, -20], [-3.25]]


@pytest.mark.parametrize(
    ("words", "costs", "message"),
    [
        ("a-1 the\na-1 cat\n", "a-1 1\n", "words_text:2: begins with 'a-1', as a line before does"),
        ("a the\n", "a 1\n", "words_text:1: expected 'utt-N w1 w2 …'"),
        ("a-1 the\na-2 cat\n", "a-1 1\n", "words_text:2: there is no score of 'a-2' in {folder}/acwt"),
        ("a-1 the\n", "a-1 nan\n", "acwt:1: expected an id and a finite number"),
        ("a-1 the\n", None, "acwt: no such file"),
    ],
)
def test_what_is_refused_of_kaldi(words: str, costs: str | None, message: str, tmp_path: Path) -> None:
    (tmp_path / "words_text").write_text(words)
    if costs is not None:
        (tmp_path / "acwt").write_text(costs)
    with pytest.raises(DataError) as refused:
        lists_at(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path}/{message.format(folder=tmp_path)}")


def test_hypotheses_without_a_score_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "words_text").write_text("a-1 the\na-2 cat\nb-1 mat\n")
    (tmp_path / "acwt").write_text("a-1 1\nb-1 one\n")
    refused: list[DataError] = []
    lists = lists_at(tmp_path, refuse=refused.append)
    assert [each.name for each in lists] == ["a", "b"]
    assert seen(lists) == [["the"], []]
    assert len(refused) == 3


def test_lists_come_in_groups_as_they_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a block holds together, but no more than the bound; and before a fault what precedes it."""
    path = tmp_path / "nbest"
    path.write_text("-1 -2 1 the\n\n" * 9 + "-1 -2 1 cat\n")
    assert [len(group) for group in nbest_lists(path, None, fail)] == [9, 1]
    monkeypatch.setattr("lmtrain.corpus.nbest._GROUP", 4)
    assert [len(group) for group in nbest_lists(path, None, fail)] == [4, 4, 1, 1]
    path.write_text("-1 -2 1 the\n\n" * 3 + "cat\n")
    groups = nbest_lists(path, None, fail)
    assert len(next(groups)) == 3
    with pytest.raises(DataError, match=":7: expected"):
        next(groups)
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        groups = nbest_lists(Path(f"/dev/fd/{reading}"), None, fail)
        for _ in range(2):
            pipe.write(b"-1 -2 1 the\n\n")
            assert len(next(groups)) == 1
    os.close(reading)


def test_a_form_that_is_not_known_is_told_the_others(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"before the words; or NBestList headers, beams .* Kaldi or ESPnet"):
        read(tmp_path / "a", "utt1-1 the cat\n")
    with pytest.raises(DataError, match=r"before the words$"):
        read(tmp_path / "a", "-1 -2 1 the\nutt1-1 the cat\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1 nan 1 the\n", ":1: expected 'ascore lscore nwords w1 w2 …', two finite numbers"),
        ("-1 -2 1 the\n-1 the\n", ":2: expected 'ascore"),
        ("NBestList1.0\n-1 the\n", ":2: expected '(score) w1 w2 …', as the header says"),
        ("NBestList2.0\n(-1) the ( st: 0\n", ":2: expected '(score) w1 ( st: … et: … g: … a: … ) w2 …'"),
        ("NBestList2.0\n(-1) the ( st: 0 et: 1 )\n", ":2: the: expected 'st:', 'et:', 'g:' and 'a:'"),
        ("the\t-1\nthe -1\n", ":2: expected 'text<TAB>score', a finite number after the words"),
        ("", ": empty"),
    ],
)
def test_what_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        read(tmp_path / "a", text)
    assert str(refused.value).startswith(f"{tmp_path / 'a'}{message}")


def test_lines_that_are_left_out_leave_utterances_where_they_are(tmp_path: Path) -> None:
    path, refused = tmp_path / "a", list[DataError]()
    path.write_text("the\t-1\nbad\ncat\t-2\nmat\t-2\n\nbad\n\nsat\t-1\n")
    assert seen(lists_at(path, 2, refused.append)) == [["the"], ["cat", "mat"], [], ["sat"]]
    assert [str(error).split(":")[1] for error in refused] == ["2", "6"]


def test_a_number_of_lines_is_for_beams(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--beam-size is for beams"):
        read(tmp_path / "a", "-1 -2 1 the\n", 3)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="there is no file in it"):
        lists_at(tmp_path / "folder")


def test_references(tmp_path: Path) -> None:
    path = tmp_path / "references"
    path.write_text("the cat\n\n<s> mat </s>\n")
    assert References.read(path).of([None] * 3) == [["the", "cat"], [], ["mat"]]
    path.write_text('{"audio_filepath": "a.wav", "text": "the cat"}\n{"text": ""}\n')
    assert References.read(path).of([None] * 2) == [["the", "cat"], []]
    with pytest.raises(DataError, match="2 references, where there are 3 lists"):
        References.read(path).of([None] * 3)
    path.write_text('{"words": 1}\n')
    with pytest.raises(DataError, match=":1: begins as a JSON object, and is none with 'text'"):
        References.read(path).of([None])


def test_ids_before_references() -> None:
    lists = [["the cat", "cat"], ["the mat"], ["the"]]
    with_ids = [["u1", "the", "cat"], ["u2", "the", "mat"], ["u3"]]
    assert begin_with_ids(with_ids, lists)
    assert not begin_with_ids(with_ids[:2], lists[:2])
    assert not begin_with_ids([words[1:] for words in with_ids], lists)
    assert not begin_with_ids([["u1"], ["u2"], ["the"]], lists)
    assert not begin_with_ids([["a"], ["a"], ["dog"]], lists)
