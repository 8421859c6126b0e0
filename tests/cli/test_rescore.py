"""``lmtrain rescore``, as an engineer runs it."""

import gzip
import hashlib
import json
import math
from pathlib import Path

import pytest
from program import Outcome, Trained, lmtrain

from lmtrain.run.trained import load_model

LISTS = (
    "-12 -3 3 the old cat\n-11.9 -3 3 cat cat old\n\n"
    "-20 -3 2 dog sat\n-20.1 -3 3 the dog sat\n-20.2 -9 0\n\n"
    "-5 -1 1 slept\n"
)
SAID = "the old cat\nthe dog sat\nslept\n"


def rescore(trained: Trained, folder: Path, *options: object, text: str = LISTS) -> Outcome:
    (folder / "nbest").write_text(text)
    (folder / "said").write_text(SAID)
    return lmtrain("rescore", trained.run_dir, folder / "nbest", *options, folder=folder)


def logprobs(trained: Trained, *sentences: str) -> list[float]:
    text = "".join(f"{sentence}\n" for sentence in sentences).encode()
    out = lmtrain("score", trained.run_dir, "-", "--format", "json", stdin=text).out
    return [json.loads(line)["logprob"] for line in out.splitlines()]


@pytest.mark.parametrize(("language", "insertion"), [(0, 0), (1, 0), (8, -3), (0.5, 9), (40, 2.5)])
def test_the_best_is_that_of_the_highest_sum(
    trained: Trained, tmp_path: Path, language: float, insertion: float
) -> None:
    expected = []
    for block in LISTS.split("\n\n"):
        rows = [line.split(" ", 3) for line in block.splitlines()]
        texts = [row[3] if len(row) > 3 else "" for row in rows]
        sums = [
            float(row[0]) * math.log(10) + language * log_prob + insertion * int(row[2])
            for row, log_prob in zip(rows, logprobs(trained, *texts), strict=True)
        ]
        expected.append(texts[sums.index(max(sums))])
    outcome = rescore(trained, tmp_path, "--lm-weight", language, f"--word-insertion={insertion}")
    assert outcome.code == 0
    assert outcome.out.split("\n") == [*expected, ""]
    told, signature, *_ = outcome.err.splitlines()
    assert told == f"weights: --lm-weight {language:.6g} --word-insertion {insertion:.6g}"
    figure = f"signature: rescore|lm:{language}|insertion:{insertion}|firstpass:0|tok:ws|"
    assert signature.startswith(figure)
    digest = hashlib.sha256(LISTS.encode()).hexdigest()
    assert f"|ctx:line|adapt:none|model:{load_model(trained.run_dir).sha256[:8]}|vocab:" in signature
    assert f"|data:{digest[:8]}|" in signature


def test_weights_are_tuned_on_lists_with_references(trained: Trained, tmp_path: Path) -> None:
    outcome = rescore(trained, tmp_path, "--tune-on", "nbest", "--references", "said", "--json")
    assert outcome.code == 0
    found = json.loads(outcome.out)
    tuned = found["tuned_on"]
    assert (tuned["num_words"], tuned["errors_of_first"], tuned["errors_of_best_there_are"]) == (7, 1, 0)
    given = ("--lm-weight", found["lm_weight"], f"--word-insertion={found['word_insertion']}")
    again = json.loads(rescore(trained, tmp_path, *given, "--references", "said", "--json").out)
    assert again["errors"]["errors"] == tuned["errors"]
    assert again["errors"]["word_error_rate"] == tuned["errors"] / 7
    assert again["utterances"] == found["utterances"]
    for given in ((0, 0), (1, 0), (8, -3), (40, 20)):
        options = ("--lm-weight", given[0], f"--word-insertion={given[1]}", "--references", "said", "--json")
        assert json.loads(rescore(trained, tmp_path, *options).out)["errors"]["errors"] >= tuned["errors"]


