"""Positions of a text and their contexts."""

import numpy as np
import pytest
from tiny_models import VOCAB
from tiny_texts import text_of

from lmtrain.corpus.batching import IGNORED

EOS = VOCAB.eos_id
IDS = np.array([0, 2, EOS, 4, EOS, 5, 6, 0, EOS])


@pytest.mark.parametrize(
    ("context", "lengths"), [("stream", [1, 2, 3, 4, 5, 6, 7, 8, 9]), ("line", [1, 2, 3, 1, 2, 1, 2, 3, 4])]
)
def test_contexts(context: str, lengths: list[int]) -> None:
    text = text_of(IDS, context)
    positions = np.arange(9)
    assert text.context_lengths(positions).tolist() == lengths
    before = [EOS, *IDS[:-1].tolist()]
    seen = []
    for group in text.batches(positions, 3):
        window = text.window(group, 3)
        length = len(window.input_ids)
        assert length == min(lengths[int(group[0])], 3)
        assert (window.targets[:-1] == IGNORED).all()
        for position, context_ids, target in zip(
            group, window.input_ids.T.tolist(), window.targets[-1], strict=True
        ):
            assert context_ids == before[position - length + 1 : position + 1]
            assert context_ids[0] == EOS or lengths[position] > 3
            assert int(target) == IDS[position]
        seen += group.tolist()
    assert sorted(seen) == positions.tolist()


def test_samples() -> None:
    text = text_of(np.tile(IDS, 50))
    sample = text.sample(20, seed=1)
    assert len(set(sample.tolist())) == 20
    assert sample.tolist() == sorted(sample.tolist())
    assert sample.tolist() == text.sample(20, seed=1).tolist() != text.sample(20, seed=2).tolist()
    assert text.sample(1000, seed=1).tolist() == list(range(450))
