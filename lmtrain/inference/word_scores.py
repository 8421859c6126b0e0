"""What original words cost: the figures of a line's tokens, put together by what each word consists of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lmtrain.corpus.vocab import Vocabulary
from lmtrain.inference.score import Guess, ScoredLine


@dataclass(frozen=True)
class WordScore:
    """What is known of tokens that follow each other.

    Attributes:
        nats: Their surprisals, summed.
        num_unk: How many of them the model does not know.
        entropy: Of the distribution before the first of them, in nats.
        entropy_reduction: By how much the entropy after the last is lower, in nats; 0 where it is higher.
        rank: Of the least expected of them, 1 where no word was more probable.
        frequency_rank: Of the rarest of them in the training text, 1 for the most frequent word; None where
            one is unknown, or the order of the vocabulary is another.
        guesses: What was most expected in the place of the first of them.
    """

    nats: float
    num_unk: int
    frequency_rank: int | None
    entropy: float | None = None
    entropy_reduction: float | None = None
    rank: int | None = None
    guesses: Sequence[Guess] = ()


def score_of(line: ScoredLine, part: slice, vocab: Vocabulary) -> WordScore | None:
    """The figures of a stretch of tokens; None of one that holds none.

    Entropy reduction is that of the next word alone (Hale 2006, "Uncertainty about the rest of the sentence",
    with a look-ahead of one): max(0, H before the word - H after it).

    Args:
        line: Scored, with details or without; its last token is ``<eos>``, which is no part of a word.
        part: Some of its tokens that follow each other: a part of a word, a word, several words, or none.
        vocab: Of the model, by frequency.
    """
    if part.start == part.stop:
        return None
    num_unk = sum(line.is_unk[part])
    frequency_rank = None if num_unk else max(map(vocab.id_of, line.tokens[part])) + 1
    figures = float(line.nats[part].sum()), num_unk, frequency_rank
    if line.details is None:
        return WordScore(*figures)
    details = line.details
    before, after = (float(details.entropy[at]) * math.log(2) for at in (part.start, part.stop))
    rank, guesses = int(details.rank[part].max()), details.guesses[part.start]
    return WordScore(*figures, before, max(0.0, before - after), rank, guesses)
