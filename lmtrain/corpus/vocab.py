"""The vocabulary: which words a model knows, and the id of each."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lmtrain.corpus.lookup import WordTable
from lmtrain.corpus.text import EOS, fields
from lmtrain.errors import DataError, ModelError
from lmtrain.files.text_input import input_name, table_lines

__all__ = ["EOS", "MAX_VOCAB_BYTES", "UNK", "Vocabulary"]

UNK = "<unk>"
UNK_ELSEWHERE = ("<UNK>", "<oov>", "<OOV>", "[UNK]")
EOS_ELSEWHERE = ("</s>", "<sos/eos>", "[SEP]")
"""What other programs call these two, the first that is there."""
_NUMBER = re.compile(rb"[-+]?[\d.]+(?:e[-+]?\d+)?")
MAX_VOCAB_BYTES = 64 << 20
"""Of a vocabulary as a file: some seven million words, more than a softmax over all of them can bear."""


@dataclass(frozen=True, repr=False)
class Vocabulary:
    """The words a model knows; the id of a word is its place among them.

    ``<unk>``, which stands for every other word, and ``<eos>``, the end of a line, are always there.

    Attributes:
        words: The words, each once, without ASCII whitespace.
        is_by_frequency: Whether they stand in order of frequency in the text they were counted in, so that
            places are ranks; those of a list, or with words added to them, need not.

    Raises:
        ValueError: The words do not make a vocabulary.
    """

    words: tuple[str, ...]
    is_by_frequency: bool = True

    def __post_init__(self) -> None:
        for line, word in enumerate(self.words, 1):
            if word.encode().split() != [word.encode()] or "\0" in word:
                raise ValueError(f"line {line}: {word!r} is empty, or holds whitespace or NUL")
            if self._ids[word] != line - 1:
                raise ValueError(f"line {line}: {word!r} stands on line {self._ids[word] + 1} too")
        for special in (UNK, EOS):
            if special not in self:
                raise ValueError(f"{special} is missing")

    def extended(self, words: Iterable[str]) -> "Vocabulary":
        """The same words, and after them those of ``words`` that are new."""
        new = [word for word in words if word not in self]
        return Vocabulary((*self.words, *new), self.is_by_frequency and not new)

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[bytes, int] | Mapping[str, int],
        max_vocab: int | None = None,
        min_count: int = 1,
    ) -> Self:
        """The most frequent words first, equally frequent ones in code point order.

        ``<unk>`` and ``<eos>`` are kept whatever the limits say. ``<unk>`` is placed by the number of
        tokens it will stand for: its own and those of the words left out.

        Args:
            counts: How often each word occurs, ``<eos>`` and a literal ``<unk>`` included.
            max_vocab: How many words to keep, beside ``<unk>`` and ``<eos>``; None keeps all.
            min_count: Words that occur less often are left out.

        Raises:
            DataError: No word is left beside ``<unk>`` and ``<eos>``, or far too many are.
        """
        frequency = {w.decode() if isinstance(w, bytes) else w: n for w, n in counts.items()}
        num_eos = frequency.pop(EOS, 0)
        num_unk = frequency.pop(UNK, 0)
        enough = (word for word in _by_frequency(frequency) if frequency[word] >= min_count)
        kept = {word: frequency[word] for word in islice(enough, max_vocab)}
        if not kept:
            raise DataError(
                f"no vocabulary left: max_vocab={max_vocab} and min_count={min_count}"
                f" leave out all of the {len(frequency):,} different words; relax them"
            )
        num_unk += sum(frequency.values()) - sum(kept.values())
        vocab = cls(_by_frequency(kept | {EOS: num_eos, UNK: num_unk}))
        if len(vocab.to_bytes()) > MAX_VOCAB_BYTES:
            raise DataError(f"{len(kept):,} different words are too many; lower max_vocab or raise min_count")
        return vocab

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "vocab.txt", *, is_by_frequency: bool = True) -> Self:
        """The vocabulary from the bytes of its file: UTF-8, one word a line.

        Args:
            data: What :meth:`to_bytes` returned.
            name: What errors call the file.
            is_by_frequency: What the file does not tell of its words.

        Raises:
            ModelError: The file is not UTF-8, is cut off, lacks ``<unk>`` or ``<eos>``, or a line is
                empty, has whitespace in it, or repeats an earlier one.
        """
        if not data.endswith(b"\n"):
            raise ModelError(f"{name}: cut off, the last line does not end")
        try:
            return cls(tuple(data[:-1].decode().split("\n")), is_by_frequency)
        except ValueError as error:
            raise ModelError(f"{name}: {error}") from None

    def to_bytes(self) -> bytes:
        """The vocabulary as a file: UTF-8, one word a line, line number = id."""
        return "".join(f"{word}\n" for word in self.words).encode()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of :meth:`to_bytes`, in hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @cached_property
    def unk_id(self) -> int:
        """The id of ``<unk>``."""
        return self._ids[UNK]

    @cached_property
    def eos_id(self) -> int:
        """The id of ``<eos>``."""
        return self._ids[EOS]

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def id_of(self, word: str) -> int:
        """The id of a word, that of ``<unk>`` if the word is unknown."""
        return self._ids.get(word, self.unk_id)

    def encode_line(self, words: Iterable[str]) -> list[int]:
        """The ids of the words of a line and of the ``<eos>`` that ends it."""
        return [*map(self.id_of, words), self.eos_id]

    def encode_text(self, text: bytes) -> NDArray[np.int32]:
        """The ids of the words of a text in UTF-8, as an array of shape (number of words,).

        Only whole words: ``<eos>`` has to stand in the text, as from
        :func:`lmtrain.corpus.text.mark_lines`.
        """
        return self._table.encode(text, self.unk_id)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words that ids stand for, ``<eos>`` like any other."""
        return [self.words[i] for i in ids]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.words)}

    @cached_property
    def _table(self) -> WordTable:
        return WordTable([word.encode() for word in self.words])


