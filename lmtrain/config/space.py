"""The space of a sweep: which keys of a config are varied, and over what.

A YAML file, one line a key::

    train.optimizer.lr: {float: [0.1, 30], log: true}
    model.dropout: {float: [0, 0.7], step: 0.1}
    model.hidden_size, model.embedding_dim: {int: [100, 400], step: 50}     # one value for both
    model.cell: {choice: [lstm, gru]}

What a key may be, the config's own schema says: the ends of each range and every choice are held against it.
"""

import json
import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Any

from lmtrain.config.document import Document
from lmtrain.config.inheritance import read_text
from lmtrain.config.loading import resolve
from lmtrain.config.problems import KeyPath, Place, Problem, config_error, shown
from lmtrain.config.renamed import current
from lmtrain.config.schema import Config
from lmtrain.config.validation import validate
from lmtrain.config.yaml_text import Findings, UnreadableYamlError, parse_yaml

_ALLOWED = "{float: [low, high]}, {int: [low, high]} or {choice: [a, b]}"
_HEADLINE = "the space does not hold"


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both of them included."""

    low: float
    high: float
    is_whole: bool
    is_log: bool = False
    """Whether it is drawn evenly on a logarithmic scale."""
    step: float | None = None

    @property
    def extremes(self) -> list[Any]:
        """The ends."""
        return [self.low, self.high]


@dataclass(frozen=True)
class Choice:
    """Values one of which is taken."""

    values: tuple[Any, ...]

    @property
    def extremes(self) -> list[Any]:
        """All of them."""
        return list(self.values)


@dataclass(frozen=True)
class Parameter:
    """What is varied: the keys that get the value, dotted, and the values."""

    keys: tuple[str, ...]
    values: Range | Choice

    @property
    def name(self) -> str:
        """The keys, as the file has them."""
        return ", ".join(self.keys)


class Space:
    """A config and what is varied in it.

    Args:
        document: The config with its overrides.
        path: The file that says what is varied.

    Raises:
        ConfigError: The config or the space does not hold; every problem is listed.
    """

    def __init__(self, document: Document, path: Path) -> None:
        self._document = document
        self.base = resolve(document)
        """The config with nothing varied."""
        findings = Findings()
        try:
            text = read_text(path)
            self.values = parse_yaml(text, lambda line: Place(str(path), line), (), findings)
            """What the file says."""
            if not isinstance(self.values, dict) or not self.values:
                message = f"a space is a mapping of keys to {_ALLOWED}"
                raise UnreadableYamlError(Problem(Place(str(path), 1), (), message))
        except UnreadableYamlError as error:
            raise config_error([*findings.problems, error.problem], _HEADLINE) from None
        self.parameters: list[Parameter] = []
        problems = list(findings.problems)
        for name, value in self.values.items():
            if (name,) in findings.unread:
                continue
            parameter, messages = _parameter(name, value)
            if parameter is not None:
                self.parameters.append(parameter)
                messages = [*messages, *self._misfits(parameter)]
            keys = tuple(name.split("."))
            problems += [Problem(findings.places[name,], keys, message) for message in messages]
        problems += self._given_twice(findings)
        if problems:
            raise config_error(problems, _HEADLINE)

    def assignments(self, values: Mapping[str, Any]) -> list[str]:
        """The values of parameters by name, as arguments of ``--set``."""
        return [
            f"{key}={json.dumps(values[parameter.name], ensure_ascii=False)}"
            for parameter in self.parameters
            for key in parameter.keys
        ]

    def config(self, values: Mapping[str, Any]) -> Config:
        """The config with these values of the parameters.

        Raises:
            ConfigError: They do not go together.
        """
        return resolve(self._overridden(self.assignments(values)))

    def _overridden(self, assignments: list[str]) -> Document:
        document = deepcopy(self._document)
        for assignment in assignments:
            document.override(assignment)
        return document

    def _misfits(self, parameter: Parameter) -> Iterator[str]:
        """What the schema has against a key or its values, each alone: others may yet make room for it."""
        said = set()
        for key in parameter.keys:
            path = current(tuple(key.split(".")))
            for value in parameter.values.extremes:
                document = self._overridden([f"{key}={json.dumps(value, ensure_ascii=False)}"])
                _, faults = validate(document.values, document.findings.unread)
                alone = [
                    fault.message for fault in faults if len(fault.keys) == 1 and _is_at(fault.keys[0], path)
                ]
                for message in [*(p.message for p in document.findings.problems), *alone]:
                    if message not in said:
                        said.add(message)
                        yield message if len(parameter.keys) == 1 else f"{key}: {message}"

    def _given_twice(self, findings: Findings) -> Iterator[Problem]:
        seen: dict[str, str] = {}
        for parameter in self.parameters:
            for key in parameter.keys:
                if key in seen:
                    place = findings.places[parameter.name,]
                    yield Problem(place, tuple(key.split(".")), "varied twice; keep one")
                seen[key] = parameter.name


def _is_at(key: KeyPath, path: KeyPath) -> bool:
    """Whether a key is at a path or below it."""
    return key[: len(path)] == path


def _parameter(name: str, value: object) -> tuple[Parameter | None, list[str]]:
    """A line of the file, and what is wrong with it."""
    keys = tuple(key.strip() for key in name.split(","))
    kinds = [kind for kind in ("float", "int", "choice") if isinstance(value, dict) and kind in value]
    if not isinstance(value, dict) or len(kinds) != 1 or not all(keys):
        return None, [f"of the wrong kind (got {shown(value)}); allowed: {_ALLOWED}"]
    [kind] = kinds
    allowed = [kind] if kind == "choice" else [kind, "log", "step"]
    wrong = []
    for key in value:
        if key not in allowed:
            near = get_close_matches(key, allowed, n=1)
            wrong.append(
                f"{shown(key)}: unknown key; "
                + (f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(allowed)}")
            )
    values, more = _choice(value) if kind == "choice" else _range(kind, value)
    wrong += more
    return (Parameter(keys, values) if values and not wrong else None), wrong


def _choice(value: dict[str, Any]) -> tuple[Choice | None, list[str]]:
    choices = value["choice"]
    if not isinstance(choices, list) or not choices:
        return None, [f"choice: of the wrong kind (got {shown(choices)}); allowed: a list of values"]
    return Choice(tuple(choices)), []


def _range(kind: str, value: dict[str, Any]) -> tuple[Range | None, list[str]]:
    ends, is_log, step = value[kind], value.get("log", False), value.get("step")
    is_whole = kind == "int"
    number = "a whole number" if is_whole else "a number"
    if not (isinstance(ends, list) and len(ends) == 2 and all(_is_number(end, is_whole) for end in ends)):
        return None, [f"{kind}: of the wrong kind (got {shown(ends)}); allowed: [low, high], each {number}"]
    wrong = []
    low, high = ends
    if low > high:
        wrong.append(f"{kind}: the low end comes first (got {shown(ends)})")
    if not isinstance(is_log, bool):
        wrong.append(f"log: of the wrong kind (got {shown(is_log)}); allowed: true or false")
    elif is_log and low <= 0:
        wrong.append(f"log: a logarithmic range begins above 0 (got {shown(ends)})")
    if step is not None and not (_is_number(step, is_whole) and step > 0):
        wrong.append(f"step: of the wrong kind (got {shown(step)}); allowed: {number} > 0")
    elif is_log and step is not None:
        wrong.append("step: a logarithmic range has no steps; leave out one of log and step")
    elif step is not None and not wrong and (rest := (_exact(high) - _exact(low)) % _exact(step)):
        last = shown(type(high)(_exact(high) - rest))
        wrong.append(
            f"step: {shown(high)} is not {shown(low)} + a multiple of {shown(step)}; end with {last}"
        )
    return (None if wrong else Range(low, high, is_whole, is_log, step)), wrong


def _exact(value: float) -> Fraction:
    """As it is written, in decimals."""
    return Fraction(str(value))


def _is_number(value: object, is_whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if is_whole else int | float):
        return False
    return math.isfinite(value)
