"""What becomes of lines that cannot be used."""

from typing import Annotated

import typer

from lmtrain.cli.text import note
from lmtrain.errors import DataError

SkipBadLinesOption = Annotated[
    bool, typer.Option("--skip-bad-lines", help="Leave out lines that cannot be used; each is named.")
]


class BadLines:
    """The first one ends the program, or all are left out, named and counted.

    Args:
        skip: Whether they are left out.
    """

    def __init__(self, skip: bool) -> None:
        self._skip = skip
        self.count = 0

    def refuse(self, error: DataError) -> None:
        """Takes what is wrong with a line.

        Raises:
            DataError: That, where lines are not left out.
        """
        if not self._skip:
            raise error
        self.count += 1
        note(f"{error}; left out")

    def end(self) -> None:
        """Says how many there were."""
        if self.count:
            note(f"{self.count:,} line{'s' if self.count > 1 else ''} left out")
