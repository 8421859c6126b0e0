"""``--adapt`` of ``eval`` and ``score``: what is asked for, tuned, kept and said."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from program import Trained, files_in, lmtrain


def evaluate(trained: Trained, *options: object) -> dict[str, object]:
    outcome = lmtrain(
        "eval", trained.run_dir, "--data", "valid.txt", *options, "--json", folder=trained.folder
    )
    assert outcome.code == 0, outcome.err
    result: dict[str, object] = json.loads(outcome.out)
    return result


@pytest.mark.parametrize(
    ("options", "label"),
    [
        (["--adapt", "cache"], "adapt:cache(2000,0.3,0.1)|"),
        (
            ["--adapt", "cache", "--adapt-set", "cache.window=50", "--adapt-set", "cache.theta=0"],
            "adapt:cache(50,0.0,0.1)|",
        ),
        (["--adapt", "dynamic", "--adapt-set", "dynamic.lr=0.01"], "adapt:dynamic(sgd,0.01,20,0.005)|"),
        (
            ["--adapt", "both", "--temperature", "1.25"],
            "adapt:cache(2000,0.3,0.1)+dynamic(sgd,0.02,20,0.005)|temp:1.25|",
        ),
        (["--temperature", "0.8"], "adapt:none|temp:0.8|"),
    ],
)
def test_an_adapted_evaluation_says_so(trained: Trained, options: list[str], label: str) -> None:
    before = files_in(trained.run_dir)
    plain, adapted = evaluate(trained), evaluate(trained, *options)
    assert label in str(adapted["signature"])
    assert str(adapted["signature"]).split("|")[5] == f"adapt:{adapted['adapt']}"
    assert adapted["perplexity"] != plain["perplexity"]
    assert adapted["num_tokens"] == plain["num_tokens"]
    assert files_in(trained.run_dir) == before
    if label.startswith("adapt:cache"):
        outcome = lmtrain("eval", trained.run_dir, "--data", "valid.txt", *options, folder=trained.folder)
        assert str(adapted["adapt"]) in outcome.out


def test_scores_while_adapting_sum_to_the_evaluation(trained: Trained) -> None:
    for options in (["--adapt", "cache"], ["--adapt", "both", "--adapt-set", "dynamic.lr=0.5"]):
        for context in ("line", "stream"):
            result = evaluate(trained, *options, "--context", context)
            outcome = lmtrain(
                *("score", trained.run_dir, "valid.txt", *options, "--context", context, "--format", "json"),
                folder=trained.folder,
            )
            assert outcome.code == 0, outcome.err
            total = -sum(json.loads(line)["logprob"] for line in outcome.out.splitlines())
            assert total == pytest.approx(result["nll_nats"], rel=1e-5)


def test_what_is_tuned_can_be_kept_and_taken_again(trained: Trained, tmp_path: Path) -> None:
    kept = tmp_path / "tuning.json"
    tuned = evaluate(trained, "--adapt", "both", "--tune-on", "test.txt", "--save-tuning", kept)
    again = evaluate(trained, "--tuning", kept)
    assert again["signature"] == tuned["signature"]
    assert again["perplexity"] == tuned["perplexity"]
    assert json.loads(kept.read_text())["tuned_on"] == "test.txt"
    outcome = lmtrain("score", trained.run_dir, "valid.txt", "--tuning", kept, folder=trained.folder)
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--adapt", "cache", "--adapt-set", "cache.size=3"], "unknown; there are cache.window"),
        (["--adapt", "cache", "--adapt-set", "dynamic.lr=3"], "has no part in --adapt cache"),
        (["--adapt", "cache", "--adapt-set", "cache.window=x"], "x is no such value"),
        (["--adapt", "cache", "--adapt-set", "cache.weight=1"], "cache-weight must be"),
        (["--temperature", "0"], "temperature must be greater than 0"),
        (["--adapt", "cache", "--streams", "2"], "leave --streams and --batch-size out"),
        (["--adapt", "dynamic", "--adapt-set", "dynamic.rule=rms"], "lmtrain adapt-stats"),
        (["--adapt", "cache", "--tuning", "valid.txt"], "leave the other options of it out"),
        (["--tuning", "valid.txt"], "not what --save-tuning wrote"),
        (["--tuning", "nowhere.json"], "cannot be read"),
        (["--save-tuning", "x.json"], "--save-tuning keeps what is found with --tune-on"),
        (["--tune-on", "test.txt"], "name one with --adapt or --ngram"),
        (["--adapt", "cache", "--temperature", "2", "--tune-on", "test.txt"], "finds all values anew"),
    ],
)
def test_what_does_not_go_together(trained: Trained, options: list[str], complaint: str) -> None:
    outcome = lmtrain("eval", trained.run_dir, "--data", "valid.txt", *options, folder=trained.folder)
    assert outcome.code == 2
    assert complaint in outcome.err
    assert outcome.out == ""


def test_steps_that_are_too_long_are_told(trained: Trained) -> None:
    options = ["--adapt", "dynamic", "--adapt-set", "dynamic.lr=1e30"]
    for command in (
        ["eval", trained.run_dir, "--data", "valid.txt"],
        ["score", trained.run_dir, "valid.txt"],
    ):
        outcome = lmtrain(*command, *options, folder=trained.folder)
        assert outcome.code == 4
        assert "a lower dynamic.lr helps" in outcome.err
        assert "--snapshot" not in outcome.err


def test_values_tuned_beside_an_ngram_model_that_takes_no_part_are_told(
    trained: Trained, tmp_path: Path
) -> None:
    kept = tmp_path / "tuning.json"
    evaluate(trained, "--adapt", "cache", "--tune-on", "test.txt", "--save-tuning", kept)
    content = json.loads(kept.read_text())
    command = ["eval", trained.run_dir, "--data", "valid.txt", "--tuning", kept]
    assert "n-gram" not in lmtrain(*command, folder=trained.folder).err
    kept.write_text(json.dumps(content | {"ngram_weight": 0.2}))
    outcome = lmtrain(*command, folder=trained.folder)
    assert outcome.code == 0
    assert "tuned beside an n-gram model, and none takes part" in outcome.err


def test_alternatives_teach_nothing(trained: Trained) -> None:
    outcome = lmtrain(
        "score", trained.run_dir, "-", "--format", "nbest", "--adapt", "cache", stdin=b"-1 -2 1 cat\n"
    )
    assert outcome.code == 2
    assert "lists alternatives" in outcome.err


def test_statistics_are_collected_once_and_used(trained: Trained, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(trained.run_dir, run_dir)
    model = Trained(trained.folder, run_dir, trained.outcome)
    before = files_in(run_dir)
    rms = ["--adapt", "dynamic", "--adapt-set", "dynamic.rule=rms", "--adapt-set", "dynamic.lr=0.001"]
    outcome = lmtrain("adapt-stats", run_dir, "--data", "train.txt", folder=trained.folder)
    assert outcome.code == 0, outcome.err
    (added,) = files_in(run_dir).keys() - before.keys()
    assert added.endswith("gradients.safetensors")
    digest = hashlib.sha256((run_dir / added).read_bytes()).hexdigest()[:8]
    assert f"adapt:dynamic(rms,0.001,20,0.005)|stats:{digest}|" in str(evaluate(model, *rms)["signature"])
    scored = lmtrain("score", run_dir, "valid.txt", *rms, folder=trained.folder)
    assert f"|stats:{digest}|model:" in scored.err
    best = evaluate(model, *rms, "--adapt-set", "dynamic.decay=0.01")
    assert best["perplexity"] != evaluate(model)["perplexity"]
    assert evaluate(model, *rms, "--tune-on", "test.txt")["adapt"]
    (run_dir / added).write_bytes(b"damaged")
    outcome = lmtrain("eval", run_dir, "--data", "valid.txt", *rms, folder=trained.folder)
    assert outcome.code == 4
    assert "collect the statistics again" in outcome.err
