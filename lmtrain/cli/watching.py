"""Who watches a run for a person, while its texts are read and while it is tried out."""

from collections.abc import Iterable, Iterator
from typing import Self

from lmtrain.cli.progress import Progress, watched
from lmtrain.cli.text import note
from lmtrain.run.observer import Observer, RunStart


class Reader(Observer):
    """Shows how the texts are read."""

    _has_told = False

    def on_note(self, text: str) -> None:
        """A line on standard error."""
        note(text)

    def watch_reading(self, blocks: Iterable[bytes], what: str, size: int | None) -> Iterator[bytes]:
        """A bar, and a line before the first."""
        if not self._has_told:
            self._has_told = True
            note("reading the texts; the next run finds them in the cache")
        return watched(blocks, size, "B", what, len)


class Trial(Reader):
    """Shows how far a dry run has come."""

    _progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.close()

    def on_start(self, start: RunStart) -> None:
        """All is read and built: a bar of steps."""
        self._progress = Progress(start.total_steps, "steps", "trying")

    def on_step(self, step: int) -> None:  # noqa: ARG002
        """One more."""
        assert self._progress is not None  # noqa: S101
        self._progress.advance()
