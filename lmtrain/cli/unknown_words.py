"""What is said of words that a model does not know: which they are, and what would mend it."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from lmtrain.cli.text import note
from lmtrain.cli.text_rules import typed_options

if TYPE_CHECKING:
    from lmtrain.corpus.stimuli import Sentence
    from lmtrain.corpus.text import TextRules
    from lmtrain.corpus.vocab import Vocabulary
    from lmtrain.corpus.words import Word

_MANY = 0.05
"""The share of unknown words from which on it is said."""
_ITEMS, _WORDS = 5, 6
"""Named at most, and of each item so many words."""
_TRIED = 1000
"""Sentences on which other rules are tried."""


def tell_unknown(
    sentences: Sequence["Sentence"],
    words: Sequence[Sequence["Word"]],
    rules: "TextRules",
    vocab: "Vocabulary",
    model: str = "",
) -> None:
    """A note where more than 5 % of the words are unknown.

    Args:
        sentences: What was scored.
        words: Of each sentence.
        rules: By which it became words.
        vocab: Of the model.
        model: What it is called, where there are several.
    """
    from lmtrain.corpus.mending import mending_rules
    from lmtrain.corpus.words import Unknown

    unknown = Unknown.of(words, vocab)
    if unknown.share <= _MANY:
        return
    of = f"{model}: " if model else ""
    note(
        f"{of}{len(unknown.words):,} of {unknown.num_words:,} words ({unknown.share:.1%}) are unknown "
        "to the model or have a part that is; <unk> stands for all of them"
    )
    better = mending_rules([sentence.line for sentence in sentences[:_TRIED]], rules, vocab)
    by_item = groupby(unknown.words, key=lambda found: sentences[found[0] - 1].label)
    named = [(item, list(found)) for item, found in by_item]
    for item, found in named[:_ITEMS]:
        shown = ", ".join(
            _named(number, word, better and better[1], vocab) for number, word in found[:_WORDS]
        )
        note(f"  item {item}: {shown}{', …' if len(found) > _WORDS else ''}")
    if len(named) > _ITEMS:
        note(f"  and {len(named) - _ITEMS:,} more items")
    if better is not None:
        left = Unknown.of(better[1], vocab)
        but = f", {left.lexical_share:.1%} but for punctuation" if left.lexical_share < left.share else ""
        note(f"{of}{typed_options(rules, better[0])} would leave {left.share:.1%} unknown{but}")


def _named(number: int, word: "Word", better: Sequence[Sequence["Word"]] | None, vocab: "Vocabulary") -> str:
    """An unknown word, and what it is known as by other rules."""
    if better is None or number > len(better):
        return word.text
    other = next((found for found in better[number - 1] if found.start == word.start), word)
    parts = [part.text for part in other.parts]
    known = all(part in vocab for part in parts)
    return f"{word.text} (known as {' '.join(parts)})" if known else word.text
