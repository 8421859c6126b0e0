"""Formulas of SyntaxGym: what a test suite predicts about the surprisals of its regions.

    [(7;%match_sing%) < (7;%mismatch_sing%)] & [(7;%match_plural%) < (7;%mismatch_plural%)]

``(7;%match_sing%)`` is region 7 in the condition ``match_sing``, ``(*;%match_sing%)`` all of it. ``+`` and
``-`` bind closest, then ``<``, ``>`` and ``=``, then ``&``, then ``|``; operators of one kind from the left.
Brackets, square or round, go first. Surprisals are equal as they are in SyntaxGym: if they differ by less
than 0.001 bits and a hundred-thousandth.

Source: Gauthier, Hu, Wilcox, Qian and Levy (2020), "SyntaxGym: An online platform for targeted evaluation of
language models".
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

_ABSOLUTE, _RELATIVE = 1e-3, 1e-5
_DRAWS = 100_000
_SPACE = re.compile(r"\s*")
_REGION = re.compile(r"\(\s*(\*|\d+)\s*;\s*%([^%]+)%\s*\)")
_NUMBER = re.compile(r"-?\d+(\.\d+)?|-?\.\d+")
_CLOSING = {"(": ")", "[": "]"}
_LEVELS = (("|",), ("&",), ("<", ">", "="), ("+", "-"))
"""Of operators, from those that bind least."""


class Region(NamedTuple):
    """A region in a condition."""

    number: int | None
    """None for all of the condition."""
    condition: str

    def __str__(self) -> str:
        """As formulas write it."""
        return f"({'*' if self.number is None else self.number};%{self.condition}%)"


def _equal(left: Any, right: Any) -> Any:
    return abs(left - right) <= _ABSOLUTE + _RELATIVE * abs(right)


_FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "|": operator.or_,
    "&": operator.and_,
    "<": operator.lt,
    ">": operator.gt,
    "=": _equal,
    "+": operator.add,
    "-": operator.sub,
}


@dataclass(frozen=True)
class _Operation:
    symbol: str
    left: Any
    right: Any


def _is_truth(node: Any) -> bool:
    """Whether it is true or false, and no number."""
    return isinstance(node, _Operation) and node.symbol not in _LEVELS[-1]


def _value(node: Any, values: Mapping[Region, Any]) -> Any:
    if isinstance(node, _Operation):
        return _FUNCTIONS[node.symbol](_value(node.left, values), _value(node.right, values))
    return values[node] if isinstance(node, Region) else node


class Formula:
    """A formula, parsed.

    Args:
        text: As the suite has it.

    Raises:
        ValueError: It is none; says where.

    Attributes:
        regions: Those that it names, each once.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._at = 0
        found: list[Region] = []
        self._root = self._operations(0, found)
        if self._at < len(text):
            raise self._fault("an operator")
        if not _is_truth(self._root):
            raise ValueError(f"{text!r}: a number; a prediction compares two")
        self.regions = tuple(dict.fromkeys(found))

    def value(self, values: Mapping[Region, Any]) -> Any:
        """Whether it is true, given the figure of each region in bits, or an array of them."""
        return _value(self._root, values)

    @cached_property
    def chance(self) -> float:
        """How often it would be true if the figures of all regions were alike and independent.

        They are drawn from a normal distribution: exact to about a fifth of a percent.
        """
        draws = np.random.default_rng(0).standard_normal((len(self.regions), _DRAWS))
        return float(np.mean(self.value(dict(zip(self.regions, draws, strict=True)))))

    def _operations(self, level: int, found: list[Region]) -> Any:
        """What stands here, as far as its operators are of a level or bind closer."""
        if level == len(_LEVELS):
            return self._operand(found)
        left = self._operations(level + 1, found)
        while (symbol := self.text[self._at : self._at + 1]) in _LEVELS[level]:
            self._skip(1)
            right = self._operations(level + 1, found)
            if any(_is_truth(side) != (symbol in "&|") for side in (left, right)):
                what = "comparisons" if symbol in "&|" else "numbers"
                raise ValueError(f"{self.text!r}: {symbol} stands between {what}")
            left = _Operation(symbol, left, right)
        return left

    def _operand(self, found: list[Region]) -> Any:
        self._skip(0)
        if region := _REGION.match(self.text, self._at):
            self._skip(len(region[0]))
            found.append(Region(None if region[1] == "*" else int(region[1]), region[2]))
            return found[-1]
        if number := _NUMBER.match(self.text, self._at):
            self._skip(len(number[0]))
            return float(number[0])
        closing = _CLOSING.get(self.text[self._at : self._at + 1])
        if closing is None:
            raise self._fault("a region, a number or a bracket")
        self._skip(1)
        inner = self._operations(0, found)
        if not self.text.startswith(closing, self._at):
            raise self._fault(repr(closing))
        self._skip(1)
        return inner

    def _skip(self, length: int) -> None:
        """Goes on after so many characters and the spaces behind them."""
        space = _SPACE.match(self.text, self._at + length)
        self._at = space.end() if space else len(self.text)

    def _fault(self, expected: str) -> ValueError:
        rest = self.text[self._at :]
        return ValueError(
            f"{self.text!r}: {expected} expected before {rest!r}"
            if rest
            else f"{self.text!r}: ends where {expected} is expected"
        )
