"""A section of a report: its words and its picture, of all models in each.

A section says first what was measured, then what was found and what that means, model by model. Pictures
are drawn within ``style.drawing``: what can be laid over each other shares one panel; of the rest each model
has a panel of its own, one below the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from lmtrain.report.measure.diagnose import Diagnosis

Found = Sequence[Diagnosis]


@dataclass(frozen=True)
class Section:
    """What makes a section out of what was found."""

    title: str
    name: str
    """Of the file of its picture, without the suffix."""
    words: Callable[[Found], list[str]]
    """Paragraphs; the picture stands after the first."""
    picture: Callable[[Found], Figure] | None = None
    """None where the table says more."""
