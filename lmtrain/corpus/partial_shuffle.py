"""Streams that begin elsewhere in each epoch, so that other words stand side by side in a batch."""

import numpy as np
import numpy.typing as npt


class PartialShuffle:
    """Turns the part of a text that is one stream's in an epoch around by a random number of words.

    What is read in the order 0, 1, 2 … of a part of M words is then r, r + 1 … M - 1, 0 … r - 1, with another
    r for each part and each epoch, which depends on the seed and the number of the epoch alone. So a word is
    read as often as it was. But for one place in each part, and the ends of epochs, words stand in order.

    Source: Press (2019), "Partially shuffling the training data to improve language models".

    Args:
        num_tokens: N, of the text.
        starts: Where the parts begin, int64, shape (B), ascending, the first at 0.
        seed: Of the draws.
    """

    def __init__(self, num_tokens: int, starts: npt.NDArray[np.int64], seed: int) -> None:
        self._num_tokens = num_tokens
        self._starts = starts
        self._lengths = np.diff(starts, append=num_tokens)
        self._seed = seed

    def turned(self, places: npt.NDArray[np.int64], times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The places in the text that are read for ``places`` (T, B) at ``times`` (T, 1) from the start."""
        epochs, of_row = np.unique(times[:, 0] * len(self._starts) // self._num_tokens, return_inverse=True)
        turns = np.stack([self._turns(int(epoch)) for epoch in epochs])  # (epochs, B)
        part = np.searchsorted(self._starts, places, side="right") - 1
        start, turn = self._starts[part], turns[of_row[:, None], part]
        return np.asarray(start + (places - start + turn) % self._lengths[part])

    def _turns(self, epoch: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng([self._seed, epoch]).integers(self._lengths)
