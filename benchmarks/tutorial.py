"""The reference of the benchmarks: a language model as tutorials write it, with what torch has ready.

    python benchmarks/tutorial.py --data data/ptb        # the classic recipe, on its own

It follows the word_language_model example of pytorch/examples: its model, its loop over the text, its
evaluation in ten streams and its way to generate. It uses nothing of lmtrain.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

BATCH_SIZE, EVAL_BATCH_SIZE, BPTT, CLIP, LR = 20, 10, 35, 0.25, 20.0

Hidden = Any
"""A tensor, or the two of an LSTM; None before the first word."""


class Model(nn.Module):
    """Embedding, nn.RNN or nn.LSTM, linear."""

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int = 200,
        num_layers: int = 2,
        *,
        cell: str = "lstm",
        tied: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers = {"elman": nn.RNN, "lstm": nn.LSTM}[cell]
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(vocab_size, hidden_size)
        self.rnn = layers(hidden_size, hidden_size, num_layers, dropout=dropout)
        self.decoder = nn.Linear(hidden_size, vocab_size)
        if tied:
            self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, x: Tensor, hidden: Hidden = None) -> tuple[Tensor, Hidden]:
        """Logits (T * B, V) and the new state, from word ids (T, B)."""
        output, hidden = self.rnn(self.drop(self.encoder(x)), hidden)
        return self.decoder(self.drop(output)).view(-1, self.decoder.out_features), hidden


def repackage(hidden: Hidden) -> Hidden:
    """The state, cut off from its history."""
    if hidden is None or torch.is_tensor(hidden):
        return hidden if hidden is None else hidden.detach()
    return tuple(h.detach() for h in hidden)


def train_step(model: Model, x: Tensor, y: Tensor, hidden: Hidden, lr: float) -> Hidden:
    """One update; returns the new state."""
    model.zero_grad()
    output, hidden = model(x, repackage(hidden))
    loss = cross_entropy(output, y.reshape(-1))
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    for p in model.parameters():
        assert p.grad is not None
        p.data.add_(p.grad, alpha=-lr)
    loss.item()  # the example adds it up for its log
    return hidden


def batchify(ids: Tensor, streams: int) -> Tensor:
    """The text (N) as parallel streams (N // streams, streams); the rest is dropped."""
    return ids[: len(ids) // streams * streams].view(streams, -1).t().contiguous()


@torch.no_grad()
def evaluate(model: Model, data: Tensor) -> float:
    """Nats a word of a text in streams (T, B)."""
    model.eval()
    total, hidden = 0.0, None
    for i in range(0, len(data) - 1, BPTT):
        x = data[i : min(i + BPTT, len(data) - 1)]
        y = data[i + 1 : i + 1 + len(x)]
        output, hidden = model(x, hidden)
        total += len(x) * cross_entropy(output, y.reshape(-1)).item()
    return total / (len(data) - 1)


@torch.no_grad()
def score_lines(model: Model, lines: list[list[int]], eos_id: int) -> list[float]:
    """Nats of each line, which ends in ``eos_id``."""
    model.eval()
    nats = []
    for line in lines:
        x = torch.tensor([eos_id, *line[:-1]])[:, None]
        output, _ = model(x)
        nats.append(cross_entropy(output, torch.tensor(line), reduction="sum").item())
    return nats


@torch.no_grad()
def generate(model: Model, num_words: int, temperature: float = 1.0) -> list[int]:
    """Word after word."""
    model.eval()
    words, hidden = [], None
    x = torch.randint(model.decoder.out_features, (1, 1))
    for _ in range(num_words):
        output, hidden = model(x, hidden)
        word_weights = output.squeeze().div(temperature).exp().cpu()
        word_idx = torch.multinomial(word_weights, 1)[0]
        x.fill_(word_idx)
        words.append(int(word_idx))
    return words


def read(path: Path, ids: dict[str, int]) -> Tensor:
    """The word ids of a text; new words are added to ``ids``."""
    text = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            for word in [*line.split(), "<eos>"]:
                text.append(ids.setdefault(word, len(ids)))  # noqa: PERF401  (as tutorials do)
    return torch.tensor(text)


def main() -> None:
    """Trains by the classic recipe and prints a line an epoch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data/ptb"), help="with train.txt and valid.txt")
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()
    torch.manual_seed(1111)
    ids: dict[str, int] = {}
    train = batchify(read(arguments.data / "train.txt", ids), BATCH_SIZE)
    valid = batchify(read(arguments.data / "valid.txt", ids), EVAL_BATCH_SIZE)
    model = Model(len(ids), tied=True, dropout=0.2)
    lr, best = LR, math.inf
    for epoch in range(1, arguments.epochs + 1):
        model.train()
        hidden = None
        for i in range(0, len(train) - 1, BPTT):
            x = train[i : min(i + BPTT, len(train) - 1)]
            hidden = train_step(model, x, train[i + 1 : i + 1 + len(x)], hidden, lr)
        nats = evaluate(model, valid)
        print(f"epoch {epoch} lr {lr:g} valid perplexity {math.exp(nats):.2f}", flush=True)
        if nats < best:
            best = nats
        else:
            lr /= 4.0


if __name__ == "__main__":
    main()
