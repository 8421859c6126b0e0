"""Two processes of one thread each against one process of two: words a second, and what speaking costs.

    python benchmarks/distributed.py

The model is an LSTM, 2 × 650, of 10,000 words, with the batches of the classic recipe. The sides take turns;
each step of both sides reads the same 20 streams of 35 words. "Without the sums" is the side of two
processes with its reduction left out, which is wrong, and shows what the reduction costs.
"""

import os

os.environ["OMP_NUM_THREADS"] = "2"

import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from common import parser, print_header, print_row, write_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from ranks import forking

from lmtrain.corpus.batching import ParallelSequentialIterator
from lmtrain.model.initialization import initialize
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.noise import Noise
from lmtrain.model.softmax import FullSoftmax
from lmtrain.training.distributed import GradientSum, ProcessGroup, Ranks
from lmtrain.training.optimizer import Optimizer
from lmtrain.training.schedule import Constant
from lmtrain.training.trainer import Trainer

V, H, B, T = 10_000, 650, 20, 35


class Silent(ProcessGroup):
    """Processes that share out streams and add nothing up."""

    def follow(self, parameters: Iterable[torch.nn.Parameter]) -> GradientSum:
        """Leaves them as they are."""
        return GradientSum(parameters)


def trainer(ranks: Ranks) -> Trainer:
    """One of either side."""
    noise = Noise(torch.Generator().manual_seed(1))
    model = LanguageModel(V, H, H, 2, cell="lstm", softmax=FullSoftmax(H, V), noise=noise)
    initialize(model, torch.Generator().manual_seed(1))
    ids = np.random.default_rng(1).integers(0, V, 200_000).astype(np.int32)
    windows = ParallelSequentialIterator(ids, B, T)
    optimizer = Optimizer(model.parameters(), "sgd", 1.0, 5.0)
    return Trainer(model, windows, optimizer, Constant(), noise, ranks=ranks)


def work(rank: int, meeting: str, rounds: int, steps: int) -> dict[str, list[float]]:
    """What each process does: all sides in turn, the one of a single process while the other waits."""
    dist.init_process_group("gloo", f"file://{meeting}", world_size=2, rank=rank)
    torch.set_num_threads(1)
    sides = {
        "two processes": trainer(ProcessGroup()),
        "two, bfloat16 sums": trainer(ProcessGroup(compress=True)),
        "two, without the sums": trainer(Silent()),
        "one process, two threads": trainer(Ranks()),
    }
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-1, rounds):
        for name, side in sides.items():
            dist.barrier()
            is_alone = name.startswith("one")
            torch.set_num_threads(2 if is_alone else 1)
            started = time.perf_counter()
            if rank == 0 or not is_alone:
                for _ in range(steps):
                    side.step()
            if number >= 0:
                found[name].append((time.perf_counter() - started) / steps)
    dist.barrier()
    dist.destroy_process_group()
    return found


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=8)
    options.add_argument("--steps", type=int, default=5, help="of a round")
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2, forking()) as pool:
        meeting = f"{folder}/store"
        jobs = [pool.submit(work, rank, meeting, args.rounds, args.steps) for rank in (0, 1)]
        found = jobs[0].result()
    seconds = {name: statistics.median(times) for name, times in found.items()}
    share = 1 - seconds["two, without the sums"] / seconds["two processes"]
    one = seconds["one process, two threads"]
    print_header("side", "ms a step", "words/s", "of one process")
    for name, s in seconds.items():
        print_row((name, f"{1000 * s:.0f}", f"{B * T / s:,.0f}", f"{one / s:.2f}"))
    print(f"\nshare of a step that the sums cost: {share:.0%}")
    write_json(args.json, {"seconds": seconds, "share": share})


if __name__ == "__main__":
    main()
