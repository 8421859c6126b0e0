"""A held-out text as windows to be scored: every token once, none of them twice, nothing wrapped.

The first token is predicted from one ``<eos>``. In stream context the text is one stream whose state is
carried from end to end; in line context each line starts from the initial state.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmtrain.corpus.batching import IGNORED, Ids, line_extents, padded_window
from lmtrain.corpus.corpus import Corpus

Positions = npt.NDArray[np.int64]

WINDOW_TOKENS = 4096
"""Tokens scored at once. It bounds memory, and how long a request to stop waits; it changes no figure beyond
rounding."""

ALL = slice(None)
"""Of the streams or lines of a text; one of several processes reads a share of them."""


class HeldOutWindow(NamedTuple):
    """Time steps of B sequences; padded where some of them have ended."""

    input_ids: Tensor
    """int64, shape (T, B)."""
    targets: Tensor
    """int64, shape (T, B); ``IGNORED`` where there is none."""
    positions: Positions
    """Where in the text the targets stand, in row-major order, those of padding left out."""
    goes_on: bool
    """Whether the sequences go on from the window before; otherwise they start from the initial state."""
    is_open: bool = False
    """Whether it is the beginning of a window, the rest of which comes next; see ``coming_windows``."""


def held_out_windows(
    corpus: Corpus, context: str, *, streams: int = 1, batch_size: int | None = None, share: slice = ALL
) -> Iterable[HeldOutWindow]:
    """A held-out text in ``stream`` context (``streams`` of them) or ``line`` context (in batches)."""
    if context == "line":
        return line_windows(corpus.ids, corpus.line_ends, corpus.eos_id, batch_size, share)
    return stream_windows(corpus.ids, corpus.eos_id, streams, share=share)


def ordered_windows(corpus: Corpus, context: str, window_len: int = WINDOW_TOKENS) -> Iterator[HeldOutWindow]:
    """A held-out text word after word, for a reading that learns; in ``line`` context line after line."""
    if context == "line":
        return ordered_line_windows(corpus.ids, corpus.line_ends, corpus.eos_id, window_len)
    return stream_windows(corpus.ids, corpus.eos_id, window_len=window_len)


def stream_windows(
    ids: Ids,
    eos_id: int,
    streams: int = 1,
    window_len: int | None = None,
    *,
    share: slice = ALL,
) -> Iterator[HeldOutWindow]:
    """One stream, or a text cut into ``streams`` of them, each starting from ``<eos>`` and no context.

    Args:
        ids: The N token ids, int32.
        eos_id: The context of each stream's first token.
        streams: Number of streams; 1 is exact. More than N are N.
        window_len: Time steps of a window; by default as many as fit the memory bound.
        share: Which streams are read.
    """
    streams = max(1, min(streams, len(ids)))
    cuts = np.arange(streams + 1, dtype=np.int64) * len(ids) // streams
    return _sequences(np.asarray(ids), cuts[:-1][share], np.diff(cuts)[share], eos_id, window_len)


def coming_windows(ids: Ids, eos_id: int, window_len: int, num_read: int) -> Iterator[HeldOutWindow]:
    """The next lines of one stream: cut where ``stream_windows`` cuts the whole of it, and where they end.

    Args:
        ids: The N token ids of the lines, int32, after a line end or at the beginning.
        eos_id: The context of the first token.
        window_len: Time steps of a window.
        num_read: Tokens of the stream that came before.
    """
    start, length = np.array([0]), np.array([len(ids)])
    first = window_len - num_read % window_len
    for begin, end in pairwise([0, *range(first, len(ids), window_len), len(ids)]):
        window = padded_window(np.asarray(ids), start, length, eos_id, slice(begin, end))
        yield HeldOutWindow(*window, goes_on=True, is_open=(num_read + end) % window_len > 0)


def line_windows(
    ids: Ids,
    line_ends: npt.NDArray[np.int64],
    eos_id: int,
    batch_size: int | None = None,
    share: slice = ALL,
) -> Iterator[HeldOutWindow]:
    """Every line on its own, about equally long lines together.

    Args:
        ids: The token ids; each line ends in ``eos_id``.
        line_ends: The positions of those ends, ascending, int64.
        eos_id: The context of each line's first word.
        batch_size: Lines of a window; by default as many as fit the memory bound.
        share: Which lines are read, of all by length.
    """
    starts, lengths = line_extents(line_ends)
    order = np.argsort(lengths, kind="stable")[::-1][share]
    while len(order):
        size = batch_size or max(1, WINDOW_TOKENS // int(lengths[order[0]]))
        lines, order = order[:size], order[size:]
        yield from _sequences(np.asarray(ids), starts[lines], lengths[lines], eos_id)


def ordered_line_windows(
    ids: Ids, line_ends: npt.NDArray[np.int64], eos_id: int, window_len: int
) -> Iterator[HeldOutWindow]:
    """Every line on its own, one after the other; arguments as of ``line_windows`` and ``stream_windows``."""
    starts, lengths = line_extents(line_ends)
    for i in range(len(starts)):
        yield from _sequences(np.asarray(ids), starts[i : i + 1], lengths[i : i + 1], eos_id, window_len)


def asking_for(windows: Iterable[HeldOutWindow], wanted: npt.NDArray[np.bool_]) -> Iterator[HeldOutWindow]:
    """The same windows, with the targets of some tokens alone.

    Args:
        windows: Of a text of N tokens.
        wanted: Whether a token is to be scored, shape (N,).
    """
    for window in windows:
        chosen = wanted[window.positions]
        targets = window.targets.clone()
        targets[targets >= 0] = torch.where(
            torch.from_numpy(chosen), window.targets[window.targets >= 0], IGNORED
        )
        yield window._replace(targets=targets, positions=window.positions[chosen])


def _sequences(
    ids: Ids,
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    eos_id: int,
    window_len: int | None = None,
) -> Iterator[HeldOutWindow]:
    """Parts of a text side by side, if any, from their first tokens to the last of the longest."""
    if not len(starts):
        return
    window_len = window_len or max(1, WINDOW_TOKENS // len(starts))
    for begin in range(0, int(lengths.max()), window_len):
        times = slice(begin, begin + window_len)
        yield HeldOutWindow(*padded_window(ids, starts, lengths, eos_id, times), goes_on=begin > 0)
