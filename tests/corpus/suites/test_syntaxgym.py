"""Test suites: regions are found in their sentences, and what cannot be evaluated is refused."""

import copy
from pathlib import Path
from typing import Any

import pytest

from lmtrain.corpus.suites.question import Prediction
from lmtrain.corpus.suites.reading import read_questions
from lmtrain.corpus.suites.syntaxgym import predictions_of
from lmtrain.errors import DataError


def condition(name: str, *contents: str) -> dict[str, Any]:
    regions = [{"region_number": i, "content": content} for i, content in enumerate(contents, 1)]
    return {"condition_name": name, "regions": regions}


SUITE: dict[str, Any] = {
    "meta": {"name": "tiny", "metric": "sum"},
    "predictions": [
        {"type": "formula", "formula": "(2;%a%) < (2;%b%)"},
        {"type": "formula", "formula": "(*;%a%) < (3;%b%)"},
    ],
    "items": [
        {
            "item_number": 7,
            "conditions": [condition("a", "the cat", "", " sat on "), condition("b", "The", "dogs sat", ".")],
        }
    ],
}


def changed(*keys: str | int, value: Any = None) -> dict[str, Any]:
    """The suite with a value in the place of what stands at some keys, or without it."""
    suite = copy.deepcopy(SUITE)
    inner = suite
    for key in keys[:-1]:
        inner = inner[key]  # type: ignore[index]
    if value is None:
        del inner[keys[-1]]  # type: ignore[arg-type]
    else:
        inner[keys[-1]] = value  # type: ignore[index]
    return suite


def test_regions_in_their_sentences() -> None:
    first, second = predictions_of(SUITE, "tiny.json")
    texts = [s.line[s.start : s.end] for prediction in (first, second) for s in prediction.stretches]
    assert texts == ["", "dogs sat", "the cat sat on", "."]
    assert {s.line for s in first.stretches} == {"the cat sat on", "The dogs sat ."}
    assert not any(s.with_eos for s in (*first.stretches, *second.stretches))
    assert [p.place.groups for p in (first, second)] == [{"suite": "tiny (1)"}, {"suite": "tiny (2)"}]
    assert first.place.where == "tiny.json: item 7"
    assert first.holds((1.0, 2.0)) is True
    assert first.holds((2.0, 2.0)) is False is first.is_tie((2.0, 2.0))


@pytest.mark.parametrize(
    ("suite", "complaint"),
    [
        (changed("meta"), "tiny.json: no test suite of SyntaxGym: 'meta' is missing"),
        (changed("meta", "metric", value="product"), "metric 'product'; there are sum, mean"),
        (changed("predictions", 0, "formula", value="(2;%a%)"), "a prediction compares"),
        (changed("predictions", 0, "type", value="program"), "of type 'program'"),
        (changed("predictions", 0, "formula", value="(2;%x%) < 1"), "item 7: no region (2;%x%)"),
        (changed("predictions", 0, "formula", value="(9;%a%) < 1"), "item 7: no region (9;%a%)"),
        (changed("meta", "metric", value="mean"), "item 7: region (2;%a%) is empty, and has no mean"),
        (changed("items", 0, "conditions", 0, "regions"), "'regions' is missing"),
        (changed("items", 0, "conditions", 0, "regions", 0, "content", value=3), "no test suite"),
        (changed("items", value=[1]), "no test suite"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(suite: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError) as refusal:
        list(predictions_of(suite, "tiny.json"))
    assert complaint in str(refusal.value)


def test_real_suites(shared_data: Path) -> None:
    numbers = {}
    for path in (shared_data / "stimuli" / "syntaxgym").glob("*.json"):
        found = read_questions(path)
        numbers[path.stem] = len(found)
        for question in found:
            assert isinstance(question, Prediction)
            for stretch in question.stretches:
                part = stretch.line[stretch.start : stretch.end]
                assert part == part.strip()
                assert f" {part} ".replace("  ", " ") in f" {stretch.line} "
    assert len(numbers) == 12
    assert sum(numbers.values()) == 307
    assert numbers["fgd_hierarchy"] == 2 * 24
