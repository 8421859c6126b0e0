"""``lmtrain judge``: from files to tables, with known counts."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from program import Outcome, Trained, lmtrain

from lmtrain.corpus.suites import reading
from lmtrain.run.trained import load_model

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
    digest = load_model(trained.run_dir).sha256[:8]
    figure = "judge|ties:wrong|tok:ws|unk:incl|eos:incl|ctx:line|adapt:none"
    assert lines[-1].startswith(f"{figure}|model:{digest}|vocab:")
    published.write_text("UID,lstm\nOrder 1,0.5\n")
    told = judge(trained, "runs/tiny", path, "--published", published)
    assert "has no figure of these sets (Order 1 are in it)" in told.err
    assert "lstm" not in told.out


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


def test_pairs_that_no_model_decides_are_told_of_once(trained: Trained) -> None:
    snapshots = [f"runs/tiny/snapshots/step-{step:08}" for step in (9, 25)]
    told = judge(trained, *snapshots, "-", stdin="good,bad\nthe cat,the cat\nthe cat,cat the\n").err
    assert told.count("both sides of 1 pairs are equally probable") == 1
    assert "step-00000009: both" not in told


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


def assert_rows_make_the_figures(value: dict[str, Any], rows: list[dict[str, str]]) -> None:
    """All that is printed follows from the rows: each figure is a sum over those of its group."""
    several = len(value["models"]) > 1
    for group in value["groups"]:
        own = [row for row in rows if (row["test"], row["method"]) == (group["test"], group["method"] or "")]
        if group["by"] != "all":
            own = [row for row in own if row[group["by"].replace(" ", "_")] == group["name"]]
        assert sum(float(row["chance"]) for row in own) / len(own) == pytest.approx(group["chance"], abs=1e-6)
        for tally in group["models"]:
            suffix = f"_{tally['model']}" if several else ""
            right, tie, unk = (
                [int(row[f"{name}{suffix}"]) for row in own] for name in ("is_right", "is_tie", "is_unk")
            )
            known = sum(is_right for is_right, is_unk in zip(right, unk, strict=True) if not is_unk)
            names = ("num", "num_right", "num_ties", "num_unknown", "num_known_right")
            assert [tally[name] for name in names] == [len(own), sum(right), sum(tie), sum(unk), known]


@pytest.fixture
def all_kinds(tmp_path: Path) -> list[Path]:
    """Minimal pairs as a table and in lines, with prefixes, test suites of two sizes, and verbs."""
    two = {**SUITE, "meta": {"name": "two"}}
    two["predictions"] = [{"formula": "(1;%a%) + (2;%a%) < (*;%b%)"}, {"formula": "(2;%a%) = (2;%b%)"}]
    texts = {
        "my.tsv": PAIRS,
        "blimp.jsonl": "".join(json.dumps(record) + "\n" for record in BLIMP),
        "next.csv": 'prefix,good,bad,kind of\n"the ""old"" dog, and",sat,unicorn,x\nthe cat,slept,sat,y\n',
        "tiny.json": json.dumps(SUITE),
        "two.json": json.dumps(two),
        "verbs.gold": "2\tsat\tslept\t0\n1\tcat\tdog\t2\n",
        "verbs.text": "the cat sat <eos>\nthe cat sat <eos>\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return [tmp_path / name for name in texts if name != "verbs.text"]


@pytest.mark.parametrize("models", [[25], [9, 25]])
def test_a_row_for_each_question(
    models: list[int],
    trained: Trained,
    all_kinds: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "_VERBS", 20)
    snapshots = [f"runs/tiny/snapshots/step-{step:08}" for step in models]
    pairs = tmp_path / "out" / "pairs.csv"
    value = found(trained, *snapshots, *all_kinds, "toy-english", "--pairs", pairs)
    rows = table(pairs)
    assert len(rows) == 3 + 3 + 2 + 1 + 2 + 2 + 4 * 20
    assert_rows_make_the_figures(value, rows)
    told = json.loads((tmp_path / "out" / "pairs.csv.json").read_text())
    assert [model["signature"] for model in told["models"]] == [m["signature"] for m in value["models"]]


def test_rows_say_what_was_asked(trained: Trained, all_kinds: list[Path], tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.tsv"
    judge(trained, "runs/tiny", *all_kinds, "--pairs", pairs)
    rows = table(pairs)
    assert list(rows[0]) == [
        *("test", "method", "set", "term", "suite", "attractors", "place", "item_id"),
        *("good", "bad", "region_1", "region_2", "region_3", "formula", "chance"),
        *("surprisal_good", "surprisal_bad", "surprisal_1", "surprisal_2", "surprisal_3"),
        *("is_right", "is_tie", "is_unk"),
    ]
    whole = [row for row in rows if row["method"] == "whole sentences"]
    assert len(whole) == 6
    for row in whole:
        for side in ("good", "bad"):
            bits = surprisal(trained, row[side] + "\n")
            assert float(row[f"surprisal_{side}"]) == pytest.approx(bits, abs=1e-4)
        assert int(row["is_right"]) == (float(row["surprisal_good"]) < float(row["surprisal_bad"]))
        assert row["surprisal_1"] == row["formula"] == ""
    quoted = next(row for row in rows if row["test"] == "next")
    assert (quoted["good"], quoted["item_id"]) == ('the "old" dog, and sat', "2")
    tiny, first, second = (row for row in rows if row["test"] == "SyntaxGym")
    assert (tiny["suite"], tiny["item_id"], tiny["good"]) == ("tiny", "1", "")
    assert [tiny[f"region_{i}"] for i in (1, 2, 3)] == ["(2;%a%)", "(2;%b%)", ""]
    assert (tiny["formula"], tiny["is_right"]) == ("(2;%a%) < (2;%b%)", "1")
    assert (first["suite"], second["suite"]) == ("two (1)", "two (2)")
    bits = [float(first[f"surprisal_{i}"]) for i in (1, 2, 3)]
    assert int(first["is_right"]) == (bits[0] + bits[1] < bits[2])
    assert second["surprisal_3"] == ""
    verbs = [row for row in rows if row["test"] == "verbs"]
    assert [(row["attractors"], row["item_id"], row["good"], row["bad"]) for row in verbs] == [
        ("0", "1", "the cat sat", "the cat slept"),
        ("2", "2", "the cat", "the dog"),
    ]


def test_columns_of_one_name_are_refused(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text("good,bad,method\nthe cat,cat the,x\n")
    options = (tmp_path / "my.csv", "--by", " method,", "--pairs", tmp_path / "pairs.csv")
    outcome = judge(trained, "runs/tiny", *options, code=2)
    assert "two columns of the table would be called 'method'" in outcome.err
    assert not (tmp_path / "pairs.csv").exists()


def test_text_as_people_write_it(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_text("good,bad\nThe old CAT sat.,The CAT old sat.\n")
    plain = judge(trained, "runs/tiny", path)
    assert "6 of 8 words (75.0%) are unknown" in plain.err
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
