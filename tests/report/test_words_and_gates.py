"""Nearest words and the saturation of gates, on models made so that the answer is known."""

import numpy as np
import pytest
import torch
from tiny_models import VOCAB, H, make_model
from tiny_texts import random_corpus

from lmtrain.corpus.vocab import Vocabulary
from lmtrain.model.cells.lstm import LSTMLayer
from lmtrain.report.measure.held_out import HeldOutText
from lmtrain.report.measure.neighbours import frequent_words, nearest_words
from lmtrain.report.measure.saturation import saturation


def test_nearest_words_by_cosine() -> None:
    model = make_model()
    with torch.no_grad():
        model.embedding.weight.zero_()
        for word, (x, y) in {
            "the": (3, 0),
            "cat": (1, 1),
            "sat": (0.1, 0.01),
            "mat": (-1, 0),
            "<eos>": (3, 0),
        }.items():
            model.embedding.weight[VOCAB.id_of(word), :2] = torch.tensor([x, y])
    (found,) = nearest_words(model, VOCAB, ["the"], number=10)
    assert found.words == ("sat", "cat", "on", "mat")  # neither <eos> nor <unk>, nor the word itself
    assert found.cosines == pytest.approx((0.995, 0.7071, 0.0, -1.0), abs=1e-3)


def test_frequent_words_are_no_special_ones() -> None:
    assert frequent_words(VOCAB, np.zeros(7, dtype=np.int64)) == ["sat"]
    vocab = Vocabulary(("<unk>", "<eos>", *(f"w{i}" for i in range(1, 60))))
    assert frequent_words(vocab, np.zeros(61, dtype=np.int64)) == ["w3", "w8", "w18", "w48"]
    assert frequent_words(Vocabulary(("w", "<eos>", "<unk>")), np.arange(3)) == ["w"]


def test_words_of_a_list_are_frequent_where_the_text_has_them_often() -> None:
    words = ("<unk>", "<eos>", *(f"w{i}" for i in range(1, 60)))
    found = frequent_words(Vocabulary(words, is_by_frequency=False), np.arange(61))
    assert found == ["w55", "w50", "w40", "w10"]  # the fifth, tenth, … from the end


@pytest.mark.parametrize("context", ["stream", "line"])
def test_gates_set_by_their_biases(context: str) -> None:
    model = make_model()
    layer = model.layers[0]
    assert isinstance(layer, LSTMLayer)
    with torch.no_grad():
        layer.weight_ih.zero_()
        layer.weight_hh.zero_()
        layer.bias.copy_(torch.tensor([-5.0, 5.0, 0.0, 0.0]).repeat_interleave(H))
        layer.bias[H] = 0.0  # of one forget gate
    text = HeldOutText(random_corpus(120), context)
    found = saturation(model, text, text.sample(50, seed=1))
    assert [(gate.layer, gate.gate[:6]) for gate in found[:3]] == [
        (1, "input "),
        (1, "forget"),
        (1, "candid"),
    ]
    i, f, g, o = found[:4]
    assert (i.low, i.high, i.units_low) == (1.0, 0.0, H)
    assert (f.low, f.units_high, f.num_units) == (0.0, H - 1, H)
    assert f.high == pytest.approx((H - 1) / H)
    assert (g.low, g.high, o.low, o.high) == (0.0, 0.0, 0.0, 0.0)
    assert len(found) == 8
