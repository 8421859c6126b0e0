"""What is said of words that a model does not know: which they are, and what would mend it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import TYPE_CHECKING

from lmtrain.cli.text import note
from lmtrain.cli.text_rules import typed_options

if TYPE_CHECKING:
    from lmtrain.corpus.text import TextRules
    from lmtrain.corpus.vocab import Vocabulary
    from lmtrain.corpus.words import Word

MANY = 0.05
"""The share of unknown words from which on they are named."""
NUM_TRIED = 1000
"""Lines whose words are named, and on which other rules are tried: the first ones of a text."""
_ITEMS, _WORDS = 5, 6
"""Named at most, and of each item so many words."""


class UnknownTokens:
    """How many tokens a model scored as ``<unk>``, and the first lines, to name some by.

    Args:
        rules: By which lines became words.
        vocab: Of the model.
        model: What it is called, where there are several.
    """

    def __init__(self, rules: "TextRules", vocab: "Vocabulary", model: str = "") -> None:
        self._rules, self._vocab, self._model = rules, vocab, model
        self._num_tokens = self._num_unk = 0
        self._lines: list[tuple[str, str]] = []

    def add(self, lines: Iterable[tuple[str, str]], num_tokens: int, num_unk: int) -> None:
        """Takes the next lines, what each is called and the line, and how many tokens they were scored as."""
        self._lines += islice(lines, NUM_TRIED - len(self._lines))
        self._num_tokens += num_tokens
        self._num_unk += num_unk

    def tell(self) -> None:
        """Says how many there were and, where there were many, which."""
        if not self._num_unk:
            return
        of = f"{self._model}: " if self._model else ""
        note(
            f"{of}{self._num_unk:,} of {self._num_tokens:,} tokens are scored as <unk>, "
            "which stands for all unknown words"
        )
        if self._num_unk > MANY * self._num_tokens:
            name_unknown(self._lines, self._rules, self._vocab, self._model)


def name_unknown(
    lines: Sequence[tuple[str, str]], rules: "TextRules", vocab: "Vocabulary", model: str = ""
) -> None:
    """Says which words of some lines are unknown, which of them are known by other rules, and what to type.

    Args:
        lines: What each is called, and the line.
        rules: By which it became words.
        vocab: Of the model.
        model: What it is called, where there are several.
    """
    from lmtrain.corpus.mending import mending_rules
    from lmtrain.corpus.text import is_punctuation
    from lmtrain.corpus.words import Unknown, words_of

    lines = lines[:NUM_TRIED]
    words = [words_of(line, rules, label) for label, line in lines]
    unknown = Unknown.of(words, vocab)
    better, other = mending_rules([line for _, line in lines], rules, vocab) or (rules, words)
    left = Unknown.of(other, vocab)
    if left.lexical_share < left.share and not any(map(is_punctuation, vocab.words)):
        better = replace(better, no_punctuation=True)
        other = [words_of(line, better, label) for label, line in lines]
        left = Unknown.of(other, vocab)
    by_item = groupby(unknown.words, key=lambda found: lines[found[0] - 1][0])
    named = [
        (label, list(dict.fromkeys(_named(word, other[number - 1], vocab) for number, word in found)))
        for label, found in by_item
    ]
    for label, found in named[:_ITEMS]:
        note(f"  {label}: {', '.join(found[:_WORDS])}{', …' if len(found) > _WORDS else ''}")
    if len(named) > _ITEMS:
        note("  …")
    if better != rules:
        of = f"{model}: " if model else ""
        but = f", {left.lexical_share:.1%} but for punctuation" if left.lexical_share < left.share else ""
        note(f"{of}{typed_options(rules, better)} would leave {left.share:.1%} unknown{but}")


def _named(word: "Word", other: Sequence["Word"], vocab: "Vocabulary") -> str:
    """An unknown word, and what it is known as in its line by other rules."""
    same = next((found for found in other if found.start == word.start), word)
    parts = [part.text for part in same.parts]
    known = parts and all(part in vocab for part in parts)
    return f"{word.text} (known as {' '.join(parts)})" if known else word.text
