"""``--ngram`` of ``eval``, ``score`` and ``rescore``: a mixture of what two models say, word by word."""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from program import WORDS, Outcome, Trained, lmtrain

TEXT = "the old cat\nunicorn sat\n\nthe dog sat and slept often\n"


@pytest.fixture
def arpa(tmp_path: Path) -> Path:
    """A unigram model with a few bigrams; it knows neither ``often`` nor ``<unk>`` as a word."""
    known = [word for word in WORDS if word != "often"]
    unigrams = ["-1.2\t<unk>", "-99\t<s>\t-0.3", "-0.9\t</s>", *(f"-0.95\t{word}\t-0.2" for word in known)]
    bigrams = ["-0.1\t<s> the", "-0.4\tthe old"]
    lines = ["\\data\\", f"ngram 1={len(unigrams)}", f"ngram 2={len(bigrams)}", ""]
    lines += ["\\1-grams:", *unigrams, "", "\\2-grams:", *bigrams, "", "\\end\\"]
    path = tmp_path / "model.arpa"
    path.write_text("\n".join(lines) + "\n")
    return path


def surprisals(trained: Trained, *options: object) -> list[float]:
    """In bits, of every token."""
    arguments = ("runs/tiny", "-", "--format", "json", *options)
    outcome = lmtrain("score", *arguments, folder=trained.folder, stdin=TEXT.encode())
    assert outcome.code == 0, outcome.err
    rows = map(json.loads, outcome.out.splitlines())
    return [token["surprisal"] for row in rows for token in row["tokens"]]


def evaluated(trained: Trained, *options: object) -> tuple[dict[str, Any], Outcome]:
    arguments = ("runs/tiny", "--data", "-", "--context", "line", "--json", *options)
    outcome = lmtrain("eval", *arguments, folder=trained.folder, stdin=TEXT.encode())
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out), outcome


def test_scores_are_mixed_word_by_word(trained: Trained, arpa: Path) -> None:
    model = surprisals(trained)
    ngram = surprisals(trained, "--ngram", arpa, "--weight", 1)
    shared = -1.2 - math.log10(2)  # often and <unk> are one word to it
    expected = [-0.1, -0.4, -0.95 - 0.2, -0.9 - 0.2, shared - 0.3, -0.95, -0.9 - 0.2, -0.9 - 0.3]
    expected += [-0.1, -0.95 - 0.2, -0.95 - 0.2, -0.95 - 0.2, -0.95 - 0.2, shared - 0.2, -0.9]
    assert ngram == pytest.approx([-value * math.log2(10) for value in expected], abs=1e-5)
    for options, weight in ((["--weight", 0.25], 0.25), ([], 0.5), (["--weight", 0], 0.0)):
        mixed = [(1 - weight) * 2**-a + weight * 2**-b for a, b in zip(model, ngram, strict=True)]
        found = surprisals(trained, "--ngram", arpa, *options)
        assert found == pytest.approx([-math.log2(p) for p in mixed], abs=1e-5)


def test_lists_are_rescored_by_the_mixture(trained: Trained, arpa: Path) -> None:
    options = ("--ngram", arpa, "--weight", 0.25)
    lists = "".join(f"-1 -2 3 {line}\n\n" for line in TEXT.splitlines() if line)
    arguments = ("runs/tiny", "-", "--json", "--precision", "bfloat16")
    outcome = lmtrain("rescore", *arguments, *options, folder=trained.folder, stdin=lists.encode())
    found = json.loads(outcome.out)
    assert "|prec:bfloat16|ngram:" in found["signature"]
    arguments = ("runs/tiny", "-", "--format", "json", "--precision", "bfloat16")
    out = lmtrain("score", *arguments, *options, folder=trained.folder, stdin=TEXT.encode()).out
    expected = [row["logprob"] for row in map(json.loads, out.splitlines()) if row["num_tokens"] > 1]
    assert [each["logprob"] for each in found["utterances"]] == pytest.approx(expected, abs=1e-2)


