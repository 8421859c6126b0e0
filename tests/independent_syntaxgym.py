"""SyntaxGym's formulas evaluated in another way than the program's: Python does the arithmetic."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SurprisalsOf = Callable[[list[str]], list[float]]
"""From words to the surprisal of each, in bits."""


def sentence_of(condition: dict[str, Any]) -> tuple[list[str], dict[int, range]]:
    """The words of a sentence, and which of them are in each region."""
    words: list[str] = []
    places = {}
    for region in condition["regions"]:
        content = region["content"].split()
        places[region["region_number"]] = range(len(words), len(words) + len(content))
        words += content
    return words, places


def verdicts(path: Path, surprisals_of: SurprisalsOf) -> Iterator[tuple[str, bool]]:
    """For each item and formula, in this order, the formula and whether it is true."""
    suite = json.loads(path.read_text(encoding="utf-8"))
    for item in suite["items"]:
        sums = {}
        for condition in item["conditions"]:
            words, places = sentence_of(condition)
            bits = surprisals_of(words)
            for number, place in places.items():
                sums[str(number), condition["condition_name"]] = sum(bits[i] for i in place)
        for prediction in suite["predictions"]:
            yield prediction["formula"], evaluate(prediction["formula"], sums)


def evaluate(formula: str, sums: dict[tuple[str, str], float]) -> bool:
    """Whether a formula is true; ``a = b`` becomes ``a |NEAR| b``, between sums."""
    text = re.sub(r"\((\d+);%([\w-]+)%\)", lambda m: f"Number({sums[m[1], m[2]]!r})", formula)
    text = text.replace("[", "(").replace("]", ")").replace("=", "==").replace("&", " and ")
    return bool(eval(text, {"Number": Number}))


class Number(float):
    """Equal to what is near it, as in SyntaxGym."""

    def __add__(self, other: float) -> "Number":
        return Number(float(self) + float(other))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and abs(float(self) - float(other)) <= 1e-3 + 1e-5 * abs(float(other))

    __hash__ = None  # type: ignore[assignment]
