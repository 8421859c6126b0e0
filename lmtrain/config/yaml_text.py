"""YAML as configs use it: the core schema of YAML 1.2, with the place of every key.

PyYAML's parser is used, its resolver is not: that one follows YAML 1.1, where ``on`` is true, ``012``
is ten, ``1:30`` is ninety and ``1e-3`` is text. Tags and aliases are refused, duplicate keys too.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

import yaml
from yaml.reader import ReaderError
from yaml.representer import BaseRepresenter

from lmtrain.config.problems import KeyPath, Place, Problem, shown
from lmtrain.config.renamed import current, with_current_names

# Far beyond any config, yet parsed in a fraction of a second.
MAX_BYTES = 256 * 1024
MAX_VALUES = 10_000
MAX_DEPTH = 16

_NULL = ("", "~", "null", "Null", "NULL")
_TRUE = ("true", "True", "TRUE")
_FALSE = ("false", "False", "FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class UnreadableYamlError(Exception):
    """A text that cannot be read past this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass
class Findings:
    """What reading finds besides the values.

    Attributes:
        places: Where each key, and each item of a list, is written.
        problems: What is wrong with the text, though it could be read on.
        unread: Keys whose value was refused; None stands for it.
    """

    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: set[KeyPath] = field(default_factory=set)

    def adopt(self, keys: set[KeyPath], other: "Findings") -> None:
        """Takes over what another text has at these keys and below them."""
        taken = {key for key in other.places if any(key[:n] in keys for n in range(1, len(key) + 1))}
        self.places |= {key: other.places[key] for key in taken}
        self.unread |= other.unread & taken


def parse_yaml(text: str, place_of_line: Callable[[int], Place], key: KeyPath, findings: Findings) -> object:
    """Reads one YAML document.

    Args:
        text: The document.
        place_of_line: Names the place of a line, counted from 1.
        key: Where in a config the value belongs.
        findings: Is added to.

    Returns:
        None, a boolean, a number, a text, or lists and dictionaries of these; keys are text.

    Raises:
        UnreadableYamlError: No YAML, or too many values, too deep, or more than one document.
    """
    try:
        value = _Reader(text, place_of_line, findings).document(key)
        findings.places = {current(at): place for at, place in findings.places.items()}
        findings.unread = set(map(current, findings.unread))
        return with_current_names(value, key)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place, message = place_of_line(mark.line + 1 if mark else 1), _syntax_message(error)
    except ReaderError as error:
        place = place_of_line(text.count("\n", 0, error.position) + 1)
        message = f"not YAML: the character U+{error.character:04X} may not be in it"
    raise UnreadableYamlError(Problem(place, key, message))


def core_value(text: str) -> object:
    """What a plain (unquoted) scalar means in the core schema.

    Raises:
        ValueError: A whole number of more than 64 bits.
    """
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        # Python refuses to convert thousands of digits, and slows down before that.
        number = int(text.replace("0o", ""), base) if len(text) <= 64 else math.inf
        if abs(number) >= 2**63:
            raise ValueError("a whole number of more than 64 bits")
        return number
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def dump_yaml(values: Any) -> str:
    """Writes plain values as YAML that means the same to ``parse_yaml``, in the order given."""
    return yaml.dump(
        values, Dumper=_Dumper, default_flow_style=None, sort_keys=False, allow_unicode=True, width=math.inf
    )


def dump_inline(value: Any) -> str:
    """Writes one plain value, a list or mapping of such at most, on one line."""
    return dump_yaml(value).removesuffix("...\n").strip()


def _represent_text(dumper: BaseRepresenter, text: str) -> yaml.Node:
    # PyYAML itself quotes what YAML 1.1 would misread; 1.2 has more numbers, such as 1e-3.
    style = '"' if _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


