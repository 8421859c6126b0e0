"""How far a command has come: a bar on a terminal, elsewhere a plain line now and then."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

from lmtrain.cli.text import VOICE, duration, is_terminal, note

T = TypeVar("T")

_SECONDS, _SHARE = 30.0, 0.01
"""Between plain lines at least so long, and so much of the whole: at most a hundred of them in a log."""
_WITH_FIGURES = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
"""In place of the rate, so that all fits into 80 columns."""


class Progress:
    """Shows how much of a whole is done.

    Args:
        total: Of the units to be done; None if that is not known.
        unit: What is counted, in the plural.
        what: Is being done; begins the line.
        initial: Units done before.
    """

    def __init__(self, total: int | None, unit: str, what: str = "", *, initial: int = 0) -> None:
        self._total = total
        self._unit = unit
        self._what = what
        self._done = self._initial = self._told = initial
        self._figures = ""
        self._started = self._told_at = time.monotonic()
        self._bar = self._make_bar()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def advance(self, by: int = 1) -> None:
        """So many units more are done."""
        self._done += by
        if self._bar is not None:
            self._bar.update(by)
        elif self._is_due():
            self._told, self._told_at = self._done, time.monotonic()
            note(self._line())

    def show(self, figures: str) -> None:
        """What is to stand behind the count from now on."""
        self._figures = figures
        if self._bar is not None:
            self._bar.bar_format = _WITH_FIGURES
            self._bar.set_postfix_str(figures, refresh=False)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _make_bar(self) -> Any:
        if VOICE.is_quiet or not is_terminal(sys.stderr) or os.environ.get("TERM") == "dumb":
            return None
        from tqdm import tqdm

        return tqdm(
            desc=self._what or None,
            total=self._total,
            initial=self._initial,
            unit=f" {self._unit}",
            unit_scale=self._total is None or self._total >= 100_000,
            file=sys.stderr,
            leave=False,
            dynamic_ncols=True,
        )

    def _is_due(self) -> bool:
        if time.monotonic() - self._told_at < _SECONDS:
            return False
        return self._done - self._told >= _SHARE * (self._total or 0)

    def _line(self) -> str:
        what = f"{self._what}: " if self._what else ""
        elapsed = time.monotonic() - self._started
        if not self._total:
            rate = (self._done - self._initial) / elapsed
            return f"{what}{self._done:,} {self._unit}, {rate:,.0f} a second"
        share = self._done / self._total
        left = elapsed * (self._total - self._done) / (self._done - self._initial)
        figures = f", {self._figures}" if self._figures else ""
        return (
            f"{what}{self._done:,} of {self._total:,} {self._unit} ({share:.0%}){figures}, "
            f"about {duration(left)} left"
        )


def watched(
    items: Iterable[T],
    total: int | None,
    unit: str,
    what: str = "",
    size: Callable[[T], int] = lambda _: 1,
) -> Iterator[T]:
    """Hands on items, and shows how far it has come; ``size`` says how many units an item is."""
    with Progress(total, unit, what) as progress:
        for item in items:
            yield item
            progress.advance(size(item))


def watched_beside_results(
    items: Iterable[T],
    total: int | None,
    unit: str,
    what: str,
    size: Callable[[T], int],
    out: Path | None = None,
) -> Iterable[T]:
    """The same while results are written; on a terminal, and not to a file, they show it themselves."""
    shows_itself = out is None and is_terminal(sys.stdout)
    return items if shows_itself else watched(items, total, unit, what, size)