def read_word_list(path: Path) -> frozenset[str]:
    """The words of a list: one a line, each followed by its count or not, as fairseq and OpenNMT have them.

    Raises:
        DataError: The file cannot be read, or a line is neither.
    """
    words = set()
    for number, line in table_lines(path):
        word, *others = line.encode().split() or [b""]
        if len(others) > 1 or (others and not _NUMBER.fullmatch(others[0])):
            raise DataError(f"{input_name(path)}:{number}: {len(others) + 1} words; one word a line")
        words.add(word.decode())
    return frozenset(words)


def read_vocabulary(path: Path, unk: str | None = None, eos: str | None = None) -> Vocabulary:
    """A vocabulary that another program fixed, ids as it has them.

    A line is a word, whose id is the number of lines before it, or Kaldi's ``word id``, in any order. Two
    words become ours, with the id they have: the unknown word ``<unk>`` and the end of a line ``<eos>``.

    Args:
        path: The file.
        unk: The unknown word; by default ``<unk>``, else the first of ``UNK_ELSEWHERE``.
        eos: The end of a line; by default ``<eos>``, else the first of ``EOS_ELSEWHERE``.

    Raises:
        DataError: The file cannot be read, or is none such; names the line.
    """
    name, lines, given = input_name(path), dict[str, int](), dict[int, str]()
    for number, line in table_lines(path):
        place, found = f"{name}:{number}", fields(line)
        if not found or len(found) > 2 or (number > 1 and (len(found) > 1) != bool(given)):
            raise DataError(
                f"{place}: expected a word a line or, on all lines, 'word id'; here are {len(found)}"
            )
        if len(found) > 1:
            id_ = int(found[1]) if re.fullmatch("[0-9]{1,9}", found[1]) else -1
            if id_ < 0:
                raise DataError(f"{place}: {found[1]!r} is no id; expected 'word id', from 0 on")
            if id_ in given:
                raise DataError(f"{place}: id {id_} is that of {given[id_]!r} too")
            given[id_] = found[0]
        if found[0] in lines:
            raise DataError(f"{place}: {found[0]!r} stands on line {lines[found[0]]} too")
        lines[found[0]] = number
    words = list(lines)
    if given:
        gap = next((id_ for id_ in range(len(given)) if id_ not in given), None)
        if gap is not None:
            raise DataError(f"{name}: no word has the id {gap}; ids go from 0 to {max(given)} without a gap")
        words = [given[id_] for id_ in range(len(given))]
    for ours, asked, others in ((UNK, unk, UNK_ELSEWHERE), (EOS, eos, EOS_ELSEWHERE)):
        theirs = asked or next((word for word in (ours, *others) if word in words), None)
        if theirs not in words:
            raise DataError(
                f"{name}: {theirs or 'none of ' + ', '.join((ours, *others))} is there, and a model needs "
                f"{'an unknown word' if ours == UNK else 'an end of lines'}"
            )
        if theirs != ours and ours in words:
            raise DataError(f"{name}: has {ours} beside {theirs}, which would be called so")
        words[words.index(theirs)] = ours
    try:
        return Vocabulary(tuple(words), is_by_frequency=False)
    except ValueError as error:
        raise DataError(f"{name}: {error}") from None


def _by_frequency(frequency: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(sorted(sorted(frequency), key=frequency.__getitem__, reverse=True))
