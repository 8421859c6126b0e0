"""Windows of random length, so that a text is not cut at the same places in every epoch."""

from itertools import count

import numpy as np
import numpy.typing as npt

_BLOCK = 1024
"""Lengths that are drawn at a time."""
_FULL, _DEVIATION, _LEAST = 0.95, 5.0, 5


class RandomLengths:
    """The length of each window, by its number: about ``bptt_len``, or now and then about half of it.

    With probability 0.95 the mean is ``bptt_len``, else half of it; a length is drawn from the normal
    distribution of deviation 5 around that, cut down to a whole number, and at least 5. It depends on the
    seed and the number alone, so that the number of windows in an epoch is known before any is read.

    Source: Merity, Keskar and Socher (2018), "Regularizing and optimizing LSTM language models", section 4.1;
    the least length is in the authors' code.

    Args:
        bptt_len: The mean of most.
        seed: Of the draws.
    """

    def __init__(self, bptt_len: int, seed: int) -> None:
        self._bptt_len = bptt_len
        self._seed = seed
        self._number = -1
        self._lengths = np.empty(0, dtype=np.int64)

    def __getitem__(self, number: int) -> int:
        """Time steps of a window; they are numbered from 0."""
        block, place = divmod(number, _BLOCK)
        return int(self._block(block)[place])

    def windows_for(self, num_steps: int) -> int:
        """How many windows, from the first one, have at least so many time steps together, one or more."""
        for number in count():
            ends = self._block(number).cumsum()
            if ends[-1] >= num_steps:
                return number * _BLOCK + int(np.searchsorted(ends, num_steps)) + 1
            num_steps -= int(ends[-1])
        raise AssertionError

    def _block(self, number: int) -> npt.NDArray[np.int64]:
        if number != self._number:
            random = np.random.default_rng([self._seed, number])
            is_full = random.random(_BLOCK) < _FULL
            drawn = random.normal(np.where(is_full, self._bptt_len, self._bptt_len / 2), _DEVIATION)
            self._number, self._lengths = number, np.maximum(drawn.astype(np.int64), _LEAST)
        return self._lengths
