"""Formulas: as an independent evaluation reads them, as arithmetic has it, and nothing that is none."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from independent_syntaxgym import evaluate

from lmtrain.corpus.suites.formula import Formula, Region
from lmtrain.corpus.suites.reading import read_questions
from lmtrain.corpus.suites.syntaxgym import TEST

A, ALL_OF_A = Region(1, "a"), Region(None, "a")


@given(st.lists(st.tuples(st.sampled_from(["+", "-", "- [", "+ ["]), st.integers(0, 9)), max_size=6))
def test_sums_are_those_of_arithmetic(terms: list[tuple[str, int]]) -> None:
    text = "5 " + "".join(f"{sign} {number} " for sign, number in terms)
    text += "]" * text.count("[")
    total = eval(text.replace("[", "(").replace("]", ")"))
    assert Formula(f"{text} < {total + 0.5}").value({})
    assert Formula(f"{total - 0.5} < {text}").value({})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 - 2 - 1 > 1.5", True),  # from the left
        ("5 - [2 - 1] > 3.5", True),
        ("5 - 2 + 1 > 3.5", True),
        ("1 < 2 | 2 < 1 & 2 < 1", True),  # & binds closer than |
        ("[1 < 2 | 2 < 1] & 2 < 1", False),
        ("(1 < 2) & (-1 > -2)", True),
        ("1=1&1>0", True),
        (".5 < 0.75", True),
        ("8 = 8.001", True),
        ("8 = 8.0012", False),
        ("1000 = 1000.01", True),  # a hundred-thousandth of what is right
        ("1000 = 1000.02", False),
    ],
)
def test_known_values(text: str, expected: bool) -> None:
    assert bool(Formula(text).value({})) == expected


def test_regions_are_named_once_and_found() -> None:
    formula = Formula("(2;%b-x_1%)-(1;%a%)>(1;%a%)+(*;%a%)")
    assert formula.regions == (Region(2, "b-x_1"), A, ALL_OF_A)
    assert formula.value({Region(2, "b-x_1"): 9.0, A: 2.0, ALL_OF_A: 4.0})
    assert not formula.value({Region(2, "b-x_1"): 9.0, A: 2.0, ALL_OF_A: 5.0})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "ends where a region"),
        ("(1;%a%)", "a prediction compares"),
        ("(1;%a%) <", "ends where a region"),
        ("[(1;%a%) < 2", "ends where ']'"),
        ("[1 < 2)", "']' expected before ')'"),
        ("1 < 2 3", "an operator expected before '3'"),
        ("1 < 2 < 3", "< stands between numbers"),
        ("1 & 2 < 3", "& stands between comparisons"),
        ("[1 < 2] + 1 > 0", "+ stands between numbers"),
        ("(1;a) < 2", "')' expected before ';a) < 2'"),
        ("a < 2", "a region, a number or a bracket expected before 'a < 2'"),
        ("1 <= 2", "expected before '= 2'"),
    ],
)
def test_what_is_no_formula_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        Formula(text)
    assert complaint in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "chance"),
    [
        ("(1;%a%) < (2;%b%)", 0.5),
        ("[(1;%a%) < (2;%b%)] & [(3;%a%) < (4;%b%)]", 0.25),
        ("[(1;%a%) - (2;%b%)] + [(3;%a%) - (4;%b%)] > 0", 0.5),
        ("[(1;%a%) < (2;%b%)] & [(1;%a%) < (3;%c%)]", 1 / 3),  # the least of three
        ("(1;%a%) = (2;%b%)", 0.0),
    ],
)
def test_chance(text: str, chance: float) -> None:
    assert Formula(text).chance == pytest.approx(chance, abs=0.006)


def test_all_formulas_of_real_suites_are_as_an_independent_evaluation_says(shared_data: Path) -> None:
    draw, formulas, results = random.Random(1), set(), []
    for path in sorted((shared_data / "stimuli" / "syntaxgym").glob("*.json")):
        for question in read_questions(path):
            assert question.place.test == TEST
            formulas.add(question.formula)  # type: ignore[attr-defined]
    for formula in sorted(formulas, key=lambda formula: formula.text):
        for _ in range(50):
            # Few different values, so that all comparisons come out both ways, and some are equal.
            bits = {region: draw.choice((1.0, 2.0, 2.0005, 3.0)) for region in formula.regions}
            sums = {(str(region.number), region.condition): x for region, x in bits.items()}
            results.append(bool(formula.value(bits)))
            assert results[-1] == evaluate(formula.text, sums), formula.text
    assert len(formulas) == 14
    assert 0.1 < sum(results) / len(results) < 0.9
