"""The best of n-best lists and tuned weights, against a search that tries everything one by one."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import VOCAB, make_model

from lmtrain.corpus.nbest import Hypothesis, NbestList
from lmtrain.corpus.text import TextRules
from lmtrain.errors import DataError
from lmtrain.inference.rescore import (
    LANGUAGE_WEIGHTS,
    MAX_INSERTION,
    ScoredList,
    Scores,
    Tally,
    Weights,
    count_errors,
    score_lists,
    tally,
    tune,
    word_errors,
)
from lmtrain.inference.score import Scorer

Lists = list[ScoredList]


def distance(said: Sequence[str], heard: Sequence[str]) -> int:
    """Of Wagner and Fischer, row by row."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


def list_of(*rows: tuple[str, float, float, float]) -> ScoredList:
    """Text, acoustic score, that of the first pass and of the model."""
    hypotheses = [Hypothesis(text, a, f, len(text.split())) for text, a, f, _ in rows]
    columns = zip(*((a, f, lm, len(text.split())) for text, a, f, lm in rows), strict=True)
    return ScoredList(None, hypotheses, Scores(*(np.array(column, dtype=float) for column in columns)))


def total(each: ScoredList, i: int, language: float, insertion: float) -> float:
    scores = each.scores
    return float(scores.acoustic[i] + language * scores.language[i] + insertion * scores.num_words[i])


def errors_at(lists: Lists, said: list[list[str]], language: float, insertion: float) -> int:
    count = 0
    for each, words in zip(lists, said, strict=True):
        best = max(range(len(each.hypotheses)), key=lambda i: (total(each, i, language, insertion), -i))
        count += distance(words, each.hypotheses[best].text.split())
    return count


def search(lists: Lists, said: list[list[str]]) -> tuple[int, Weights]:
    """Each weight, and between any two insertions at which two hypotheses of a list are equal, the middle."""
    found = []
    for language in LANGUAGE_WEIGHTS:
        furthest = MAX_INSERTION * max(1, language)
        edges = {-furthest, furthest}
        for each in lists:
            for i, j in itertools.combinations(range(len(each.hypotheses)), 2):
                slope = each.scores.num_words[i] - each.scores.num_words[j]
                if slope:
                    edges.add(float((total(each, j, language, 0) - total(each, i, language, 0)) / slope))
        inside = sorted(edge for edge in edges if -furthest <= edge <= furthest)
        ranges: list[list[float]] = []
        for low, high in itertools.pairwise(inside):
            if high - low <= 1e-9 * furthest:
                continue
            count = errors_at(lists, said, language, (low + high) / 2)
            if ranges and ranges[-1][0] == count:
                ranges[-1][2] = high
            else:
                ranges.append([count, low, high])
        for count, low, high in ranges:
            share = round((high - low) / furthest, 9)
            found.append((count, -share, language, Weights(language, (low + high) / 2)))
    count, _, _, weights = min(found, key=lambda each: each[:3])
    return int(count), weights


WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)
SCORE = st.integers(-400, 0).map(lambda n: n / 8)


@st.composite
def tasks(draw: st.DrawFn) -> tuple[Lists, list[list[str]]]:
    said = draw(st.lists(WORDS, min_size=1, max_size=3))
    row = st.tuples(WORDS.map(" ".join), SCORE, st.just(0.0), SCORE)
    lists = [list_of(*draw(st.lists(row, min_size=1, max_size=5))) for _ in said]
    return lists, said


@given(tasks())
@settings(max_examples=40, deadline=None)
def test_tuned_weights_are_those_of_a_search_through_everything(task: tuple[Lists, list[list[str]]]) -> None:
    lists, said = task
    errors = count_errors(lists, said)
    weights = tune(lists, errors)
    fewest, expected = search(lists, said)
    assert tally(lists, errors, said, weights).errors == fewest
    assert weights.language == expected.language
    assert weights.insertion == pytest.approx(expected.insertion, abs=1e-9)


@given(tasks(), st.sampled_from(LANGUAGE_WEIGHTS), st.floats(-10, 10))
@settings(max_examples=50, deadline=None)
def test_no_weights_do_better(task: tuple[Lists, list[list[str]]], language: float, insertion: float) -> None:
    lists, said = task
    errors = count_errors(lists, said)
    best = tally(lists, errors, said, tune(lists, errors))
    other = tally(lists, errors, said, Weights(language, insertion))
    assert other.errors == errors_at(lists, said, language, insertion)
    assert best.fewest <= best.errors <= other.errors


@given(tasks(), st.floats(0, 20), st.floats(-5, 5))
@settings(max_examples=50, deadline=None)
def test_the_best_is_that_of_the_highest_sum(
    task: tuple[Lists, list[list[str]]], language: float, insertion: float
) -> None:
    for each in task[0]:
        sums = [total(each, i, language, insertion) for i in range(len(each.hypotheses))]
        assert each.best(Weights(language, insertion)) is each.hypotheses[sums.index(max(sums))]


@given(WORDS, WORDS)
def test_word_errors(said: list[str], heard: list[str]) -> None:
    assert word_errors(said, heard) == distance(said, heard)


