"""Verdicts are those of the probabilities that scoring gives; ties and unknown words are seen."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from independent_syntaxgym import verdicts
from tiny_models import VOCAB, make_model, unigram_model

from lmtrain.corpus.suites.formula import Formula
from lmtrain.corpus.suites.question import WHOLE, Pair, Place, Prediction, Question, Stretch
from lmtrain.corpus.suites.reading import read_questions
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import DataError
from lmtrain.inference.judge import Judge, Verdict
from lmtrain.inference.score import Scorer
from lmtrain.model.language_model import LanguageModel

MODEL = make_model()
PLAIN = TextRules()
LINES = st.lists(st.sampled_from(["the", "cat", "sat", "on", "mat", "dog"]), max_size=5).map(" ".join)
HERE = Place("t", "here", method=WHOLE)


def judge(*questions: Question, model: LanguageModel = MODEL, rules: TextRules = PLAIN) -> list[Verdict]:
    return Judge(model, VOCAB, rules).verdicts(questions)


def whole(good: str, bad: str) -> Pair:
    return Pair(Stretch.sentence(good), Stretch.sentence(bad), HERE)


def after(prefixes: tuple[str, str], words: tuple[str, str]) -> Pair:
    return Pair(Stretch.after(prefixes[0], words[0]), Stretch.after(prefixes[1], words[1]), HERE)


def bits_of(words: list[str]) -> list[float]:
    """Of each word and the end, a line scored alone."""
    return [float(bits) for bits in Scorer(MODEL, VOCAB).score([words])[0].surprisal]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(LINES, LINES), min_size=1, max_size=6))
def test_whole_sentences(pairs: list[tuple[str, str]]) -> None:
    for (good, bad), verdict in zip(pairs, judge(*(whole(*pair) for pair in pairs)), strict=True):
        expected = [sum(bits_of(line.split())) for line in (good, bad)]
        assert verdict.bits == pytest.approx(expected, rel=1e-5)
        same = [["<unk>" if w == "dog" else w for w in line.split()] for line in (good, bad)]
        assert verdict.is_tie == (same[0] == same[1])
        assert verdict.holds == (not verdict.is_tie and verdict.bits[0] < verdict.bits[1])


@settings(max_examples=30, deadline=None)
@given(LINES, LINES, LINES.filter(bool), LINES.filter(bool))
def test_words_after_prefixes(one: str, other: str, word: str, second: str) -> None:
    verdicts = judge(after((one, one), (word, second)), after((one, other), (word, word)))
    for verdict, lines in zip(
        verdicts, [((one, word), (one, second)), ((one, word), (other, word))], strict=True
    ):
        for bits, (prefix, words) in zip(verdict.bits, lines, strict=True):
            rest = bits_of([*prefix.split(), *words.split()])[len(prefix.split()) : -1]
            assert bits == pytest.approx(sum(rest), rel=1e-5)


@pytest.mark.parametrize(
    ("question", "is_unknown"),
    [
        (whole("the dog sat", "the dog sat on"), False),
        (whole("the cat sat", "the dog sat"), True),
        (whole("the dog sat", "the pig sat"), True),
        (whole("the dog sat on", "the sat on dog"), True),  # the order of an unknown word
        (whole("dog sat on the mat", "dog sat the on mat"), False),
        (after(("the dog", "the dog"), ("sat", "on")), False),
        (after(("the", "the"), ("dog sat", "dog on")), True),
        (after(("the", "on"), ("dog", "dog")), True),
        (after(("dog", "dog the"), ("sat", "sat")), False),
        (after(("dog", "pig"), ("sat", "sat")), True),
    ],
)
def test_unknown_words_that_matter(question: Pair, is_unknown: bool) -> None:
    (verdict,) = judge(question)
    assert verdict.has_unknown == is_unknown


def test_what_the_model_cannot_tell_apart_is_a_tie_whatever_is_read_beside_it() -> None:
    lines = [whole(f"the dog {'sat ' * i}", f"the pig {'sat ' * i}") for i in range(50)]
    found = judge(*lines, *(whole(f"cat {'on ' * i}", f"mat {'on ' * i}") for i in range(50)))
    assert all(v.is_tie and not v.holds for v in found[:50])
    assert not any(v.is_tie for v in found[50:])


def test_words_are_cut_by_rules() -> None:
    (verdict,) = judge(after(("The cat", "The cat"), ("SAT", "on")), rules=TextRules(lowercase=True))
    assert verdict.bits == pytest.approx([bits_of(["the", "cat", w])[2] for w in ("sat", "on")], rel=1e-5)
    assert not verdict.has_unknown


def test_a_line_that_holds_an_end_is_refused() -> None:
    with pytest.raises(DataError, match="here: the text itself holds <eos>"):
        judge(whole("the <eos>", "the"))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("sum", 16.0), ("mean", 3.2), ("median", 3.0), ("range", 5.0), ("max", 6.0), ("min", 1.0)],
)
def test_metrics(metric: Any, expected: float) -> None:
    of = {"the": 1, "<eos>": 2, "cat": 3, "<unk>": 4, "sat": 5, "on": 6, "mat": 6}  # bits
    model = unigram_model([2.0 ** -of[word] for word in VOCAB.words])
    line = "mat cat sat the the on mat"
    formula = Formula(f"(1;%a%) = {expected}")
    question = Prediction(formula, formula.regions, (Stretch(line, 4, -4 % len(line)),), metric, 0.0, HERE)
    (verdict,) = judge(question, model=model)
    assert verdict.bits == pytest.approx((expected,))
    assert verdict.holds


def test_a_region_of_which_rules_leave_nothing_is_an_empty_one() -> None:
    rules, formula = TextRules(no_punctuation=True), Formula("(1;%a%) = 0")

    def question(metric: Any) -> Prediction:
        return Prediction(formula, formula.regions, (Stretch("the cat , sat", 8, 9),), metric, 0.0, HERE)

    (verdict,) = judge(question("sum"), rules=rules)
    assert (verdict.bits, verdict.holds, verdict.has_unknown) == ((0.0,), True, False)
    for metric in ("mean", "max"):
        told = rf"here: no word is read of the region ',' \(tok:ws\+nopunct\), which has no {metric} then"
        with pytest.raises(DataError, match=told):
            judge(question(metric), rules=rules)


def test_real_suites_agree_with_an_independent_evaluation(shared_data: Path) -> None:
    paths = sorted((shared_data / "stimuli" / "syntaxgym").glob("*.json"))
    words = sorted({word for path in paths for q in read_questions(path) for word in _words(q)})
    vocab = Vocabulary(("<unk>", "<eos>", *words[::2], *words[1::4]))  # a quarter is unknown
    model = make_random(len(vocab))
    scorer = Scorer(model, vocab)
    bits = cache(lambda line: scorer.score([line.split()])[0].surprisal.tolist())
    holding = 0
    for path in paths:
        expected = [holds for _, holds in verdicts(path, lambda words: bits(" ".join(words)))]
        found = Judge(model, vocab, TextRules()).verdicts(read_questions(path))
        assert [verdict.holds for verdict in found] == expected, path
        holding += sum(expected)
    assert 50 < holding < 250


def _words(question: Question) -> list[str]:
    return [word for stretch in question.stretches for word in stretch.line.split()]


def make_random(vocab_size: int) -> LanguageModel:
    """A model with opinions on many words."""
    model = LanguageModel(vocab_size, 6, 8, 1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.7, generator=generator)
    return model.eval()
