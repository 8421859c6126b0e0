"""How much a piece of code does, whatever the machine and its other work."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Effort:
    calls: int = 0
    """Of Python functions."""


@contextmanager
def effort() -> Iterator[Effort]:
    """Counts the calls made while it is entered; seconds would tell of the machine as much as of the code."""
    made, before = Effort(), sys.getprofile()

    def count(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            made.calls += 1

    sys.setprofile(count)
    try:
        yield made
    finally:
        sys.setprofile(before)
