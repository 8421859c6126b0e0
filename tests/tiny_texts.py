"""Held-out texts of the seven words of ``tiny_models``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tiny_models import VOCAB

from lmtrain.corpus.corpus import Corpus
from lmtrain.inference.ngram import NGramModel
from lmtrain.report.measure.held_out import HeldOutText


def corpus_of(ids: npt.NDArray[Any]) -> Corpus:
    """The text of these ids."""
    tokens = ids.astype(np.int32)
    num_lines, num_oov = (int((tokens == i).sum()) for i in (VOCAB.eos_id, VOCAB.unk_id))
    return Corpus(tokens, num_lines, num_oov, VOCAB.eos_id, "0" * 64, (Path("text.txt"),))


def random_corpus(num_tokens: int, seed: int = 0) -> Corpus:
    """Words at random, a line end last."""
    ids = np.random.default_rng(seed).integers(0, len(VOCAB), num_tokens)
    ids[-1] = VOCAB.eos_id
    return corpus_of(ids)


def text_of(ids: npt.NDArray[Any], context: str = "stream") -> HeldOutText:
    """The same, to be asked about."""
    return HeldOutText(corpus_of(ids), context)


def line_log_probs(model: NGramModel, words: Sequence[str]) -> npt.NDArray[np.float64]:
    """Ln p of the W words of a line and of its end, shape (W + 1,)."""
    return model.log_probs(model._vocab.encode_line(words))