def test_the_weights_are_told_as_they_are_typed(trained: Trained, tmp_path: Path) -> None:
    lists = "-12 -3 1 cat\n-1 -3 3 the old cat\n\n-1 -3 4 the the dog sat\n-1 -3 2 dog sat\n"
    said = ("--references", "said")
    (tmp_path / "said").write_text("cat\ndog sat\n")
    (tmp_path / "nbest").write_text(lists)
    first = lmtrain("rescore", trained.run_dir, "nbest", *said, "--tune-on", "nbest", folder=tmp_path)
    told = next(line for line in first.err.splitlines() if line.startswith("weights: "))
    _, *options = told.split()
    assert float(options[-1]) < 0
    again = lmtrain("rescore", trained.run_dir, "nbest", *said, *options, folder=tmp_path)
    assert (again.code, again.out) == (0, first.out)
    assert told in again.err


@pytest.mark.parametrize(
    ("text", "is_told"), [("the old cat\t-12\n", True), ("-12 -3 3 the old cat\n", False)]
)
def test_a_weight_that_has_no_part_is_told(
    trained: Trained, tmp_path: Path, text: str, is_told: bool
) -> None:
    err = rescore(trained, tmp_path, "--first-pass-weight", 2, text=text).err
    assert ("--first-pass-weight has no part" in err) == is_told, err
    assert "has no part" not in rescore(trained, tmp_path, text=text).err


def test_unknown_words_are_told(trained: Trained, tmp_path: Path) -> None:
    text = "-1 -2 3 THE OLD CAT\n-1 -2 3 the old cat\n\n-1 -2 0\n"
    err = rescore(trained, tmp_path, text=text).err
    assert "3 of 9 tokens are scored as <unk>" in err
    assert f"{tmp_path / 'nbest'}:1: THE (known as the), OLD (known as old), CAT (known as cat)" in err
    assert "--lowercase would leave 0.0% unknown" in err
    lower = json.loads(rescore(trained, tmp_path, "--lowercase", "--json", text=text).out)
    assert lower["utterances"][0]["text"] == "THE OLD CAT"
    assert lower["utterances"][0]["logprob"] == pytest.approx(logprobs(trained, "the old cat")[0], abs=1e-5)
    assert "|tok:ws+lower|" in lower["signature"]


def test_archives_of_kaldi_and_their_references(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "archives.1").mkdir()
    (tmp_path / "archives.1" / "words_text").write_text("a-1 the cat\na-2 the old cat\nb-1 dog\n")
    (tmp_path / "archives.1" / "acwt").write_text("a-1 9\na-2 8.5\nb-1 4\n")
    (tmp_path / "text").write_text("b dog\na the old cat\n")
    options = ("--lm-weight", 0, "--references", "text")
    outcome = lmtrain("rescore", trained.run_dir, "archives.1", *options, folder=tmp_path)
    assert (outcome.code, outcome.out) == (0, "a the old cat\nb dog\n")
    told = "archives.1: word error rate 0.00 % (0 of 4 words; 25.00 % of the first hypotheses, "
    assert outcome.err.startswith(told)


def test_what_counts_as_an_utterance_is_told_where_it_is_in_doubt(trained: Trained, tmp_path: Path) -> None:
    beams = "the cat\t-1\ncat\t-2\nthe dog\t-1\n"
    assert "nbest: all 3 lines are taken for one utterance" in rescore(trained, tmp_path, text=beams).err
    short = rescore(trained, tmp_path, "--beam-size", 2, text=beams).err
    assert "nbest: the last utterance has fewer lines than --beam-size says, 1 and not 2" in short
    for options, text in ((("--beam-size", 3), beams), ((), "-1 -2 1 cat\n"), ((), LISTS)):
        assert "utterance" not in rescore(trained, tmp_path, *options, text=text).err


def test_ids_before_references_are_told(trained: Trained, tmp_path: Path) -> None:
    rescore(trained, tmp_path)
    (tmp_path / "text").write_text("a the old cat\nb the dog sat\nc slept\n")
    err = rescore(trained, tmp_path, "--references", "text").err
    assert "text: lines begin with what no list has, as with ids" in err
    assert "as with ids" not in rescore(trained, tmp_path, "--references", "said").err


def test_references_are_read_before_anything_is_scored(trained: Trained, tmp_path: Path) -> None:
    outcome = rescore(trained, tmp_path, "--references", "nowhere")
    assert (outcome.code, outcome.out) == (3, "")


