"""``lmtrain score`` with several models: each column is what that model says alone."""

import csv
import io
import json
import math
import re
from pathlib import Path

import pytest
from program import Outcome, Trained, lmtrain

from lmtrain.cli.score_several import names_of
from lmtrain.run.trained import load_model

SENTENCES = b"the old cat\nunicorn\n\nthe dog sat and slept often\n"
SNAPSHOTS = [f"runs/tiny/snapshots/step-{step:08}" for step in (9, 25)]
NAMES = ["step-00000009", "step-00000025"]


def score(trained: Trained, *arguments: object) -> Outcome:
    return lmtrain("score", *arguments, "-", folder=trained.folder, stdin=SENTENCES)


def rows(outcome: Outcome) -> list[dict[str, str]]:
    assert outcome.code == 0, outcome.err
    return list(csv.DictReader(io.StringIO(outcome.out), delimiter="\t", quoting=csv.QUOTE_NONE))


def test_a_column_a_model(trained: Trained) -> None:
    several = score(trained, *SNAPSHOTS, "--extended")
    found = rows(several)
    assert len(found[0]) == 3 + 2 * 4
    for snapshot, name in zip(SNAPSHOTS, NAMES, strict=True):
        alone = rows(score(trained, snapshot, "--extended"))
        for column in ("surprisal", "is_unk", "entropy", "rank"):
            assert [row[f"{column}_{name}"] for row in found] == [row[column] for row in alone]
        assert [row["token"] for row in found] == [row["token"] for row in alone]
        assert f"{name}: 1 of 14 tokens are scored as <unk>" in several.err
    assert list(rows(score(trained, *SNAPSHOTS))[0])[3:5] == [f"surprisal_{NAMES[0]}", f"is_unk_{NAMES[0]}"]


def test_json_by_model(trained: Trained, run_dir: Path) -> None:
    outcome = score(trained, "runs/tiny", run_dir, "--format", "json")
    assert outcome.code == 0, outcome.err
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    alone = [json.loads(line) for line in score(trained, run_dir, "--format", "json").out.splitlines()]
    for both, one in zip(lines, alone, strict=True):
        assert list(both["models"]) == ["tiny", run_dir.name]
        assert {"sentence_id": both["sentence_id"], **both["models"][run_dir.name]} == one


@pytest.mark.parametrize("options", [[], ["--adapt", "cache", "--context", "stream"]])
def test_an_ensemble_has_the_mean_of_probabilities(options: list[str], trained: Trained) -> None:
    as_one = rows(score(trained, *SNAPSHOTS, "--ensemble", *options))
    both = rows(score(trained, *SNAPSHOTS, *options))
    for one, row in zip(as_one, both, strict=True):
        mean = sum(2 ** -float(row[f"surprisal_{name}"]) for name in NAMES) / 2
        assert float(one["surprisal"]) == pytest.approx(-math.log2(mean), abs=1e-5)
    assert list(as_one[0]) == ["sentence_id", "token_id", "token", "surprisal"]
    srilm = score(trained, *SNAPSHOTS, "--ensemble", "--format", "srilm")
    assert srilm.code == 0
    each = [load_model(trained.folder / snapshot).sha256[:8] for snapshot in SNAPSHOTS]
    assert f"|ens:2({','.join(each)})|" in srilm.err
    told = score(trained, *SNAPSHOTS).err
    for name, digest in zip(NAMES, each, strict=True):
        assert re.search(rf"^signature of {name}: surprisal.*\|model:{digest}\|", told, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*SNAPSHOTS, "--format", "srilm"), "--format srilm is of one model"),
        (("runs/tiny", "--ensemble"), "needs several models"),
        ((*SNAPSHOTS, "--ensemble", "--extended"), "one model's distribution"),
    ],
)
def test_contradictions(arguments: tuple[str, ...], message: str, trained: Trained) -> None:
    outcome = score(trained, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_names() -> None:
    assert names_of([Path("runs/a"), Path("runs/b")]) == ["a", "b"]
    assert names_of([Path("x/a"), Path("y/a")]) == ["x/a", "y/a"]
    assert names_of([Path("x/a"), Path("x/a")]) == ["x/a.1", "x/a.2"]


@pytest.mark.parametrize("options", [[], ["--extended"]])
def test_continuations_cost_what_they_cost_in_the_whole(options: list[str], trained: Trained) -> None:
    model = SNAPSHOTS[0]
    whole = lmtrain("score", model, "-", *options, folder=trained.folder, stdin=b"the old cat\nthe old\n")
    outcome = lmtrain(
        *("score", model, "-", "--after", "the old", *options), folder=trained.folder, stdin=b"cat\n\n"
    )
    expected = [row for row in rows(whole) if int(row["token_id"]) > 2]
    found = rows(outcome)
    assert [int(row["token_id"]) for row in found] == [1, 2, 1]
    for one, other in zip(found, expected, strict=True):
        assert float(one.pop("surprisal")) == pytest.approx(float(other.pop("surprisal")), abs=2e-6)
        assert float(one.pop("entropy", 0)) == pytest.approx(float(other.pop("entropy", 0)), abs=2e-6)
        assert {**one, "token_id": ""} == {**other, "token_id": ""}


@pytest.mark.parametrize(
    "options", [["--context", "stream"], ["--format", "srilm"], ["--adapt", "cache"]], ids=str
)
def test_where_a_beginning_has_no_place(options: list[str], trained: Trained) -> None:
    outcome = score(trained, SNAPSHOTS[0], "--after", "the", *options)
    assert outcome.code == 2
    assert "--after" in outcome.err
