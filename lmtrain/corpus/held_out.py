"""A held-out text in words of a model, and those of its words that the model does not know."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmtrain.corpus.cache import hashed
from lmtrain.corpus.corpus import Corpus, load_corpus
from lmtrain.corpus.text import TextRules, mark_lines
from lmtrain.corpus.vocab import UNK, Vocabulary
from lmtrain.files.text_input import STANDARD_INPUT, file_blocks

_OOV_WORDS = 10
"""Of the most frequent ones that a result names."""


@dataclass(frozen=True)
class EncodedText:
    """An encoded text, and the words of it that the vocabulary does not know."""

    corpus: Corpus
    oov: Counter[str]

    def most_frequent_oov(self) -> list[tuple[str, int]]:
        """The most frequent unknown words and their counts, equally frequent ones in code point order."""
        return sorted(self.oov.items(), key=lambda item: (-item[1], item[0]))[:_OOV_WORDS]


def read_held_out(path: Path, vocab: Vocabulary, rules: TextRules) -> EncodedText:
    """Reads a text to be evaluated; ``-`` is standard input.

    Raises:
        DataError: The text cannot be used.
    """
    if path == STANDARD_INPUT:
        return _read_standard_input(vocab, rules)
    corpus = load_corpus([path], vocab, rules)
    oov: Counter[str] = Counter()
    if corpus.num_oov:
        for text in mark_lines(file_blocks(path), rules, str(path)):
            oov.update(_unknown_words(text, vocab.encode_text(text), vocab))
    return EncodedText(corpus, oov)


def _read_standard_input(vocab: Vocabulary, rules: TextRules) -> EncodedText:
    """A text that can be read but once: its ids are kept in memory, not in the cache."""
    digest = hashlib.sha256()
    blocks = hashed(file_blocks(STANDARD_INPUT), digest)
    pieces, oov = [], Counter[str]()
    for text in mark_lines(blocks, rules, "standard input"):
        pieces.append(vocab.encode_text(text))
        oov.update(_unknown_words(text, pieces[-1], vocab))
    ids = np.concatenate(pieces)
    num_lines, num_oov = (int(np.count_nonzero(ids == i)) for i in (vocab.eos_id, vocab.unk_id))
    corpus = Corpus(ids, num_lines, num_oov, vocab.eos_id, digest.hexdigest(), (STANDARD_INPUT,))
    return EncodedText(corpus, oov)


def _unknown_words(text: bytes, ids: NDArray[np.int32], vocab: Vocabulary) -> list[str]:
    """The words of a marked text that its ids call ``<unk>``, but for literal ones."""
    at = np.flatnonzero(ids == vocab.unk_id)
    if not len(at):
        return []
    words = text.split()
    return [word for i in at.tolist() if (word := words[i].decode()) != UNK]
