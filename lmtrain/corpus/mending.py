"""Words that a model does not know and would know if the text were cut or written otherwise."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.corpus.words import Unknown, Word, words_of
from lmtrain.errors import DataError, UsageError

_NUMBER = "N"
"""What stands for numbers in the Penn Treebank of Mikolov."""


def mending_rules(
    lines: Sequence[str], rules: TextRules, vocab: Vocabulary
) -> tuple[TextRules, list[list[Word]]] | None:
    """The rules that leave the fewest words unknown, and the words by them; None where none does better.

    Punctuation does not count: where a model knows none, all rules would leave it unknown. Of those that
    leave about as few (to half a percent of the words, or a tenth of what is unknown now), the ones that
    change least.

    Args:
        lines: Of the text.
        rules: Those it is read by.
        vocab: Of the model.
    """
    best, found = _share(lines, rules, vocab)[0], None
    margin = max(0.005, best / 10)
    for candidate in _candidates(rules, vocab):
        try:
            share, words = _share(lines, candidate, vocab)
        except (DataError, UsageError):  # Moses's tokeniser may not be installed
            continue
        if share < best - margin:
            best, found = share, (candidate, words)
    return found


def unknown_share(lines: Sequence[str], rules: TextRules, vocab: Vocabulary) -> float:
    """Of the words of a text, those that some rules leave unknown for more than their punctuation."""
    return _share(lines, rules, vocab)[0]


def _share(lines: Sequence[str], rules: TextRules, vocab: Vocabulary) -> tuple[float, list[list[Word]]]:
    words = [words_of(line, rules, f"line {number}") for number, line in enumerate(lines, 1)]
    return Unknown.of(words, vocab).lexical_share, words


def _candidates(rules: TextRules, vocab: Vocabulary) -> list[TextRules]:
    tokenizers = [
        rules,
        replace(rules, moses=None, penn=True),
        replace(rules, moses=rules.moses or "en", penn=False),
        replace(rules, moses=None, penn=False),
    ]
    numbers = [rules.numbers, _NUMBER] if _NUMBER in vocab and rules.numbers is None else [rules.numbers]
    found = {
        replace(kind, lowercase=rules.lowercase or lowercase, numbers=number)
        for kind, lowercase, number in itertools.product(tokenizers, (False, True), numbers)
    } - {rules}
    return sorted(found, key=lambda other: (_changes(rules, other), not other.penn))


def _changes(rules: TextRules, other: TextRules) -> int:
    pairs = (
        ((rules.moses, rules.penn), (other.moses, other.penn)),
        (rules.lowercase, other.lowercase),
        (rules.numbers, other.numbers),
    )
    return sum(ours != theirs for ours, theirs in pairs)
