"""An n-gram model, made by other programs, as a distribution over the vocabulary of a neural model.

KenLM reads the file and looks the n-grams up (Heafield, 2011). The neural model's tokens are what is scored
and what is context: a word that it does not know is ``<unk>`` to both. So both predict the same token from
the same history, and a weighted sum of their probabilities is a distribution over its vocabulary:

- ``<eos>`` is ``</s>``, and each line starts anew after ``<s>``.
- A word that both know has the probability that the n-gram model gives it.
- ``<unk>`` and the words that the n-gram model does not know are one word to it. They share that word's
  probability equally, so that nothing is counted twice.
- Words that the n-gram model alone knows are never predicted; their probability is lost, and a perplexity is
  an upper bound. None is lost if it was trained on text with the same vocabulary.
"""

import contextlib
import hashlib
import importlib
import math
import os
import re
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmtrain.corpus.vocab import EOS, UNK, Vocabulary
from lmtrain.errors import DataError, ModelError, NotTextError, UsageError
from lmtrain.files.atomic import refusing_faults
from lmtrain.files.text_input import checked_text, file_blocks

_BEGIN, _END = "<s>", "</s>"
_LN_10 = math.log(10)
_KENLM_BINARY = b"mmap lm "
_FIRST_SECTION = re.compile(rb"^\\data\\[ \t]*\r?$", re.MULTILINE)
_LONGEST_PREAMBLE = 1 << 20  # bytes
_BLOCK_BYTES = 1 << 18
_ANOTHER_FORMAT = "neither an ARPA file nor a KenLM binary"


class NGramModel:
    """An ARPA file, compressed or not (:mod:`lmtrain.files.text_input`), or a KenLM binary.

    Args:
        path: The file.
        vocab: Of the neural model; what is scored.

    Raises:
        UsageError: The ``kenlm`` package is not installed.
        ModelError: The file is missing or is no n-gram model that KenLM can read.
        StorageError: A copy that KenLM can read cannot be written.
    """

    def __init__(self, path: Path, vocab: Vocabulary) -> None:
        self.path = path
        self._vocab = vocab
        self._kenlm = _import_kenlm()
        self._model = _load(path, self._kenlm)
        known = [word not in (_BEGIN, _END, UNK, EOS) and word in self._model for word in vocab.words]
        self._words = [word if is_known else UNK for word, is_known in zip(vocab.words, known, strict=True)]
        self._words[vocab.eos_id] = _END
        shared = np.array([word == UNK for word in self._words])
        self._log_share = np.where(shared, math.log(shared.sum()), 0.0)  # (V,)
        self.num_unknown_words = int(shared.sum()) - 1
        """Words of the vocabulary, beside ``<unk>``, that the n-gram model does not know."""

    @property
    def order(self) -> int:
        """Words of the longest n-grams."""
        return int(self._model.order)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def log_probs(self, ids: Iterable[int]) -> NDArray[np.float64]:
        """Log probabilities (natural log) of the N tokens of a text, shape (N,).

        The text starts a line, and so does what follows an ``<eos>``.

        Args:
            ids: The ids of the tokens in the vocabulary.
        """
        tokens = list(ids)
        log10_probs = np.fromiter(self._log10_probs(tokens), np.float64, len(tokens))
        return log10_probs * _LN_10 - self._log_share[tokens]

    def _log10_probs(self, ids: list[int]) -> Iterator[float]:
        score, words, eos_id = self._model.BaseScore, self._words, self._vocab.eos_id
        line_start, state, after = (self._kenlm.State() for _ in range(3))
        self._model.BeginSentenceWrite(line_start)
        context = line_start
        for token in ids:
            yield score(context, words[token], after)
            if token == eos_id:
                context = line_start
            else:
                context, state, after = after, after, state


def _import_kenlm() -> Any:
    try:
        return importlib.import_module("kenlm")
    except ImportError:
        raise UsageError("n-gram models need the kenlm package: pip install 'lmtrain[ngram]'") from None


def _load(path: Path, kenlm: Any) -> Any:
    config = kenlm.Config()
    config.show_progress = False
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    try:
        with _for_kenlm(path) as readable, _quiet_stderr():
            return kenlm.Model(str(readable), config)
    except (NotTextError, UnicodeDecodeError):  # KenLM quotes the file in its message
        raise ModelError(f"{path}: {_ANOTHER_FORMAT}") from None
    except DataError as error:
        raise ModelError(str(error)) from None
    except MemoryError:
        raise ModelError(f"{path}: not enough memory for this n-gram model") from None
    except (OSError, RuntimeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or _reason(str(error))
        raise ModelError(f"{path}: {reason}") from None


@contextlib.contextmanager
def _for_kenlm(path: Path) -> Iterator[Path]:
    """A file that KenLM can read: the file itself, or a copy, unpacked and from its first section on."""
    with path.open("rb") as file:  # names what is missing or forbidden in plain words
        start = file.read(_BLOCK_BYTES).lstrip()
    if start.startswith(_KENLM_BINARY):
        yield path
        return
    if _FIRST_SECTION.match(start):
        deque(checked_text(file_blocks(path, _BLOCK_BYTES), str(path)), maxlen=0)
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="lmtrain-", suffix=".arpa") as copy:
        with refusing_faults(Path(copy.name), advice="TMPDIR names another folder for such files"):
            copy.writelines(_arpa_blocks(path))
            copy.flush()
        yield Path(copy.name)


def _arpa_blocks(path: Path) -> Iterator[bytes]:
    """An ARPA file without what stands before its first section, which the format allows."""
    before = b""
    blocks = checked_text(file_blocks(path, _BLOCK_BYTES), str(path))
    for block in blocks:
        before += block
        if found := _FIRST_SECTION.search(before):
            yield before[found.start() :]
            yield from blocks
            return
        if len(before) > _LONGEST_PREAMBLE:
            break
    raise DataError(f"{path}: {_ANOTHER_FORMAT}")


def _reason(message: str) -> str:
    """What a person needs of a message like ``Cannot read model 'x' (file.cc:1 in f() threw E. Reason)``."""
    inner = re.sub(r"^Cannot read model '.*?' \((.*)\)$", r"\1", " ".join(message.split()))
    inner = re.sub(r"^.*? threw \w+(?: because `.*?')?\. ", "", inner)
    inner = re.sub(r"(?:\. .*?)?\.? Byte: (\d+)$", r" (byte \1)", inner)  # the first sentence, and where
    return "damaged, or unlike what KenLM reads: " + "".join(filter(str.isprintable, inner))[:300]


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keeps what C++ writes to standard error away from it: a remark that KenLM makes past its settings."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error to keep quiet
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
