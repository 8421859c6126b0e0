"""Questions that a language model answers by what surprises it more: minimal pairs, predictions of suites."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple, Protocol

from lmtrain.corpus.suites.formula import Formula, Region

Metric = Literal["sum", "mean", "median", "range", "max", "min"]
WHOLE, ONE_PREFIX, TWO_PREFIXES = "whole sentences", "one prefix", "two prefixes"
"""Of a pair, what is compared: sentences, ends included; two words after a beginning; one word after two."""


class Stretch(NamedTuple):
    """Words of a line whose surprisal is asked for, each in the context of all that stands before it."""

    line: str
    start: int = 0
    """Of the first character that counts."""
    end: int | None = None
    """After the last one; None where the rest of the line counts."""
    with_eos: bool = False
    """Whether the end of the line counts too, as it does of a whole sentence."""

    @classmethod
    def sentence(cls, line: str) -> "Stretch":
        """A whole sentence and its end."""
        return cls(line, with_eos=True)

    @classmethod
    def after(cls, prefix: str, words: str) -> "Stretch":
        """Words that follow a beginning; the sentence goes on after them."""
        prefix = prefix.rstrip()
        return cls(f"{prefix} {words}" if prefix else words, len(prefix))


@dataclass(frozen=True)
class Place:
    """Where a question comes from, and what it is counted with.

    Attributes:
        test: What it belongs to: questions of different tests never share a figure.
        where: What messages call it: ``FILE:LINE``.
        groups: By kind, as ``set``, ``term``, ``attractors``: the name of the group that it is in.
        method: What is compared.
        item: Of the file: a line, or what a suite calls it. Questions about one item share it.
    """

    test: str
    where: str
    groups: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    item: str = ""


class Question(Protocol):
    """Some stretches of text, and a claim about their surprisals."""

    @property
    def place(self) -> Place:
        """Where it comes from."""

    @property
    def stretches(self) -> Sequence[Stretch]:
        """What is to be measured."""

    @property
    def metric(self) -> Metric:
        """What a stretch has of the surprisals of its words."""

    @property
    def chance(self) -> float:
        """How often a model that knows nothing would be right."""

    def holds(self, bits: Sequence[float]) -> bool:
        """Whether the claim is true, given the figure of each stretch, in bits."""

    def is_tie(self, bits: Sequence[float]) -> bool:
        """Whether the model does not decide."""


@dataclass(frozen=True)
class Pair:
    """Two alternatives: the good one has to surprise less. A tie is no success."""

    good: Stretch
    bad: Stretch
    place: Place
    metric: ClassVar[Metric] = "sum"
    chance: ClassVar[float] = 0.5

    @property
    def stretches(self) -> tuple[Stretch, Stretch]:
        """The good one and the bad one."""
        return self.good, self.bad

    def holds(self, bits: Sequence[float]) -> bool:
        """Whether the good one is more probable."""
        return bits[0] < bits[1]

    def is_tie(self, bits: Sequence[float]) -> bool:
        """Whether they are equally probable."""
        return bits[0] == bits[1]


@dataclass(frozen=True)
class Prediction:
    """A formula of a test suite about the regions of an item.

    Attributes:
        regions: Of the formula, each once, in the order of the stretches.
    """

    formula: Formula
    regions: tuple[Region, ...]
    stretches: tuple[Stretch, ...]
    metric: Metric
    chance: float
    place: Place

    def holds(self, bits: Sequence[float]) -> bool:
        """Whether the formula is true."""
        return bool(self.formula.value(dict(zip(self.regions, bits, strict=True))))

    def is_tie(self, bits: Sequence[float]) -> bool:  # noqa: ARG002
        """A formula is true or not."""
        return False
