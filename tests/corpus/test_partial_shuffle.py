"""Streams that begin elsewhere in each epoch: by hand, and that no word is lost."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.corpus.batching import ParallelSequentialIterator
from lmtrain.corpus.partial_shuffle import PartialShuffle

SIZES = st.integers(1, 60).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(1, 9), st.integers(0, 2**32))
)


def shuffled(n: int, batch_size: int, bptt_len: int, seed: int) -> ParallelSequentialIterator:
    return ParallelSequentialIterator(np.arange(n, dtype=np.int32), batch_size, bptt_len, shuffle_seed=seed)


def test_parts_are_turned_by_what_the_seed_and_the_epoch_say() -> None:
    """By hand: 12 words in 3 streams, which flow on into each other's part in the second epoch."""
    windows = shuffled(12, 3, 4, seed=5)
    read = [next(windows)[0].T.tolist() for _ in range(2)]
    for epoch, streams in enumerate(read):
        turns = np.random.default_rng([5, epoch]).integers([4, 4, 4]).tolist()
        for stream, words in enumerate(streams):
            part = (stream + epoch) % 3
            assert words == [4 * part + (i + turns[part]) % 4 for i in range(4)]
    assert read[0] != [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@given(SIZES, st.integers(0, 10_000))
def test_at_any_time_it_is_a_permutation_within_parts(sizes: tuple[int, int, int, int], time: int) -> None:
    n, num_parts, _, seed = sizes
    starts = np.arange(num_parts) * n // num_parts
    places = np.arange(n)[None]
    turned = PartialShuffle(n, starts, seed).turned(places, np.array([[time]]))
    assert sorted(turned[0].tolist()) == list(range(n))
    parts = [np.searchsorted(starts, row[0], side="right").tolist() for row in (places, turned)]
    assert parts[0] == parts[1]


@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 9), st.integers(0, 99))
def test_each_word_once_an_epoch(length: int, batch_size: int, bptt_len: int, seed: int) -> None:
    windows = shuffled(length * batch_size, batch_size, bptt_len, seed)
    rows = [row for x, _ in itertools.islice(windows, 3 * length) for row in x.tolist()]
    for epoch in range(3):
        read = [word for row in rows[epoch * length : (epoch + 1) * length] for word in row]
        assert sorted(read) == list(range(length * batch_size))


@given(SIZES, st.integers(0, 30))
def test_streams_flow_on_and_any_window_can_be_had_at_once(
    sizes: tuple[int, int, int, int], number: int
) -> None:
    windows = shuffled(*sizes)
    last = None
    for x, y in itertools.islice(windows, number):
        assert x[1:].tolist() == y[:-1].tolist()
        assert last is None or x[0].tolist() == last
        last = y[-1].tolist()
    resumed = shuffled(*sizes)
    resumed.load_state_dict(windows.state_dict())
    assert next(resumed)[0].tolist() == next(windows)[0].tolist()


@pytest.mark.parametrize("epochs", [0.5, 1, 3])
def test_epochs_count_as_before(epochs: float) -> None:
    ids = np.arange(1000, dtype=np.int32)
    plain = ParallelSequentialIterator(ids, 7, 20)
    assert shuffled(1000, 7, 20, seed=1).steps_for(epochs) == plain.steps_for(epochs)
