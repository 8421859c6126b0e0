"""Holds plain values against the schema and says in plain words all that does not fit."""

import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from itertools import islice, takewhile
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lmtrain.config.json_schema import model_schema
from lmtrain.config.problems import KeyPath, shown
from lmtrain.config.schema import Config, Contradiction
from lmtrain.config.schema_tree import Node, SchemaTree

# In one round; nobody reads more, and looking for what each key meant takes time.
_MAX_FAULTS = 100
# A missing section, the keys in it, a mistyped name, the keys it brings, contradictions: all of them
# come up within this many rounds.
_MAX_ROUNDS = 6
_NOTHING = object()
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]+(e-?[0-9]+)?")

_WRONG = {
    "missing": "missing",
    "literal_error": "unknown choice",
    "finite_number": "not a finite number",
    "greater_than": "too small",
    "greater_than_equal": "too small",
    "less_than": "too large",
    "less_than_equal": "too large",
    "too_short": "too few items",
    "too_long": "too many items",
    "string_too_long": "too long",
    "string_pattern_mismatch": "does not fit",
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a value, or with several together.

    Attributes:
        keys: Their keys, the likeliest culprit first.
        message: What is wrong and what is allowed.
    """

    keys: tuple[KeyPath, ...]
    message: str


@dataclass(frozen=True)
class _Misfit:
    """A value that does not fit, and what to put in its place so that the rest can be checked."""

    key: KeyPath
    wrong: str
    hint: str
    mended_key: KeyPath
    mended_value: object = _NOTHING


def validate(values: dict[str, Any], unread: Iterable[KeyPath] = ()) -> tuple[Config | None, list[Fault]]:
    """Makes a config out of plain values.

    Pydantic checks what values have to do with each other only once each fits alone. So what does
    not fit is noted and mended, and the mended values are checked again.

    Args:
        values: What YAML or JSON holds.
        unread: Keys already known to be wrong; nothing more is said of them.

    Returns:
        The config, which only counts if there are no faults, and the faults.
    """
    values = deepcopy(values)
    faults: list[Fault] = []
    blamed = _Blamed(unread)
    for _ in range(_MAX_ROUNDS):
        try:
            return Config.model_validate(values), faults
        except ValidationError as error:
            details = error.errors(include_url=False)
        if details[0]["type"] == "contradiction":
            contradictions: tuple[Contradiction, ...] = details[0]["ctx"]["contradictions"]
            found = [_fault_of(contradiction) for contradiction in contradictions]
            return None, faults + [f for f in found if not any(map(blamed.covers, f.keys))]
        for misfit in _merged(islice(details, _MAX_FAULTS), values):
            if not blamed.covers(misfit.key):
                faults.append(Fault((misfit.key,), f"{misfit.wrong}{misfit.hint}"))
                blamed.add(misfit.key)
            _mend(values, misfit)
    return None, faults


class _Blamed:
    """Keys something was said of; it covers what they contain and what contains them."""

    def __init__(self, keys: Iterable[KeyPath]) -> None:
        self._keys: set[KeyPath] = set()
        self._ancestors: set[KeyPath] = set()
        for key in keys:
            self.add(key)

    def add(self, key: KeyPath) -> None:
        self._keys.add(key)
        self._ancestors.update(key[:n] for n in range(1, len(key)))

    def covers(self, key: KeyPath) -> bool:
        return key in self._ancestors or any(key[:n] in self._keys for n in range(len(key) + 1))


@cache
def _schema() -> SchemaTree:
    return SchemaTree(model_schema())


def _fault_of(contradiction: Contradiction) -> Fault:
    return Fault(tuple(tuple(key.split(".")) for key in contradiction.keys), contradiction.message)


def _merged(details: Iterable[ErrorDetails], values: dict[str, Any]) -> list[_Misfit]:
    """One misfit a key: pydantic reports each member of a union on its own."""
    found: dict[KeyPath, _Misfit] = {}
    for misfit in (misfit for detail in details for misfit in _misfits(detail, values)):
        known = found.setdefault(misfit.key, misfit)
        if known.wrong != misfit.wrong:
            found[misfit.key] = replace(known, wrong="does not fit")
    return list(found.values())


def _misfits(detail: ErrorDetails, values: dict[str, Any]) -> Iterator[_Misfit]:
    kind, location = detail["type"], detail["loc"]
    if kind == "extra_forbidden":
        section, node, _ = _locate(location[:-1], values)
        name = str(location[-1])
        key = (*section, name)
        yield _Misfit(key, "unknown key", f"; {_schema().meant(section, node, name)}", key)
        return
    key, node, value = _locate(location, values)
    if kind == "missing":
        for required, at in _schema().required(node, key):
            example = at.get("examples", [_NOTHING])[0]
            hint = f"; allowed: {_schema().allowed(at)}"
            yield _Misfit(required, "missing", hint, required, example)
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        yield _misfit_of_name(key, node, value)
    else:
        wrong = str(detail["ctx"]["error"]) if kind == "value_error" else _WRONG.get(kind)
        hint = f" (got {shown(value)}); allowed: {_schema().allowed(node)}"
        if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value):
            hint += f"; decimals take a point: {value.replace(',', '.')}"
        yield _Misfit(key, wrong or "of the wrong kind", hint, key)


def _misfit_of_name(section: KeyPath, node: Node, value: dict[str, Any]) -> _Misfit:
    """The ``name`` that says which mapping it is; a close one is taken, to check the other keys."""
    names = _schema().names(node)
    hint = f"; allowed: {', '.join(names)}"
    if "name" not in value:
        return _Misfit((*section, "name"), "missing", hint, section)
    hint = f" (got {shown(value['name'])}){hint}"
    for near in get_close_matches(str(value["name"]), names, n=1):
        return _Misfit((*section, "name"), "unknown choice", hint, (*section, "name"), near)
    return _Misfit((*section, "name"), "unknown choice", hint, section)


def _locate(location: tuple[int | str, ...], values: dict[str, Any]) -> tuple[KeyPath, Node, Any]:
    """The key, schema and value pydantic's location means: it also names members of unions."""
    key: KeyPath = ()
    node: Node = _schema().root
    value: Any = values
    for part in location:
        if "discriminator" in node:
            node = _schema().variant(node, part)
            continue
        child = _schema().child(node, part)
        if child is None or not isinstance(value, list if isinstance(part, int) else dict):
            # The member of a union, or a single value that stands for a whole mapping or list.
            break
        node, key = child, (*key, part)
        items: dict[Any, Any] = value if isinstance(value, dict) else dict(enumerate(value))
        value = items.get(part)
    return key, node, value


def _mend(values: dict[str, Any], misfit: _Misfit) -> None:
    # A list with an item that does not fit goes as a whole.
    names = [str(part) for part in takewhile(lambda p: isinstance(p, str), misfit.mended_key)]
    section = values
    for name in names[:-1]:
        if section.get(name) is None:
            section[name] = {}
        section = section[name]
    if misfit.mended_value is _NOTHING or len(names) < len(misfit.mended_key):
        section.pop(names[-1], None)
    else:
        section[names[-1]] = misfit.mended_value
