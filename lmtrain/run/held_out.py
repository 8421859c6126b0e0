"""A held-out text that a model is evaluated on, and the result with everything its figures depend on."""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmtrain.corpus.corpus import Corpus, load_corpus
from lmtrain.corpus.synthetic.synthetic import source_log_probs
from lmtrain.corpus.text import TextRules, file_blocks, mark_lines, read_blocks
from lmtrain.corpus.vocab import UNK, Vocabulary
from lmtrain.inference.evaluation import Evaluation, perplexity
from lmtrain.inference.mixture import Interpolation

STANDARD_INPUT = Path("-")
_OOV_WORDS = 10
"""Of the most frequent ones that a result names."""


@dataclass(frozen=True)
class MixtureResult:
    """What an n-gram model contributed to an evaluation."""

    interpolation: Interpolation
    evaluation: Evaluation
    """Of the mixture."""
    model: Evaluation
    """Of the neural model alone."""
    ngram: Evaluation
    """Of the n-gram model alone."""

    def to_dict(self) -> dict[str, Any]:
        """The field ``ngram`` of ``eval --json``."""
        ngram, tuned_on = self.interpolation.ngram, self.interpolation.tuned_on
        return {
            "file": str(ngram.path),
            "weight": self.interpolation.weight,
            "tuned_on": str(tuned_on) if tuned_on else None,
            "perplexity_of_model": self.model.perplexity,
            "perplexity_of_ngram": self.ngram.perplexity,
            "num_unknown_words": ngram.num_unknown_words,
        }


@dataclass(frozen=True)
class HeldOutResult:
    """The evaluation of a text, and everything its figures depend on."""

    evaluation: Evaluation
    data: Path
    snapshot: Path
    context: str
    """``stream1``, ``stream10``, … or ``line``."""
    adapt: str
    signature: str
    """All that the perplexity depends on, in one line fit for a paper."""
    oov_words: list[tuple[str, int]]
    """The most frequent words that were scored as ``<unk>``, and how often; not those that the text itself
    calls so."""
    source_perplexity: float | None
    """What the source of a synthetic text itself reaches on it."""
    mixture: MixtureResult | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields of ``eval --json``."""
        figures = self.evaluation
        names = (
            *("perplexity", "nll_nats", "num_tokens", "bits_per_word"),
            *("perplexity_without_eos", "perplexity_without_unk", "num_oov", "oov_rate"),
            *("accuracy", "words_per_second"),
        )
        return {
            **{name: getattr(figures, name) for name in names},
            "context": self.context,
            "adapt": self.adapt,
            "signature": self.signature,
            "snapshot": str(self.snapshot),
            "data": str(self.data),
            "oov_words": [{"word": word, "count": count} for word, count in self.oov_words],
            "perplexity_by_rank": [
                {"ranks": band.name, "num_tokens": band.num_tokens, "perplexity": band.perplexity}
                for band in figures.bands()
            ],
            **({"ngram": self.mixture.to_dict()} if self.mixture else {}),
        }


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

    def blocks() -> Iterator[bytes]:
        for block in read_blocks(sys.stdin.buffer):
            digest.update(block)
            yield block

    pieces, oov = [], Counter[str]()
    for text in mark_lines(blocks(), rules, "standard input"):
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


def source_perplexity(paths: Sequence[Path], evaluation: Evaluation) -> float | None:
    """What the source of synthetic texts reaches on them.

    None where a text is not of such a source, or where the model did not have to predict the same tokens.
    """
    if evaluation.num_oov:
        return None
    sources = [source_log_probs(path) for path in paths]
    known = [source for source in sources if source is not None]
    if not known or len(known) < len(sources):
        return None
    return perplexity(sum(s.nll_nats for s in known), sum(s.num_tokens for s in known))
