"""A config as it is written: plain values, and the file, line or ``--set`` of each."""

from pathlib import Path
from typing import Any, cast

from lmtrain.config.inheritance import BASE, read_with_bases
from lmtrain.config.problems import KeyPath, Place, Problem, config_error, shown
from lmtrain.config.renamed import current
from lmtrain.config.yaml_text import Findings, UnreadableYamlError, parse_yaml


class Document:
    """The values of a YAML file over those of its bases, then overridden one by one.

    Args:
        path: The file; ``-`` is standard input.

    Raises:
        ConfigError: It or a base cannot be read, or is no YAML mapping.
    """

    def __init__(self, path: Path) -> None:
        self.findings = Findings()
        try:
            self.values = read_with_bases(path, self.findings)
        except UnreadableYamlError as error:
            raise config_error([*self.findings.problems, error.problem]) from None

    def override(self, assignment: str) -> None:
        """Sets one value, from the argument of a ``--set``: ``key.path=value``.

        Sections are made where they are missing. What is wrong is added to the findings.
        """
        name, equals, text = assignment.partition("=")
        key = cast("tuple[str, ...]", current(tuple(name.strip().split("."))))
        place = Place(f"--set {shown(assignment)[1:-1]}")
        if not equals or not all(key):
            message = "write it as key.path=value, such as train.batch_size=40"
            self.findings.problems.append(Problem(place, (), message))
            return
        if key == (BASE,):
            self.findings.problems.append(Problem(place, key, "only a file can name its base"))
            return
        findings = Findings()
        try:
            value = parse_yaml(text, lambda _: place, key, findings)
        except UnreadableYamlError as error:
            self.findings.problems += [*findings.problems, error.problem]
            return
        section = self._section(key, place)
        if section is not None:
            section[key[-1]] = value
            self._replace(key, findings)

    def place(self, key: KeyPath) -> Place:
        """Where a key is written, or else the section it belongs to."""
        while key not in self.findings.places:
            key = key[:-1]
        return self.findings.places[key]

    def origin(self, key: KeyPath) -> str:
        """Where the value of a key comes from: ``default``, ``--set`` or ``file:line``."""
        value: Any = self.values
        for depth, part in enumerate(key):
            if value is None or (isinstance(value, dict) and part not in value):
                return "default"
            if not isinstance(value, dict):
                # One value that stands for a whole section.
                key = key[:depth]
                break
            value = value[part]
        place = self.findings.places[key]
        return "--set" if place.line is None else str(place)

    def _section(self, key: tuple[str, ...], place: Place) -> dict[str, Any] | None:
        """The mapping a key is in, made if there is none."""
        section = self.values
        for depth, name in enumerate(key[:-1], start=1):
            if section.get(name) is None:
                section[name] = {}
                self.findings.places[key[:depth]] = place
            below = section[name]
            if not isinstance(below, dict):
                message = f"has no keys, it is {shown(below)}; set it as a whole"
                self.findings.problems.append(Problem(place, key[:depth], message))
                return None
            section = below
        return section

    def _replace(self, key: KeyPath, findings: Findings) -> None:
        """Forgets what was found at a key and below it, in favour of something new."""
        mine = self.findings
        below = len(key)
        mine.places = {k: p for k, p in mine.places.items() if k[:below] != key} | findings.places
        mine.unread = {k for k in mine.unread if k[:below] != key} | findings.unread
        mine.problems += findings.problems
