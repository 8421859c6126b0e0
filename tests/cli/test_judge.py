"""``lmtrain judge``: from files to tables, with known counts."""

import json
from pathlib import Path
from typing import Any

import pytest
from program import Outcome, Trained, lmtrain

PAIRS = (
    "good\tbad\tset\n"
    "the old cat sat\tthe cat old sat\tone\n"
    "the unicorn sat\tthe phoenix sat\tone\n"  # a tie: both are unknown
    "the dog slept often\tthe dog slept unicorn\ttwo\n"
)
BLIMP = [
    {"sentence_good": good, "sentence_bad": bad, "UID": uid, "linguistics_term": term}
    for good, bad, uid, term in (
        ("the cat sat", "cat the sat", "order_1", "order"),
        ("the old dog slept", "old the dog slept", "order_2", "order"),
        ("the cat slept", "the cat and", "ending", "other"),
    )
]
SUITE = {
    "meta": {"name": "tiny", "metric": "sum"},
    "predictions": [{"type": "formula", "formula": "(2;%a%) < (2;%b%)"}],
    "items": [
        {
            "item_number": 1,
            "conditions": [
                {"condition_name": name, "regions": [
                    {"region_number": 1, "content": "the"}, {"region_number": 2, "content": content}
                ]}
                for name, content in (("a", "cat"), ("b", "cat sat slept"))
            ],
        }
    ],
}  # fmt: skip


def judge(trained: Trained, *arguments: object, code: int = 0, stdin: str = "") -> Outcome:
    outcome = lmtrain("judge", *arguments, folder=trained.folder, stdin=stdin.encode())
    assert outcome.code == code, outcome.err
    return outcome


def found(trained: Trained, *arguments: object, stdin: str = "") -> dict[str, Any]:
    value: dict[str, Any] = json.loads(judge(trained, *arguments, "--json", stdin=stdin).out)
    return value


def surprisal(trained: Trained, line: str) -> float:
    rows = lmtrain("score", "runs/tiny", "-", folder=trained.folder, stdin=line.encode()).out.splitlines()[1:]
    return sum(float(row.split("\t")[3]) for row in rows)


def test_pairs_of_a_table(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "my.tsv"
    path.write_text(PAIRS)
    one, two, together = found(trained, "runs/tiny", path)["groups"]
    assert [(g["by"], g["name"], g["test"], g["method"]) for g in (one, two, together)] == [
        ("set", "one", "my", "whole sentences"),
        ("set", "two", "my", "whole sentences"),
        ("all", "all", "my", "whole sentences"),
    ]
    tally = together["models"][0]
    assert (tally["num"], tally["num_ties"], tally["num_unknown"]) == (3, 1, 2)
    pairs = [line.split("\t")[:2] for line in PAIRS.splitlines()[1:]]
    right = [surprisal(trained, good) < surprisal(trained, bad) for good, bad in (pairs[0], pairs[2])]
    assert tally["num_right"] == sum(right)
    assert one["models"][0]["num_known_right"] == right[0]
    assert together["chance"] == 0.5
    assert together["published"] is None
    assert "known_accuracy" in tally
    assert found(trained, "runs/tiny", "-", stdin=PAIRS)["groups"][0]["models"] == one["models"]


def test_the_table_that_is_printed(trained: Trained, tmp_path: Path) -> None:
    path, published = tmp_path / "my.jsonl", tmp_path / "published.csv"
    path.write_text("".join(json.dumps(record) + "\n" for record in BLIMP))
    published.write_text("UID,lstm\norder_1,0.5\norder_2,0.7\nending,0.9\n")
    lines = judge(trained, "runs/tiny", path, "--published", published).out.splitlines()
    assert lines[0] == "minimal pairs: whole sentences"
    assert lines[2].split(maxsplit=1) == [
        "set",
        "number  right %        95 %  unknown %  known right %  chance %  lstm",
    ]
    rows = {line.split()[0]: line.split() for line in lines[3:] if line}
    assert [rows[name][-1] for name in ("order_1", "order_2", "ending", "all", "order", "other")] == [
        *("50.0", "70.0", "90.0", "70.0", "60.0", "90.0")
    ]
    assert rows["all"][1] == "3"
    assert rows["all"][-2] == "50"
    assert lines[-1].startswith("judge|ties:wrong|tok:ws|unk:incl|eos:incl|ctx:line|adapt:none|vocab:")


def test_models_side_by_side(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(SUITE))
    snapshots = [f"runs/tiny/snapshots/step-{step:08}" for step in (9, 25)]
    both = found(trained, *snapshots, path)
    assert [model["model"] for model in both["models"]] == ["step-00000009", "step-00000025"]
    suite, together = both["groups"]
    assert (suite["by"], suite["name"], together["name"]) == ("suite", "tiny", "all")
    assert suite["models"][0]["num_right"] == 1  # fewer words surprise less
    alone = found(trained, snapshots[1], path)
    assert alone["groups"][0]["models"] == [suite["models"][1]]
    assert alone["models"] == [both["models"][1]]
    header = judge(trained, *snapshots, path).out.splitlines()[2]
    assert "step-00000009 right %" in header
    assert "step-00000025 known right %" in header


def test_text_as_people_write_it(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_text("good,bad\nThe old CAT sat.,The CAT old sat.\n")
    plain = judge(trained, "runs/tiny", path)
    assert "4 of 8 words (50.0%) are unknown" in plain.err.replace(
        "6 of 8 words (75.0%)", "4 of 8 words (50.0%)"
    )
    assert "--lowercase" in plain.err
    lower = found(trained, "runs/tiny", path, "--tokenizer", "penn", "--lowercase")
    (group,) = lower["groups"]
    assert group["models"][0]["num_unknown"] == 0
    assert "tok:penn+lower" in lower["models"][0]["signature"]


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["runs/tiny"], 2, "name a file to be judged on"),
        (["runs/none", "pairs.tsv"], 4, "runs/none"),
        (["pairs.tsv", "pairs.tsv"], 4, "pairs.tsv"),
        (["runs/tiny", "none.tsv"], 3, "none.tsv"),
        (["runs/tiny", "train.txt"], 2, "no good and bad column"),
        (["runs/tiny", "pairs.tsv", "--good", "x"], 2, "--bad"),
        (["runs/tiny", "pairs.tsv", "--published", "none.jsonl"], 3, "none.jsonl"),
    ],
)
def test_what_is_refused(
    arguments: list[str], code: int, complaint: str, trained: Trained, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text(PAIRS)
    outcome = judge(trained, *(str(pairs) if a == "pairs.tsv" else a for a in arguments), code=code)
    assert complaint in outcome.err
    assert outcome.out == ""