class _Dumper(yaml.SafeDumper):
    yaml_representers: ClassVar = {**yaml.SafeDumper.yaml_representers, str: _represent_text}


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    if error.problem and "'\\t'" in error.problem:
        return "not YAML: a tab where it may not be; indent with spaces"
    message = "not YAML: " + ", ".join(part for part in (error.context, error.problem) if part)
    begin, end = error.context_mark, error.problem_mark
    if begin and end and begin.line < end.line:
        message += f" (begun on line {begin.line + 1})"
    return message


class _Reader:
    """Turns the parser's events into plain values as they come, so that limits hold early."""

    def __init__(self, text: str, place_of_line: Callable[[int], Place], findings: Findings) -> None:
        self._events = yaml.parse(text, Loader=yaml.SafeLoader)
        self._place_of_line = place_of_line
        self._findings = findings
        self._num_values = 0

    def document(self, key: KeyPath) -> object:
        next(self._events)  # the start of the stream
        first = next(self._events)
        self._findings.places[key] = self._place(first)
        if isinstance(first, yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), key)
        next(self._events)  # the end of the document
        last = next(self._events)
        if not isinstance(last, yaml.StreamEndEvent):
            self._give_up(last, key, "a second document begins here, and a config is one")
        return value

    def _value(self, event: yaml.Event, key: KeyPath) -> object:
        self._num_values += 1
        if self._num_values > MAX_VALUES:
            self._give_up(event, (), f"more than {MAX_VALUES} values: this is no config")
        if len(key) > MAX_DEPTH:
            self._give_up(event, (), f"nested more than {MAX_DEPTH} deep: this is no config")
        match event:
            case yaml.AliasEvent():
                message = f"the alias {shown(event.anchor)} is not followed; write the value out"
                return self._refuse(event, key, message)
            case yaml.ScalarEvent():
                value = self._scalar(event, key)
            case yaml.SequenceStartEvent():
                value = self._list(key)
            case _:
                value = self._mapping(key)
        tag = getattr(event, "tag", None)
        if tag is not None:
            name = tag.replace("tag:yaml.org,2002:", "!!")
            return self._refuse(event, key, f"the tag {shown(name)} is not read; leave it out")
        return value

    def _scalar(self, event: yaml.ScalarEvent, key: KeyPath) -> object:
        if _CONTROL.search(event.value):
            return self._refuse(event, key, "line breaks and control characters have no use here")
        if event.style is not None:
            return event.value
        try:
            return core_value(event.value)
        except ValueError as error:
            return self._refuse(event, key, str(error))

    def _list(self, key: KeyPath) -> object:
        items: list[object] = []
        for event in self._until(yaml.SequenceEndEvent):
            path = (*key, len(items))
            self._findings.places[path] = self._place(event)
            items.append(self._value(event, path))
        return items

    def _mapping(self, key: KeyPath) -> object:
        values: dict[str, object] = {}
        nowhere = (*key, "?")
        for event in self._until(yaml.MappingEndEvent):
            name = self._value(event, nowhere)
            path = (*key, name) if isinstance(name, str) else nowhere
            if not isinstance(name, str):
                self._complain(event, key, f"a key must be text (got {shown(name)}); quote it")
                self._value(next(self._events), nowhere)
            elif name in values:
                first = self._findings.places[path]
                self._complain(event, path, f"given twice, first at {first}; keep one")
                self._value(next(self._events), nowhere)
            else:
                self._findings.places[path] = self._place(event)
                values[name] = self._value(next(self._events), path)
        return values

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _place(self, event: yaml.Event) -> Place:
        return self._place_of_line(event.start_mark.line + 1 if event.start_mark else 1)

    def _refuse(self, event: yaml.Event, key: KeyPath, message: str) -> object:
        self._findings.unread.add(key)
        self._complain(event, key, message)
        return None

    def _complain(self, event: yaml.Event, key: KeyPath, message: str) -> None:
        self._findings.problems.append(Problem(self._place(event), key, message))

    def _give_up(self, event: yaml.Event, key: KeyPath, message: str) -> NoReturn:
        raise UnreadableYamlError(Problem(self._place(event), key, message))
