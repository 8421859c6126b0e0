"""What is written after a prompt, and how long it may get."""

from collections.abc import Sequence
from dataclasses import dataclass

from lmtrain.corpus.vocab import EOS

_WORDS = 100
"""Of a text, or of each sentence where sentences are counted."""


@dataclass(frozen=True)
class Length:
    """Where a text ends.

    Raises:
        ValueError: A value is out of range; names it.
    """

    num_words: int | None = None
    """At most so many tokens, ``<eos>`` included; None is 100, or 100 for each of ``num_sentences``."""
    num_sentences: int | None = None
    """The text ends with this ``<eos>``; None goes on over any number of them."""

    def __post_init__(self) -> None:
        if self.num_words is not None and self.num_words < 0:
            raise ValueError(f"num-words must be at least 0, not {self.num_words}")
        if self.num_sentences is not None and self.num_sentences < 1:
            raise ValueError(f"num-sentences must be at least 1, not {self.num_sentences}")

    @property
    def max_words(self) -> int:
        """Tokens after which a text ends in any case."""
        return _WORDS * (self.num_sentences or 1) if self.num_words is None else self.num_words


@dataclass(frozen=True)
class Continuation:
    """What a model wrote after a prompt."""

    ids: list[int]
    """Without the prompt; with the ``<eos>`` that ended it."""
    log_prob: float
    """ln p(ids | prompt) in nats, of the model itself: its softmax over the whole vocabulary, without
    temperature or filters."""


def to_text(words: Sequence[str]) -> str:
    """Words as text: spaces between them, a line break for each ``<eos>``."""
    lines: list[list[str]] = [[]]
    for word in words:
        if word == EOS:
            lines.append([])
        else:
            lines[-1].append(word)
    return "\n".join(map(" ".join, lines))
