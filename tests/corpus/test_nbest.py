"""N-best lists as SRILM's nbest-format(5) and NeMo describe them."""

import gzip
import math
from pathlib import Path

import pytest

from lmtrain.corpus.nbest import Hypothesis, NbestList, nbest_lists, read_references
from lmtrain.errors import DataError, UsageError

BYTELOG = 1024 * math.log(1.0001)
TEN = math.log(10)


def fail(error: DataError) -> None:
    raise error


def read(path: Path, text: str, beam_size: int | None = None) -> list[NbestList]:
    path.write_text(text)
    return list(nbest_lists(path, beam_size, fail))


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
    lists = list(nbest_lists(tmp_path, None, fail))
    assert [each.name for each in lists] == ["utt1.5", "utt2"]
    assert seen(lists) == [["the"], ["cat", "mat"]]
    (tmp_path / "references.txt").write_text("utt2 <s> the mat </s>\nutt1.5\n")
    said = read_references(tmp_path / "references.txt", [each.name for each in lists])
    assert said == [[], ["the", "mat"]]
    with pytest.raises(DataError, match="no line begins with 'utt3', the name of a list"):
        read_references(tmp_path / "references.txt", ["utt3"])


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
    assert seen(list(nbest_lists(path, 2, refused.append))) == [["the"], ["cat", "mat"], [], ["sat"]]
    assert [str(error).split(":")[1] for error in refused] == ["2", "6"]


def test_a_number_of_lines_is_for_beams(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--beam-size is for beams"):
        read(tmp_path / "a", "-1 -2 1 the\n", 3)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="there is no file in it"):
        list(nbest_lists(tmp_path / "folder", None, fail))


def test_references(tmp_path: Path) -> None:
    path = tmp_path / "references"
    path.write_text("the cat\n\n<s> mat </s>\n")
    assert read_references(path, [None] * 3) == [["the", "cat"], [], ["mat"]]
    path.write_text('{"audio_filepath": "a.wav", "text": "the cat"}\n{"text": ""}\n')
    assert read_references(path, [None] * 2) == [["the", "cat"], []]
    with pytest.raises(DataError, match="2 references, where there are 3 lists"):
        read_references(path, [None] * 3)
    path.write_text('{"words": 1}\n')
    with pytest.raises(DataError, match=":1: begins as a JSON object, and is none with 'text'"):
        read_references(path, [None])
