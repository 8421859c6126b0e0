"""The n-gram models that `benchmarks/ngram.py` estimates, read as any other."""

import itertools
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_texts import line_log_probs

from lmtrain.corpus.corpus import build_vocabulary
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.inference.ngram import NGramModel

PROGRAM = Path(__file__).resolve().parents[1] / "benchmarks" / "ngram.py"


def estimate(text: Path, order: int) -> tuple[NGramModel, Vocabulary]:
    arpa, figures = text.with_suffix(".arpa"), text.with_suffix(".json")
    arguments = [text, "--order", order, "--out", arpa, "--json", figures]
    subprocess.run([sys.executable, PROGRAM, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    assert len(json.loads(figures.read_text())["ngrams"]) == order
    vocab = build_vocabulary([text], TextRules(), cache_dir=text.parent / "cache")
    return NGramModel(arpa, vocab), vocab


def test_a_model_worked_by_hand(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a b\na c\n")
    model, vocab = estimate(text, 2)
    # So small a text is discounted by 0.5, 1 and 1.5 for counts of 1, 2 and more. Each word follows so many
    # different ones: a 1, b 1, c 1, </s> 2; two are taken from five, and spread over those and <unk>.
    half, spread = 0.5 / 5, (3 * 0.5 + 1) / 5 / 5
    unigrams = {"a": half + spread, "b": half + spread, "</s>": 1 / 5 + spread, "<unk>": spread}
    after_bos = (2 - 1) / 2 + 1 / 2 * unigrams["a"]
    b_after_a = (1 - 0.5) / 2 + (0.5 + 0.5) / 2 * unigrams["b"]
    end_after_b = (1 - 0.5) / 1 + 0.5 * unigrams["</s>"]
    assert np.exp(line_log_probs(model, ["a", "b"])) == pytest.approx(
        [after_bos, b_after_a, end_after_b], rel=1e-5
    )
    assert np.exp(line_log_probs(model, ["<unk>"])) == pytest.approx(
        [1 / 2 * unigrams["<unk>"], unigrams["</s>"]], rel=1e-5
    )
    assert "c" in vocab


def test_probabilities_sum_to_one(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    draw = random.Random(1)
    words = ["<unk>", "é", *"abcd"]
    lines = (draw.choices(words, [9, 1, 5, 3, 2, 1], k=draw.randrange(8)) for _ in range(200))
    text.write_text("".join(" ".join(line) + "\n" for line in lines), encoding="utf-8")
    model, vocab = estimate(text, 4)
    assert (model.order, model.num_unknown_words) == (4, 0)
    for context in itertools.product(range(len(vocab)), repeat=3):
        after = [model.log_probs([*context, i])[-1] for i in range(len(vocab))]
        assert np.exp(after).sum() == pytest.approx(1, abs=2e-6)
