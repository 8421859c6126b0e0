"""What is wrong with a config, and where that is written."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lmtrain.errors import ConfigError

KeyPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[\w-]{1,60}")
_LONGEST = 60
# Nobody reads more at once.
_MOST_PROBLEMS = 100


@dataclass(frozen=True)
class Place:
    """Where a value is written.

    Attributes:
        source: A file, or a ``--set`` with its argument.
        line: Counted from 1; None where the source has no lines.
    """

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the value of one key (the empty path: with the whole text)."""

    place: Place
    key: KeyPath
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), dotted(self.key), self.message) if part)


def config_error(problems: Iterable[Problem], headline: str = "the config does not hold") -> ConfigError:
    """All problems in one: those of each file from top to bottom, then those of overrides."""
    ordered = sorted(problems, key=_file_and_line)
    lines = [str(problem) for problem in ordered[:_MOST_PROBLEMS]]
    more = ["and more, once these are mended"] if len(ordered) > _MOST_PROBLEMS else []
    return ConfigError(lines + more, headline)


def _file_and_line(problem: Problem) -> tuple[str, float]:
    place = problem.place
    # Behind all files, and in the order given.
    return ("\U0010ffff", 0) if place.line is None else (place.source, place.line)


def dotted(key: KeyPath) -> str:
    """A key as messages write it, such as ``train.optimizer.betas[1]``."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." if text else ""
            text += part if _PLAIN_KEY.fullmatch(part) else shown(part)
    return text


def shown(value: object) -> str:
    """A value as messages write it: JSON on one line, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    # What JSON leaves as it is but a terminal would not: other line breaks, control characters.
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def flatten(values: Mapping[str, Any], section: KeyPath = ()) -> dict[KeyPath, Any]:
    """All values that are no mappings, each under its whole key, in the order given."""
    flat: dict[KeyPath, Any] = {}
    for name, value in values.items():
        key = (*section, name)
        flat |= flatten(value, key) if isinstance(value, Mapping) else {key: value}
    return flat