def test_an_evaluation_is_the_sum_of_scores(trained: Trained, arpa: Path) -> None:
    options = ("--ngram", arpa, "--weight", 0.3)
    found, outcome = evaluated(trained, *options)
    bits = surprisals(trained, *options)
    assert found["num_tokens"] == len(bits) == 15
    assert found["nll_nats"] == pytest.approx(sum(bits) * math.log(2), rel=1e-6)
    assert found["accuracy"] is None
    assert found["perplexity_without_unk"] > 1
    assert found["ngram"]["weight"] == 0.3
    assert found["ngram"]["tuned_on"] is None
    assert found["ngram"]["num_unknown_words"] == 1
    digest = hashlib.sha256(arpa.read_bytes()).hexdigest()
    assert f"|adapt:none|ngram:{digest[:8]}*0.3|vocab:" in found["signature"]
    alone, _ = evaluated(trained)
    assert found["ngram"]["perplexity_of_model"] == pytest.approx(alone["perplexity"], rel=1e-6)
    only, _ = evaluated(trained, "--ngram", arpa, "--weight", 1)
    assert found["ngram"]["perplexity_of_ngram"] == pytest.approx(only["perplexity"], rel=1e-9)
    assert "does not know 1 of the model's 11 words" in outcome.err


@pytest.mark.parametrize("context", ["line", "stream"])
def test_a_tuned_weight_is_the_best_there_is(trained: Trained, arpa: Path, context: str) -> None:
    options = ("--ngram", arpa, "--context", context)
    tune = arpa.with_name("tune.txt")
    tune.write_text("the old cat\nthe old\nsaw often\ndog sat and slept\n")

    def on_tuning_text(*weight: object) -> dict[str, Any]:
        arguments = ("runs/tiny", "--data", tune, "--json", *options, *weight)
        outcome = lmtrain("eval", *arguments, folder=trained.folder)
        assert outcome.code == 0, outcome.err
        return dict(json.loads(outcome.out))

    found, outcome = evaluated(trained, *options, "--tune-on", tune)
    weight = found["ngram"]["weight"]
    assert 0 < weight < 1
    assert found["ngram"]["tuned_on"] == str(tune)
    best = on_tuning_text("--weight", weight)["nll_nats"]
    for step in (-0.02, 0.02):
        assert on_tuning_text("--weight", weight + step)["nll_nats"] > best
    assert "flatters" not in outcome.err


def test_tuning_on_the_text_itself_is_pointed_out(trained: Trained, arpa: Path) -> None:
    options = ("--data", "valid.txt", "--ngram", arpa, "--tune-on", "valid.txt")
    outcome = lmtrain("eval", "runs/tiny", *options, folder=trained.folder)
    assert outcome.code == 0
    assert "valid.txt: is evaluated with what was tuned on it, which flatters the model" in outcome.err
    lines = {line[:17].strip(): line[17:].strip() for line in outcome.out.splitlines()}
    assert {"of the model", "of the n-gram", "n-gram weight"} <= set(lines)
    assert lines["n-gram weight"].endswith(", tuned on valid.txt")
    assert "accuracy" not in lines


def test_several_texts_with_a_mixture(trained: Trained, arpa: Path) -> None:
    options = ("--data", "valid.txt", "--data", "test.txt", "--ngram", arpa)
    outcome = lmtrain("eval", "runs/tiny", *options, folder=trained.folder)
    rows = [line.split() for line in outcome.out.partition("\n\n")[0].splitlines()]
    assert [row[-1] for row in rows] == ["accuracy", "-", "-", "-"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("eval", "--data", "test.txt", "--weight", 0.5), "--weight is that of an n-gram model"),
        (
            ("eval", "--data", "test.txt", "--tune-on", "valid.txt"),
            "--tune-on tunes an adaptation or the weight",
        ),
        (
            ("eval", "--data", "test.txt", "--ngram", "x", "--weight", 0.5, "--tune-on", "valid.txt"),
            "--weight and --tune-on exclude each other",
        ),
        (("score", "test.txt", "--weight", 0.5), "--weight is that of an n-gram model"),
        (("score", "test.txt", "--ngram", "x", "--extended"), "--extended tells of the model alone"),
        (("score", "test.txt", "--ngram", "x", "--weight", 2), "--weight"),
    ],
)
def test_what_contradicts_itself(trained: Trained, command: tuple[object, ...], message: str) -> None:
    name, *options = command
    outcome = lmtrain(name, "runs/tiny", *options, folder=trained.folder)
    assert outcome.code == 2
    assert message in outcome.err


def test_what_is_no_ngram_model(trained: Trained) -> None:
    for command in (("eval", "runs/tiny", "--data", "test.txt"), ("score", "runs/tiny", "test.txt")):
        outcome = lmtrain(*command, "--ngram", "test.txt", folder=trained.folder)
        assert outcome.code == 4
        assert re.match("lmtrain: test.txt: (no n-gram model|neither an ARPA file nor)", outcome.err)
        assert lmtrain(*command, "--ngram", "nowhere", folder=trained.folder).code == 4