def test_what_an_utterance_says_of_itself(trained: Trained, tmp_path: Path) -> None:
    (first, *_) = json.loads(rescore(trained, tmp_path, "--lm-weight", 0, "--json").out)["utterances"]
    assert first == {
        "name": None,
        "text": "cat cat old",
        "place": 2,
        "total": pytest.approx(-11.9 * math.log(10)),
        "acoustic": pytest.approx(-11.9 * math.log(10)),
        "first_pass": pytest.approx(-3 * math.log(10)),
        "logprob": pytest.approx(logprobs(trained, "cat cat old")[0], abs=1e-5),
    }


def test_a_folder_of_lists_has_names(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "utt-b.nbest").write_text("NBestList1.0\n(-9) the cat\n")
    (tmp_path / "lists" / "utt-a.nbest").write_text("-1 -2 0\n")
    (tmp_path / "said").write_text("utt-b the dog\nutt-a\n")
    outcome = lmtrain("rescore", trained.run_dir, "lists", "--references", "said", folder=tmp_path)
    assert outcome.out == "utt-a\nutt-b the cat\n"
    assert outcome.err.startswith("lists: word error rate 50.00 % (1 of 2 words; ")


def test_a_bad_line_loses_nothing_before_it(trained: Trained, tmp_path: Path) -> None:
    text = LISTS.replace("-20.1 -3 3", "-20.1 -3")
    outcome = rescore(trained, tmp_path, "--lm-weight", 0, text=text)
    assert (outcome.code, outcome.out) == (3, "cat cat old\n")
    assert "nbest:5: expected 'ascore lscore nwords" in outcome.err
    skipped = rescore(trained, tmp_path, "--lm-weight", 0, "--skip-bad-lines", text=text)
    assert (skipped.code, skipped.out) == (0, "cat cat old\ndog sat\nslept\n")
    assert "nbest:5: expected" in skipped.err
    assert skipped.err.endswith("\n1 line left out\n")


def test_a_compressed_file_that_is_cut_off_loses_nothing_before_it(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(LISTS.encode(), compresslevel=0)[:-20])  # and a checksum
    outcome = lmtrain("rescore", trained.run_dir, "cut.gz", "--lm-weight", 0, folder=tmp_path)
    assert (outcome.code, outcome.out) == (3, "cat cat old\ndog sat\n")
    assert "cut.gz: cut off, it ends within its compressed text" in outcome.err


@pytest.mark.parametrize("context", ["line", "utterance"])
def test_costs_are_those_of_score(trained: Trained, tmp_path: Path, context: str) -> None:
    found = json.loads(rescore(trained, tmp_path, "--context", context, "--lm-weight", 0, "--json").out)
    out = lmtrain(
        *("score", trained.run_dir, "-", "--context", context, "--format", "nbest"), stdin=LISTS.encode()
    ).out
    lists = [part.splitlines() for part in out.rstrip("\n").split("\n\n")]
    for lines, each in zip(lists, found["utterances"], strict=True):
        cost = float(lines[each["place"] - 1].split()[1])
        assert each["logprob"] == pytest.approx(cost * math.log(10), abs=1e-4)


def test_context_of_utterances(trained: Trained, tmp_path: Path) -> None:
    found = rescore(trained, tmp_path, "--context", "utterance", "--lm-weight", 0, "--json").out
    last = json.loads(found)["utterances"][-1]
    rows = lmtrain(
        *("score", trained.run_dir, "-", "--context", "stream", "--format", "json"),
        stdin=b"the old cat\ndog sat\nslept\n",
    ).out.splitlines()
    assert last["logprob"] == pytest.approx(json.loads(rows[-1])["logprob"], abs=1e-4)
    alone = json.loads(rescore(trained, tmp_path, "--lm-weight", 0, "--json").out)["utterances"][-1]
    assert last["logprob"] != alone["logprob"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--tune-on", "nbest"), 2, "--tune-on needs --references"),
        (("--tune-on", "nbest", "--references", "said", "--lm-weight", 2), 2, "leave it or them out"),
        (("--references", "nowhere"), 3, "nowhere: no such file"),
        (("--beam-size", 3), 2, "--beam-size is for beams"),
        (("--word-insertion", "nan"), 2, "have to be finite numbers"),
    ],
)
def test_what_is_refused(
    options: tuple[object, ...], code: int, message: str, trained: Trained, tmp_path: Path
) -> None:
    outcome = rescore(trained, tmp_path, *options)
    assert outcome.code == code
    assert message in outcome.err