def test_a_language_model_that_is_right_and_one_that_is_wrong() -> None:
    """By hand: the words decide, and where nothing does, 0 a word is in the middle."""
    right = [list_of(("a b", -10, 0, -9), ("a c", -12, 0, -3))]
    weights = tune(right, count_errors(right, [["a", "c"]]))
    assert weights.language > 2 / 6  # -12 - 3 w > -10 - 9 w
    assert weights.insertion == 0
    wrong = tune(right, count_errors(right, [["a", "b"]]))
    assert wrong == Weights(0.0, 0.0)


def test_the_first_pass_takes_part_by_its_weight() -> None:
    (each,) = [list_of(("a", -1, -5, -1), ("b", -2, -1, -1))]
    assert [each.scores.best(Weights(1, 0, weight)) for weight in (0, 0.2, 0.3)] == [0, 0, 1]
    assert tune([each], count_errors([each], [["b"]]), 0.3) == Weights(0.0, 0.0, 0.3)


def test_lists_without_hypotheses_miss_every_word() -> None:
    empty = ScoredList(None, [], Scores(*(np.array([]),) * 4))
    lists, said = [empty, list_of(("a", -1, 0, -1))], [["a", "b"], ["a"]]
    errors = count_errors(lists, said)
    assert empty.best(Weights()) is None
    assert tally(lists, errors, said, tune(lists, errors)) == Tally(3, 2, 2, 2)
    assert tune([empty], errors[:1]) == Weights(0.0, 0.0)
    assert math.isnan(tally([], [], [], Weights()).rate)


def lists_of(*utterances: list[str]) -> list[NbestList]:
    return [
        NbestList(None, "", [Hypothesis(text, -1.0, 0.0, len(text.split()), "nbest:7") for text in texts])
        for texts in utterances
    ]


def test_scores_are_those_of_the_model() -> None:
    scorer = Scorer(make_model(), VOCAB)
    (first, second) = score_lists(scorer, TextRules(), [lists_of(["the cat sat", ""], ["mat"])], fail)
    lines = scorer.score([["the", "cat", "sat"], [], ["mat"]])
    assert [*first.scores.language, *second.scores.language] == pytest.approx([x.log_prob for x in lines])
    assert first.scores.num_words.tolist() == [3, 0]


@pytest.mark.parametrize("goes_on", [False, True])
def test_groups_change_no_score(goes_on: bool) -> None:
    lists = lists_of(["the cat", "mat"], [], ["sat on the mat", ""], ["the"])
    found = []
    for groups in ([lists], [lists[:1], lists[1:]], [[each] for each in lists]):
        scorer = Scorer(make_model(), VOCAB)
        scored = score_lists(scorer, TextRules(), groups, fail, goes_on=goes_on)
        found.append([each.scores.language.tolist() for each in scored])
    assert [len(scores) for scores in found[0]] == [2, 0, 2, 1]
    for other in found[1:]:
        for scores, expected in zip(other, found[0], strict=True):
            assert scores == pytest.approx(expected, abs=1e-5)


def test_lists_of_a_group_are_read_together() -> None:
    model = make_model()
    calls: list[object] = []
    model.register_forward_hook(lambda *_: calls.append(None))
    lists = lists_of(*[["the cat", "cat"]] * 50)
    assert len(list(score_lists(Scorer(model, VOCAB), TextRules(), [lists], fail))) == 50
    assert len(calls) == 1


def test_what_precedes_a_fault_is_scored() -> None:
    lists = lists_of(["the cat"], ["mat"], ["the <eos>", "mat"], ["sat"])
    scored = score_lists(Scorer(make_model(), VOCAB), TextRules(), [lists], fail)
    assert [next(scored).hypotheses[0].text for _ in range(2)] == ["the cat", "mat"]
    with pytest.raises(DataError, match="the text itself holds <eos>"):
        next(scored)


@pytest.mark.parametrize("cell", ["lstm", "gru", "sru"])
def test_an_utterance_goes_on_from_the_first_hypothesis_before_it(cell: str) -> None:
    model = make_model(cell=cell)
    utterances = [["the cat", "mat"], ["sat on", "sat", ""], ["the", "the mat sat"]]
    found = list(score_lists(Scorer(model, VOCAB), TextRules(), [lists_of(*utterances)], fail, goes_on=True))
    before: list[list[str]] = []
    for texts, scored in zip(utterances, found, strict=True):
        for text, log_prob in zip(texts, scored.scores.language, strict=True):
            *_, last = Scorer(model, VOCAB, "stream").score([*before, text.split()])
            assert log_prob == pytest.approx(last.log_prob, abs=1e-4)
        before.append(texts[0].split())


def fail(error: DataError) -> None:
    raise error


def test_what_no_line_may_hold_is_left_out() -> None:
    refused: list[DataError] = []
    (found,) = score_lists(
        Scorer(make_model(), VOCAB), TextRules(), [lists_of(["the <eos>", "mat"])], refused.append
    )
    assert [each.text for each in found.hypotheses] == ["mat"]
    assert "nbest:7: the text itself holds <eos>" in str(refused[0])
