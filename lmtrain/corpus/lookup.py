"""The ids of all words in a block of text at once.

A loop over words spends its time on Python objects: one is made and hashed for every word. Here a word
of up to 16 bytes is two 64-bit integers, read out of the text for all words together, and looked up
in a hash table with open addressing and linear probing (Knuth, The Art of Computer Programming,
volume 3, section 6.4, algorithm L) made of NumPy arrays. Words are compared whole, never by their hash
alone. The few longer ones go through a dict. (``take`` is several times faster here than ``[]``.)
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_KEY_BYTES = 16
_MASKS = (255 * np.tri(_KEY_BYTES + 1, _KEY_BYTES, -1, dtype=np.uint8)).view(np.uint64)  # row n: n bytes
_MULTIPLIERS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # odd, bits well mixed
_EMPTY = -1


class WordTable:
    """Finds the ids of words.

    Args:
        words: The words in the order of their ids: UTF-8, each once, without ASCII whitespace or NUL.
    """

    def __init__(self, words: Sequence[bytes]) -> None:
        text = _padded(b" ".join(words))
        starts, lengths = _find_words(text)
        self._keys = _keys_of(text, starts, lengths)
        self._long_words = {word: index for index, word in enumerate(words) if len(word) > _KEY_BYTES}
        slot_bits = (4 * len(words)).bit_length()  # at most a quarter full, so that searches are short
        self._shift = np.uint64(64 - slot_bits)
        self._last_slot = (1 << slot_bits) - 1
        self._slots = np.full(1 << slot_bits, _EMPTY, np.int32)
        # Backwards, because the last of several writes to a slot stays: the most frequent word's.
        self._insert(np.flatnonzero(lengths <= _KEY_BYTES)[::-1].astype(np.int32))

    def _insert(self, ids: NDArray[np.int32]) -> None:
        slots = self._home_slots(self._keys[ids])
        while ids.size:
            free = self._slots[slots] == _EMPTY
            self._slots[slots[free]] = ids[free]
            homeless = self._slots[slots] != ids
            ids = ids[homeless]
            slots = (slots[homeless] + 1) & self._last_slot

    def encode(self, text: bytes, unk_id: int) -> NDArray[np.int32]:
        """The ids of the words of a text.

        Args:
            text: Words separated by ASCII whitespace, without NUL.
            unk_id: The id for words that are not in the table.

        Returns:
            int32, shape (number of words,).
        """
        text = _padded(text)
        starts, lengths = _find_words(text)
        keys = _keys_of(text, starts, lengths)
        slots = self._home_slots(keys)
        ids = self._slots[slots]
        others = np.flatnonzero(self._is_another_word(ids, keys))
        while others.size:
            slots[others] = (slots[others] + 1) & self._last_slot
            ids[others] = self._slots[slots[others]]
            others = others[self._is_another_word(ids[others], keys[others])]
        ids[ids == _EMPTY] = unk_id
        for index in np.flatnonzero(lengths > _KEY_BYTES).tolist():
            word = text[starts[index] : starts[index] + lengths[index]]
            ids[index] = self._long_words.get(word, unk_id)
        return ids

    def _home_slots(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Where the search for each word begins: the highest bits, which depend on all others."""
        mixed = (keys[:, 0] * _MULTIPLIERS[0]) ^ (keys[:, 1] * _MULTIPLIERS[1])
        return (mixed >> self._shift).astype(np.int64)

    def _is_another_word(self, ids: NDArray[np.int32], keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        found = self._keys.take(ids, axis=0)  # the last word's for an empty slot
        is_another: NDArray[np.bool_] = (found[:, 0] != keys[:, 0]) | (found[:, 1] != keys[:, 1])
        is_another &= ids != _EMPTY
        return is_another


def _padded(text: bytes) -> bytes:
    # A space before, so that each word begins after one; room behind for the key of the last word.
    return b" " + text + b" " * _KEY_BYTES


def _find_words(text: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the words of a padded text begin, and their lengths in bytes."""
    characters = np.frombuffer(text, np.uint8)
    # Tab to carriage return are 9 to 13; what is below 9 wraps around to something large.
    is_space = (characters == 32) | (characters - np.uint8(9) < 5)
    edges = np.flatnonzero(is_space[1:] != is_space[:-1]) + 1
    return edges[::2], edges[1::2] - edges[::2]


def _keys_of(text: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The first 16 bytes of each word, zeros after its end; shape (words, 2)."""
    windows = np.ndarray((len(text) - _KEY_BYTES + 1,), f"V{_KEY_BYTES}", text, strides=(1,))
    keys = windows.take(starts).view(np.uint64).reshape(-1, 2)
    keys &= _MASKS.take(np.minimum(lengths, _KEY_BYTES), axis=0)
    return keys
