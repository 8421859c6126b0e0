"""From a long row of token ids to the windows that truncated backpropagation reads.

The corpus of N tokens is one circle. B streams start on it at equal distances, and a window is the
next T tokens of every stream; here N = 12, B = 3, T = 2::

    ids        a b c d e f g h i j k l
    offsets    0       4       8             stream i starts at i * N // B

               stream 0   stream 1   stream 2
    window 1   a          e          i       input_ids (T, B); the targets are the
               b          f          j       tokens one place further: b f j / c g k
    window 2   c          g          k
               d          h          l       the target of l is a: stream 2 wraps around
    window 3   e          i          a       stream 0 flows on into what stream 1 has read

One epoch is N words read by all streams together. No word is dropped, and the hidden state of each
stream is carried from window to window without a break.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmtrain.corpus.partial_shuffle import PartialShuffle
from lmtrain.corpus.window_lengths import RandomLengths

IGNORED = -100
"""The target id of padding: it costs no loss and no gradient."""

Ids = npt.NDArray[np.int32]
Window = tuple[Tensor, Tensor]
"""``(input_ids, targets)``, both int64 of shape (T, B)."""


class Windows(Protocol):
    """What a trainer reads: an endless or finite iterator over windows that knows where it is."""

    carries_state: bool
    """Whether the hidden state flows from one window into the next."""
    batch_size: int
    """Streams of a window, or lines, of which the last may have fewer."""

    @property
    def epoch(self) -> int:
        """Sweeps over the corpus that are complete."""

    @property
    def is_new_epoch(self) -> bool:
        """Whether the window read last completed a sweep."""

    @property
    def epoch_detail(self) -> float:
        """Sweeps over the corpus, with the fraction of the present one."""

    def steps_for(self, epochs: float) -> int:
        """Windows from the very start until ``epoch_detail`` reaches ``epochs``."""

    def __iter__(self) -> Iterator[Window]: ...

    def __next__(self) -> Window: ...

    def state_dict(self) -> dict[str, Any]:
        """The position, as JSON values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a position that ``state_dict`` gave."""


class ParallelSequentialIterator:
    """Reads a corpus as parallel streams that move forward together and wrap around.

    Args:
        ids: The N token ids of the corpus, a one-dimensional integer array or memory map.
        batch_size: Number of parallel streams B, at most N.
        bptt_len: Time steps T of a window: the truncation of backpropagation through time.
        repeat: Whether to go on for ever. Otherwise one sweep of ``ceil(N / B)`` time steps is read,
            whose last window may be short.
        lengths: T of each window, where it is not ``bptt_len``.
        shuffle_seed: Of a ``PartialShuffle``; None reads the text as it stands.

    Yields:
        ``(input_ids, targets)``, both int64 of shape (T, B).

    Raises:
        ValueError: An argument is out of range.
    """

    carries_state = True

    def __init__(
        self,
        ids: Ids,
        batch_size: int,
        bptt_len: int,
        repeat: bool = True,
        lengths: RandomLengths | None = None,
        shuffle_seed: int | None = None,
    ) -> None:
        if bptt_len < 1:
            raise ValueError(f"bptt_len must be at least 1, not {bptt_len}")
        if not 1 <= batch_size <= len(ids):
            raise ValueError(f"batch_size must be from 1 to the {len(ids)} tokens, not {batch_size}")
        self.batch_size = batch_size
        self.bptt_len = bptt_len
        self.repeat = repeat
        self.iteration = 0
        """Time steps taken: words read by each stream."""
        self.is_new_epoch = False
        self._lengths = lengths
        self._windows_read = 0
        self._ids = np.asarray(ids)
        self._offsets = np.arange(batch_size, dtype=np.int64) * len(ids) // batch_size
        self._shuffle = None
        if shuffle_seed is not None:
            self._shuffle = PartialShuffle(len(ids), self._offsets, shuffle_seed)

    @property
    def epoch(self) -> int:
        """Sweeps over the corpus that are complete."""
        return self.iteration * self.batch_size // len(self._ids)

    @property
    def epoch_detail(self) -> float:
        """Sweeps over the corpus, with the fraction of the present one."""
        return self.iteration * self.batch_size / len(self._ids)

    def steps_for(self, epochs: float) -> int:
        """Windows from the very start until ``epoch_detail`` reaches ``epochs``."""
        tokens = Fraction(str(epochs)) * len(self._ids)
        if self._lengths:
            return self._lengths.windows_for(math.ceil(tokens / self.batch_size))
        return math.ceil(tokens / (self.batch_size * self.bptt_len))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Window:
        length = self._lengths[self._windows_read] if self._lengths else self.bptt_len
        if not self.repeat:
            sweep = -(-len(self._ids) // self.batch_size)
            length = min(length, sweep - self.iteration)
            if length <= 0:
                raise StopIteration
        times = np.arange(self.iteration, self.iteration + length + 1)[:, None]
        places = (self._offsets + times) % len(self._ids)
        if self._shuffle:
            places = self._shuffle.turned(places, times)
        tokens = torch.from_numpy(self._ids[places].astype(np.int64))  # (T + 1, B)
        epoch_before = self.epoch
        self.iteration += length
        self._windows_read += 1
        self.is_new_epoch = self.epoch > epoch_before
        return tokens[:-1], tokens[1:]

    def state_dict(self) -> dict[str, Any]:
        """The position, as JSON values."""
        state = {"iteration": self.iteration, "is_new_epoch": self.is_new_epoch}
        return {**state, "windows_read": self._windows_read} if self._lengths else state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a position that ``state_dict`` gave."""
        self.iteration = _position(state["iteration"])
        self.is_new_epoch = bool(state["is_new_epoch"])
        if self._lengths:
            self._windows_read = _position(state["windows_read"])


