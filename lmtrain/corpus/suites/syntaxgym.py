"""Test suites of SyntaxGym: items in several conditions, cut into regions, and formulas about these.

A sentence is its regions with a space between any two, empty ones left out. The end of a sentence belongs to
no region.

Source: Hu, Gauthier, Qian, Wilcox and Levy (2020), "A systematic assessment of syntactic generalization in
neural language models".
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from lmtrain.corpus.suites.formula import Formula, Region
from lmtrain.corpus.suites.question import Metric, Place, Prediction, Stretch
from lmtrain.errors import DataError

TEST = "SyntaxGym"


def is_suite(value: Any) -> bool:
    """Whether a JSON value looks like a test suite."""
    return isinstance(value, dict) and "items" in value and "predictions" in value


def predictions_of(suite: Mapping[str, Any], name: str) -> Iterator[Prediction]:
    """Every formula about every item.

    Args:
        suite: The JSON value.
        name: Of the file, with which messages begin.

    Raises:
        DataError: It is no suite that can be evaluated.
    """
    try:
        yield from _predictions(suite, name)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"{name}: no test suite of SyntaxGym: {what}") from None


def _predictions(suite: Mapping[str, Any], name: str) -> Iterator[Prediction]:
    about = suite["meta"]
    metric: Metric = about.get("metric") or "sum"
    if metric not in get_args(Metric):
        raise ValueError(f"metric {metric!r}; there are {', '.join(get_args(Metric))}")
    formulas = [_formula(prediction) for prediction in suite["predictions"]]
    for number, item in enumerate(suite["items"], 1):
        item_number = str(item.get("item_number", number))
        where = f"{name}: item {item_number}"
        regions = {
            region: stretch
            for condition in item["conditions"]
            for region, stretch in _regions(condition).items()
        }
        for index, formula in enumerate(formulas, 1):
            label = f"{about['name']} ({index})" if len(formulas) > 1 else str(about["name"])
            yield Prediction(
                formula,
                formula.regions,
                tuple(_found(regions, region, metric, where) for region in formula.regions),
                metric,
                formula.chance,
                Place(TEST, where, {"suite": label}, item=item_number),
            )


def _formula(prediction: Mapping[str, Any]) -> Formula:
    if prediction.get("type", "formula") != "formula":
        raise ValueError(f"a prediction of type {prediction['type']!r}; formulas are understood")
    return Formula(prediction["formula"])


def _regions(condition: Mapping[str, Any]) -> dict[Region, Stretch]:
    """The regions of a sentence by number, and all of it."""
    line, places = "", {}
    for region in condition["regions"]:
        content = region["content"].strip()
        start = len(line) + bool(line and content)
        line += f" {content}" if start > len(line) else content
        places[int(region["region_number"])] = (start, len(line))
    name = condition["condition_name"]
    found = {Region(number, name): Stretch(line, *place) for number, place in places.items()}
    return {**found, Region(None, name): Stretch(line, 0, len(line))}


def _found(regions: Mapping[Region, Stretch], region: Region, metric: str, where: str) -> Stretch:
    if region not in regions:
        raise DataError(f"{where}: no region {region}, which a formula names")
    stretch = regions[region]
    if metric != "sum" and stretch.start == stretch.end:
        raise DataError(f"{where}: region {region} is empty, and has no {metric}")
    return stretch
