"""Held-out text as windows: every token once, after what stands before it."""

from random import Random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import EOS, VOCAB, Lines, corpus_of, texts

from lmtrain.corpus.batching import IGNORED
from lmtrain.inference.windows import WINDOW_TOKENS, asking_for, coming_windows, line_windows, stream_windows


@given(ids=st.lists(st.integers(0, 6), min_size=1, max_size=40), streams=st.integers(1, 50), data=st.data())
def test_stream_windows_hold_every_token_once(ids: list[int], streams: int, data: st.DataObject) -> None:
    window_len = data.draw(st.integers(1, 12))
    windows = list(stream_windows(np.array(ids, dtype=np.int32), EOS, streams, window_len))
    assert all(len(window.input_ids) <= window_len for window in windows)
    assert [window.goes_on for window in windows] == [False, *[True] * (len(windows) - 1)]
    assert sorted(i for window in windows for i in window.positions) == list(range(len(ids)))
    input_ids = torch.cat([window.input_ids for window in windows])
    targets = torch.cat([window.targets for window in windows])
    told: list[int] = []
    for column in range(targets.shape[1]):
        inside = targets[:, column] != IGNORED
        of_stream = targets[inside, column].tolist()
        assert input_ids[inside, column].tolist() == [EOS, *of_stream][:-1]
        told += of_stream
    assert told == ids


@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8), window_len=st.integers(1, 7))
def test_coming_windows_are_cut_as_those_of_the_whole(lengths: list[int], window_len: int) -> None:
    ids = np.arange(sum(lengths), dtype=np.int32) % 7
    ends = np.cumsum(lengths)
    ids[ends - 1] = EOS
    whole = list(stream_windows(ids, EOS, window_len=window_len))
    coming = [
        window
        for end, length in zip(ends, lengths, strict=True)
        for window in coming_windows(ids[end - length : end], EOS, window_len, int(end) - length)
    ]
    assert all(window.goes_on for window in coming)
    joined: list[list[torch.Tensor]] = [[]]
    for window in coming:
        joined[-1].append(torch.stack([window.input_ids, window.targets]))
        if not window.is_open:
            joined.append([])
    found = [torch.cat(parts, dim=1) for parts in joined if parts]
    expected = [torch.stack([window.input_ids, window.targets]) for window in whole]
    assert all(map(torch.equal, found, expected))
    assert len(found) == len(expected)


@given(lines=texts, batch_size=st.one_of(st.none(), st.integers(1, 12)))
def test_line_windows_hold_every_line_once(lines: Lines, batch_size: int | None) -> None:
    corpus = corpus_of(lines)
    told, positions = [], []
    for window in line_windows(corpus.ids, corpus.line_ends, EOS, batch_size):
        assert not window.goes_on
        assert batch_size is None or window.targets.shape[1] <= batch_size
        positions += window.positions.tolist()
        assert corpus.ids[window.positions].tolist() == window.targets[window.targets != IGNORED].tolist()
        for column in range(window.targets.shape[1]):
            line = window.targets[window.targets[:, column] != IGNORED, column].tolist()
            assert window.input_ids[: len(line), column].tolist() == [EOS, *line][:-1]
            told.append(line)
    assert sorted(told) == sorted(VOCAB.encode_line(words) for words in lines)
    assert sorted(positions) == list(range(corpus.num_tokens))


def test_a_line_longer_than_a_window_is_read_in_pieces() -> None:
    lines = [["the"] * (2 * WINDOW_TOKENS), ["cat"]]
    corpus = corpus_of(lines)
    windows = list(line_windows(corpus.ids, corpus.line_ends, EOS))
    assert max(window.input_ids.numel() for window in windows) == WINDOW_TOKENS
    assert [window.goes_on for window in windows] == [False, True, True, False]
    batch = list(line_windows(corpus.ids, corpus.line_ends, EOS, batch_size=2))
    assert max(window.input_ids.numel() for window in batch) == WINDOW_TOKENS
    assert sum(len(window.positions) for window in batch) == corpus.num_tokens


@given(texts, st.randoms())
def test_windows_that_ask_for_some_tokens_alone(lines: Lines, random: Random) -> None:
    corpus = corpus_of(lines)
    wanted = np.array([random.random() < 0.5 for _ in corpus.ids])
    whole = [*line_windows(corpus.ids, corpus.line_ends, EOS)]
    asking = [*asking_for(whole, wanted)]
    for before, window in zip(whole, asking, strict=True):
        assert torch.equal(window.input_ids, before.input_ids)
        assert window.targets[window.targets >= 0].tolist() == corpus.ids[window.positions].tolist()
    assert sorted(p for window in asking for p in window.positions) == np.flatnonzero(wanted).tolist()