class LineIterator:
    """Reads a corpus line by line: every line its own sequence, in padded batches of equal lengths.

    A line ``w1 … wn`` is read as the input ``<eos> w1 … wn`` with the targets ``w1 … wn <eos>``. The
    lines of a batch are about equally long; which lines meet, and the order of the batches, is drawn
    anew each epoch from the seed and the epoch's number alone, so that the position is all its state.

    Args:
        ids: The token ids of the corpus; each line ends in ``eos_id``.
        line_ends: The positions of those ends, ascending, int64.
        eos_id: The id of ``<eos>``.
        batch_size: Lines of a batch; the last batch of an epoch may hold fewer.
        seed: Of the order of lines.

    Yields:
        ``(input_ids, targets)``, both int64 of shape (T, B), T the longest line of the batch. Targets
        of padding are ``IGNORED``.
    """

    carries_state = False

    def __init__(
        self,
        ids: Ids,
        line_ends: npt.NDArray[np.int64],
        eos_id: int,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        if not 1 <= batch_size <= len(line_ends):
            raise ValueError(f"batch_size must be from 1 to the {len(line_ends)} lines, not {batch_size}")
        self.batch_size = batch_size
        self.batches_read = 0
        self._ids = np.asarray(ids)
        self._eos_id = eos_id
        self._starts, self._lengths = line_extents(line_ends)
        self._seed = seed
        self._num_batches = -(-len(line_ends) // batch_size)
        self._order_epoch = -1
        self._order: list[npt.NDArray[np.int64]] = []

    @property
    def epoch(self) -> int:
        """Sweeps over the corpus that are complete."""
        return self.batches_read // self._num_batches

    @property
    def is_new_epoch(self) -> bool:
        """Whether the batch read last completed a sweep."""
        return self.batches_read > 0 and self.batches_read % self._num_batches == 0

    @property
    def epoch_detail(self) -> float:
        """Sweeps over the corpus, with the fraction of the present one."""
        return self.batches_read / self._num_batches

    def steps_for(self, epochs: float) -> int:
        """Batches from the very start until ``epoch_detail`` reaches ``epochs``."""
        return math.ceil(Fraction(str(epochs)) * self._num_batches)  # 1.1 of 100 is 110, not 111

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Window:
        if self._order_epoch != self.epoch:
            self._order_epoch = self.epoch
            self._order = self._draw_order()
        lines = self._order[self.batches_read % self._num_batches]
        self.batches_read += 1
        starts, lengths = self._starts[lines], self._lengths[lines]
        whole = slice(0, int(lengths.max()))
        input_ids, targets, _ = padded_window(self._ids, starts, lengths, self._eos_id, whole)
        return input_ids, targets

    def _draw_order(self) -> list[npt.NDArray[np.int64]]:
        random = np.random.default_rng([self._seed, self.epoch])
        by_length = np.lexsort((random.random(len(self._lengths)), self._lengths))
        batches = [
            by_length[start : start + self.batch_size] for start in range(0, len(by_length), self.batch_size)
        ]
        return [batches[i] for i in random.permutation(len(batches))]

    def state_dict(self) -> dict[str, Any]:
        """The position, as JSON values."""
        return {"batches_read": self.batches_read}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a position that ``state_dict`` gave."""
        self.batches_read = _position(state["batches_read"])


def line_extents(
    line_ends: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where lines start and how many tokens they have, from the positions of their ``<eos>``."""
    starts = np.concatenate(([0], line_ends[:-1] + 1))
    return starts, line_ends - starts + 1


def padded_window(
    ids: Ids, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], eos_id: int, times: slice
) -> tuple[Tensor, Tensor, npt.NDArray[np.int64]]:
    """Time steps of B parts of a text side by side, padded where some of them have ended.

    Args:
        ids: The token ids of the text.
        starts: Where the parts start, int64, shape (B).
        lengths: Their tokens, int64, shape (B).
        eos_id: The context of the first token of each part.
        times: Which time steps, with a start and a stop.

    Returns:
        ``input_ids`` and ``targets``, both int64 of shape (T, B), the targets of padding ``IGNORED``, and
        the positions in the text of the targets that are none, in row-major order.
    """
    time = np.arange(times.start, min(times.stop, int(lengths.max())))[:, None]
    inside = time < lengths
    positions = np.where(inside, starts + time, 0)
    targets = np.where(inside, ids[positions], IGNORED).astype(np.int64)
    before = ids[np.maximum(positions - 1, 0)]
    input_ids = np.where(inside & (time > 0), before, eos_id).astype(np.int64)
    return torch.from_numpy(input_ids), torch.from_numpy(targets), positions[inside]


def _position(value: Any) -> int:
    number = int(value)
    if not 0 <= number < 2**62:
        raise ValueError(f"{number} is no position in a text")
    return number
