"""The iterators: known windows, and laws over all sizes."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.corpus.batching import (
    IGNORED,
    LineIterator,
    ParallelSequentialIterator,
    line_extents,
    padded_window,
)

SIZES = st.integers(1, 60).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(1, 9), st.integers(0, 40))
)


def ids(length: int) -> np.ndarray:
    return np.arange(length, dtype=np.int32)


def test_windows_of_the_diagram() -> None:
    windows = ParallelSequentialIterator(ids(12), batch_size=3, bptt_len=2)
    x, y = next(windows)
    assert x.tolist() == [[0, 4, 8], [1, 5, 9]]
    assert y.tolist() == [[1, 5, 9], [2, 6, 10]]
    x, y = next(windows)
    assert x.tolist() == [[2, 6, 10], [3, 7, 11]]
    assert y.tolist() == [[3, 7, 11], [4, 8, 0]]
    assert windows.is_new_epoch
    assert next(windows)[0].tolist() == [[4, 8, 0], [5, 9, 1]]
    assert not windows.is_new_epoch
    assert (windows.iteration, windows.epoch, windows.epoch_detail) == (6, 1, 1.5)


def original(n: int, batch_size: int, time: int) -> tuple[list[int], list[int], int, bool, float]:
    """The original iterator, one time step a call, as its authors wrote it."""
    offsets = [i * n // batch_size for i in range(batch_size)]
    words = [(offset + time) % n for offset in offsets]
    following = [(offset + time + 1) % n for offset in offsets]
    epoch = (time + 1) * batch_size // n
    return words, following, epoch, epoch > time * batch_size // n, (time + 1) * batch_size / n


@given(SIZES)
def test_equals_the_original_step_by_step(sizes: tuple[int, int, int, int]) -> None:
    n, batch_size, bptt_len, num_windows = sizes
    windows = ParallelSequentialIterator(ids(n), batch_size, bptt_len)
    time = 0
    for x, y in itertools.islice(windows, num_windows):
        assert x.shape == y.shape == (bptt_len, batch_size)
        is_new_epoch = False
        for row, following in zip(x.tolist(), y.tolist(), strict=True):
            words, targets, epoch, is_new, detail = original(n, batch_size, time)
            assert (row, following) == (words, targets)
            is_new_epoch = is_new_epoch or is_new
            time += 1
        assert windows.iteration == time
        assert (windows.epoch, windows.is_new_epoch, windows.epoch_detail) == (epoch, is_new_epoch, detail)


@given(SIZES)
def test_one_sweep_drops_no_word(sizes: tuple[int, int, int, int]) -> None:
    n, batch_size, bptt_len, _ = sizes
    windows = list(ParallelSequentialIterator(ids(n), batch_size, bptt_len, repeat=False))
    lengths = [len(x) for x, _ in windows]
    assert sum(lengths) == -(-n // batch_size)
    assert all(length == bptt_len for length in lengths[:-1])
    assert {i for x, _ in windows for i in x.flatten().tolist()} == set(range(n))
    assert {i for _, y in windows for i in y.flatten().tolist()} == set(range(n))


@given(SIZES)
def test_streams_flow_on(sizes: tuple[int, int, int, int]) -> None:
    n, batch_size, bptt_len, num_windows = sizes
    windows = ParallelSequentialIterator(ids(n), batch_size, bptt_len)
    last = None
    for x, y in itertools.islice(windows, num_windows):
        assert x[1:].tolist() == y[:-1].tolist()
        assert last is None or x[0].tolist() == last
        last = y[-1].tolist()


@given(SIZES, st.floats(0.01, 4))
def test_steps_for_is_where_the_epochs_are_full(sizes: tuple[int, int, int, int], epochs: float) -> None:
    n, batch_size, bptt_len, _ = sizes
    windows = ParallelSequentialIterator(ids(n), batch_size, bptt_len)
    steps = windows.steps_for(epochs)
    assert steps * bptt_len * batch_size >= epochs * n - 1e-6
    assert (steps - 1) * bptt_len * batch_size < epochs * n + 1e-6


@given(SIZES)
def test_continues_from_its_state(sizes: tuple[int, int, int, int]) -> None:
    n, batch_size, bptt_len, num_windows = sizes
    first = ParallelSequentialIterator(ids(n), batch_size, bptt_len)
    for _ in range(num_windows):
        next(first)
    second = ParallelSequentialIterator(ids(n), batch_size, bptt_len)
    second.load_state_dict(first.state_dict())
    assert second.is_new_epoch == first.is_new_epoch
    assert [w.tolist() for w in next(second)] == [w.tolist() for w in next(first)]
    assert second.state_dict() == first.state_dict()


@pytest.mark.parametrize(("batch_size", "bptt_len"), [(0, 1), (6, 1), (1, 0)])
def test_sizes_out_of_range_are_refused(batch_size: int, bptt_len: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        ParallelSequentialIterator(ids(5), batch_size, bptt_len)


EOS = 0
LINES = st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=20)


def corpus_of(lines: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.array([token for line in lines for token in [*line, EOS]], dtype=np.int32)
    return tokens, np.flatnonzero(tokens == EOS)


def sequences(window: Sequence[torch.Tensor]) -> list[tuple[list[int], list[int]]]:
    """What each column of a batch reads and predicts, padding left out."""
    x, y = window
    columns = []
    for inputs, targets in zip(x.t().tolist(), y.t().tolist(), strict=True):
        length = sum(target != IGNORED for target in targets)
        assert targets[length:] == [IGNORED] * (len(targets) - length)
        columns.append((inputs[:length], targets[:length]))
    return columns


@given(LINES)
def test_a_padded_batch_holds_its_lines(lines: list[list[int]]) -> None:
    tokens, ends = corpus_of(lines)
    starts, lengths = line_extents(ends)
    *window, positions = padded_window(tokens, starts, lengths, EOS, slice(0, 99))
    assert sequences(window) == [([EOS, *line], [*line, EOS]) for line in lines]
    assert len(window[0]) == max(map(len, lines)) + 1
    assert tokens[positions].tolist() == window[1][window[1] != IGNORED].tolist()
    assert sorted(positions) == list(range(len(tokens)))


@given(LINES, st.integers(1, 9))
def test_a_batch_in_pieces_is_the_batch(lines: list[list[int]], size: int) -> None:
    tokens, ends = corpus_of(lines)
    starts, lengths = line_extents(ends)
    whole = padded_window(tokens, starts, lengths, EOS, slice(0, 99))
    begins = range(0, int(lengths.max()), size)
    pieces = [padded_window(tokens, starts, lengths, EOS, slice(a, a + size)) for a in begins]
    for part, parts in zip(whole[:2], zip(*(piece[:2] for piece in pieces), strict=True), strict=True):
        assert torch.equal(torch.cat(parts), part)
    assert np.concatenate([piece[2] for piece in pieces]).tolist() == whole[2].tolist()


@given(LINES, st.data())
def test_each_epoch_reads_every_line_once(lines: list[list[int]], data: st.DataObject) -> None:
    tokens, ends = corpus_of(lines)
    batch_size = data.draw(st.integers(1, len(lines)))
    batches = LineIterator(tokens, ends, EOS, batch_size, seed=3)
    for epoch in range(2):
        read = []
        lengths = []
        while batches.epoch == epoch:
            window = next(batches)
            lengths.append([len(targets) for _, targets in sequences(window)])
            read += [targets[:-1] for _, targets in sequences(window)]
        assert sorted(read) == sorted(lines)
        assert batches.is_new_epoch
        # Grouped by length: the ranges of two batches at most touch.
        spans = sorted((min(n), max(n)) for n in lengths)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert batches.epoch_detail == 2.0
    assert batches.batches_read == batches.steps_for(2)


@given(LINES, st.integers(0, 30))
def test_lines_continue_from_their_state(lines: list[list[int]], num_batches: int) -> None:
    tokens, ends = corpus_of(lines)
    first = LineIterator(tokens, ends, EOS, 1, seed=3)
    for _ in range(num_batches):
        next(first)
    second = LineIterator(tokens, ends, EOS, 1, seed=3)
    second.load_state_dict(first.state_dict())
    for _ in range(len(lines) + 1):
        assert [w.tolist() for w in next(second)] == [w.tolist() for w in next(first)]


def test_orders_differ_between_epochs_and_seeds() -> None:
    tokens, ends = corpus_of([[i] for i in range(1, 40)])

    def order(batches: LineIterator) -> list[int]:
        return [int(next(batches)[1][0, 0]) for _ in range(39)]

    first, other = LineIterator(tokens, ends, EOS, 1, seed=1), LineIterator(tokens, ends, EOS, 1, seed=2)
    orders = [order(first), order(first), order(other)]
    assert len({tuple(o) for o in orders}) == 3
    assert all(sorted(o) == list(range(1, 40)) for o in orders)


def test_more_lines_at_once_than_there_are_is_refused() -> None:
    tokens, ends = corpus_of([[1], [2]])
    with pytest.raises(ValueError, match="2 lines"):
        LineIterator(tokens, ends, EOS, 3)


@pytest.mark.parametrize(("epochs", "steps"), [(1.1, 110), (1.105, 111), (0.07, 7), (2.2, 220), (3, 300)])
def test_epochs_are_taken_as_they_are_written(epochs: float, steps: int) -> None:
    ends = np.arange(1, 200, 2)  # 100 lines of a word
    assert LineIterator(np.zeros(200, np.int32), ends, eos_id=0, batch_size=1).steps_for(epochs) == steps
    assert ParallelSequentialIterator(np.zeros(200), batch_size=2, bptt_len=1).steps_for(epochs) == steps
