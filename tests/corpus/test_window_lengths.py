"""Lengths of windows drawn at random: their distribution, and the number of windows known beforehand."""

from itertools import accumulate

import numpy as np
import pytest

from lmtrain.corpus.batching import ParallelSequentialIterator
from lmtrain.corpus.window_lengths import RandomLengths

IDS = np.arange(1000, dtype=np.int32)


def test_lengths_are_normal_around_the_length_or_half_of_it() -> None:
    lengths = RandomLengths(70, seed=3)
    drawn = np.array([lengths[i] for i in range(20_000)])
    full = drawn[drawn > 52]
    assert len(full) / len(drawn) == pytest.approx(0.95, abs=0.005)
    assert full.mean() == pytest.approx(69.5, abs=0.2)  # whole numbers, cut down
    assert full.std() == pytest.approx(5.0, abs=0.1)
    assert drawn[drawn <= 52].mean() == pytest.approx(34.5, abs=0.5)


def test_none_is_shorter_than_5() -> None:
    lengths = RandomLengths(6, seed=3)
    drawn = [lengths[i] for i in range(500)]
    assert min(drawn) == 5
    assert max(drawn) > 12


def test_a_length_depends_on_seed_and_number_alone() -> None:
    lengths = RandomLengths(70, seed=3)
    forwards = [lengths[i] for i in range(3000)]
    assert [lengths[i] for i in reversed(range(3000))] == forwards[::-1]
    assert [RandomLengths(70, seed=4)[i] for i in range(100)] != forwards[:100]
    assert forwards[:1024] != forwards[1024:2048]


@pytest.mark.parametrize("num_steps", [1, 60, 100, 5000, 71_234, 200_000])
def test_windows_for_a_number_of_time_steps(num_steps: int) -> None:
    lengths = RandomLengths(70, seed=3)
    number = lengths.windows_for(num_steps)
    ends = list(accumulate(lengths[i] for i in range(number)))
    assert ends[-1] >= num_steps
    assert number == 1 or ends[-2] < num_steps


@pytest.mark.parametrize("epochs", [0.3, 1, 2.5])
def test_epochs_still_count_words_and_no_word_is_dropped(epochs: float) -> None:
    windows = ParallelSequentialIterator(IDS, 7, 20, lengths=RandomLengths(20, seed=3))
    steps = windows.steps_for(epochs)
    read = [next(windows)[0] for _ in range(steps)]
    assert windows.epoch_detail >= epochs
    assert len({len(window) for window in read}) > 1
    assert windows.epoch_detail - len(read[-1]) * 7 / 1000 < epochs
    stream = np.concatenate([window[:, 0].numpy() for window in read])
    assert stream.tolist() == [i % 1000 for i in range(len(stream))]


def test_windows_continue_from_their_state() -> None:
    whole, part = (ParallelSequentialIterator(IDS, 7, 20, lengths=RandomLengths(20, 3)) for _ in range(2))
    for _ in range(5):
        next(whole)
    part.load_state_dict(whole.state_dict())
    for _ in range(5):
        assert next(whole)[0].tolist() == next(part)[0].tolist()
    assert "windows_read" not in ParallelSequentialIterator(IDS, 7, 20).state_dict()
