"""The perplexity of a recipe on the Penn Treebank, computed once more from the files of a snapshot."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import Silent
from torch import nn

import lmtrain
from lmtrain.config import load_config
from lmtrain.run.train import train

ROOT = Path(__file__).resolve().parents[2]


def independent_perplexity(snapshot: Path, text: Path) -> float:
    """Of two layers of ``nn.LSTM``: one stream, each token once, the first predicted from an ``<eos>``."""
    weights = load_file(snapshot / "model.safetensors")
    ids = {word: i for i, word in enumerate((snapshot / "vocab.txt").read_text().splitlines())}
    words = [word for line in text.read_text().splitlines() for word in [*line.split(), "<eos>"]]
    tokens = [ids.get(word, ids["<unk>"]) for word in words]
    stream, lstm = torch.tensor([ids["<eos>"], *tokens]), nn.LSTM(200, 200, num_layers=2)
    for name, parameter in lstm.named_parameters():  # such as bias_ih_l0; ours has one bias, in bias_ih
        ours = name[:-3].replace("bias_ih", "bias")
        parameter.data = weights.get(f"layers.{name[-1]}.{ours}", torch.zeros(800))
    state, nats = None, 0.0
    with torch.no_grad():
        for start in range(0, len(tokens), 1000):
            window = stream[start : start + 1001]
            outputs, state = lstm(weights["embedding.weight"][window[:-1]], state)
            logits = outputs @ weights["softmax.weight"].T + weights["softmax.bias"]
            nats += nn.functional.cross_entropy(logits.double(), window[1:], reduction="sum").item()
    return float(torch.tensor(nats / len(tokens), dtype=torch.float64).exp())


def test_the_perplexity_of_ptb_lstm_small(shared_data: Path, tmp_path: Path) -> None:
    texts = [f"data.{name}={shared_data}/ptb/{name}.txt" for name in ("train", "valid", "test")]
    config = load_config(
        ROOT / "configs" / "ptb-lstm-small.yaml",
        [*texts, "data.valid=null", "data.test=null", "train.epochs=null", "train.max_steps=10"],
    )
    result = train(config, Silent(), run_dir=tmp_path / "run")
    text = shared_data / "ptb" / "test.txt"
    found = lmtrain.load(result.run_dir).evaluate(text).evaluation
    assert found.num_tokens == 82_430
    (snapshot,) = (result.run_dir / "snapshots").iterdir()
    assert found.perplexity == pytest.approx(independent_perplexity(snapshot, text), rel=1e-6)
