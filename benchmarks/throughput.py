"""Training speed against the loop of the tutorials, and against what the processor can do at best.

    python benchmarks/throughput.py [--rounds 15] [--shape NAME …] [--json FILE]

Both sides train on the same random tokens in one process, step by step in turn, so that a machine whose
speed drifts is fair to both. The reference is written as tutorials write it: nn.LSTM, nn.Linear,
cross_entropy, clip_grad_norm_, and an update of each parameter. The ceiling is the time that the
floating-point operations of a step (6 a weight and word) would take at the speed of a matrix product
measured in the same run.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the program itself does

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lmtrain.corpus.batching import ParallelSequentialIterator
from lmtrain.model.initialization import initialize
from lmtrain.model.language_model import LanguageModel
from lmtrain.training.optimizer import Optimizer
from lmtrain.training.schedule import Constant
from lmtrain.training.trainer import Trainer

BATCH_SIZE, BPTT_LEN, MAX_GRAD_NORM, LR = 20, 35, 0.25, 1.0


@dataclass(frozen=True)
class Shape:
    """A model to time."""

    cell: str
    num_layers: int
    hidden_size: int
    vocab_size: int
    tied: bool = False

    @property
    def operations(self) -> int:
        """Floating-point operations of a step: 6 a weight of the products and word."""
        gates = {"elman": 1, "lstm": 4}[self.cell]
        weights = self.num_layers * gates * 2 * self.hidden_size**2 + self.hidden_size * self.vocab_size
        return 6 * weights * BATCH_SIZE * BPTT_LEN


SHAPES = {
    "elman 200": Shape("elman", 1, 200, 10_000),
    "lstm 2 x 200": Shape("lstm", 2, 200, 10_000),
    "lstm 2 x 650": Shape("lstm", 2, 650, 10_000),
    "lstm 2 x 400 tied, V = 33,278": Shape("lstm", 2, 400, 33_278, tied=True),
}


class Reference(nn.Module):
    """The model of the tutorials."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        layers = {"elman": nn.RNN, "lstm": nn.LSTM}[shape.cell]
        self.encoder = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.rnn = layers(shape.hidden_size, shape.hidden_size, shape.num_layers)
        self.decoder = nn.Linear(shape.hidden_size, shape.vocab_size)
        if shape.tied:
            self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)


def reference_step(shape: Shape, windows: ParallelSequentialIterator) -> Callable[[], None]:
    """A step of the tutorials' loop."""
    model = Reference(shape)
    hidden = None

    def step() -> None:
        nonlocal hidden
        x, y = next(windows)
        model.zero_grad()
        features, hidden = model.rnn(model.encoder(x), hidden)
        hidden = hidden.detach() if torch.is_tensor(hidden) else tuple(h.detach() for h in hidden)
        loss = cross_entropy(model.decoder(features).view(-1, shape.vocab_size), y.reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-LR)
        loss.item()

    return step


def our_step(shape: Shape, windows: ParallelSequentialIterator) -> Callable[[], None]:
    """``Trainer.step`` itself."""
    model = LanguageModel(
        shape.vocab_size,
        shape.hidden_size,
        shape.hidden_size,
        shape.num_layers,
        cell=shape.cell,
        tie_weights=shape.tied,
    )
    initialize(model, torch.Generator().manual_seed(1))
    optimizer = Optimizer(model.parameters(), "sgd", LR, MAX_GRAD_NORM)
    return Trainer(model, windows, optimizer, Constant(), torch.Generator()).step


def seconds(action: Callable[[], None]) -> float:
    """One run, timed."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def matrix_product() -> float:
    """Floating-point operations a second of a float32 product of 2,048-square matrices."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    return 2 * 2048**3 / seconds(lambda: torch.mm(a, b))


def measure(shape: Shape, rounds: int) -> dict[str, float]:
    """Medians over rounds in which each side makes one step."""
    ids = np.random.default_rng(0).integers(0, shape.vocab_size, 200_000).astype(np.int32)
    sides = {
        "reference": reference_step(shape, ParallelSequentialIterator(ids, BATCH_SIZE, BPTT_LEN)),
        "lmtrain": our_step(shape, ParallelSequentialIterator(ids, BATCH_SIZE, BPTT_LEN)),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    ceilings = []
    for number in range(rounds + 3):
        for name, step in sides.items():
            elapsed = seconds(step)
            if number >= 3:  # caches and allocators are warm
                times[name].append(elapsed)
        ceilings.append(matrix_product())
    ours, theirs = (statistics.median(times[name]) for name in ("lmtrain", "reference"))
    ratios = [b / a for a, b in zip(times["lmtrain"], times["reference"], strict=True)]
    ceiling = statistics.median(ceilings)
    return {
        "lmtrain_ms": 1e3 * ours,
        "reference_ms": 1e3 * theirs,
        "ratio": statistics.median(ratios),
        "words_per_second": BATCH_SIZE * BPTT_LEN / ours,
        "ceiling_gflops": ceiling / 1e9,
        "share_of_ceiling": shape.operations / ceiling / ours,
    }


def main() -> None:
    """Prints a table, and writes the figures as JSON where asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--shape", action="append", choices=list(SHAPES))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = {}
    print("| shape | lmtrain ms | reference ms | ratio | words/s | share of ceiling |")
    print("|---|---|---|---|---|---|")
    for name in arguments.shape or SHAPES:
        row = figures[name] = measure(SHAPES[name], arguments.rounds)
        print(
            f"| {name} | {row['lmtrain_ms']:.1f} | {row['reference_ms']:.1f} | {row['ratio']:.2f} "
            f"| {row['words_per_second']:,.0f} | {row['share_of_ceiling']:.0%} |",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"threads": torch.get_num_threads(), **figures}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
