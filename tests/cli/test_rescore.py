"""``lmtrain rescore``, as an engineer runs it."""

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
    told, signature = outcome.err.splitlines()
    assert told == f"language model × {language:.6g}, {insertion:+.6g} a word"
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
    ],
)
def test_what_is_refused(
    options: tuple[object, ...], code: int, message: str, trained: Trained, tmp_path: Path
) -> None:
    outcome = rescore(trained, tmp_path, *options)
    assert outcome.code == code
    assert message in outcome.err
