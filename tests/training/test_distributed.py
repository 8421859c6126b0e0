"""Several processes train what one would: the same losses, the same weights, whatever the model.

All of it is run by four processes that are started once, since that takes longer than what they do.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from ranks import forking

from lmtrain.corpus.batching import LineIterator, ParallelSequentialIterator, Windows
from lmtrain.corpus.window_lengths import RandomLengths
from lmtrain.errors import DivergenceError
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.cells import CELLS
from lmtrain.model.dropout import Dropout, DropoutRates
from lmtrain.model.initialization import initialize
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.mixture_softmax import MixtureSoftmax
from lmtrain.model.noise import Noise
from lmtrain.model.sampled_softmax import SampledSoftmax
from lmtrain.model.softmax import FullSoftmax
from lmtrain.training.averaging import ExponentialAverage
from lmtrain.training.distributed import ProcessGroup, Ranks
from lmtrain.training.optimizer import Optimizer
from lmtrain.training.regularization import ActivationPenalty
from lmtrain.training.schedule import Constant
from lmtrain.training.trainer import Trainer

V, H, B, STEPS, PROCESSES = 40, 6, 8, 8, 4
IDS = np.random.default_rng(0).integers(0, V, 400).astype(np.int32)
LINE_ENDS = np.append(np.random.default_rng(1).choice(np.arange(398), 57, replace=False), 399)
LINE_ENDS.sort()
SOFTMAXES = {
    "full": lambda _: FullSoftmax(H, V),
    "tied": lambda _: FullSoftmax(H, V),
    "adaptive": lambda _: AdaptiveSoftmax(H, V, [5, 38]),  # the last cluster is often in no window
    "sampled": lambda noise: SampledSoftmax(H, V, 7, noise=noise),
    "mixture": lambda noise: MixtureSoftmax(H, V, 3, H, Dropout(0.3, noise)),
}
PLAIN = DropoutRates(0.2, 0.3, 0.4)
LOCKED = DropoutRates(0.2, 0.3, 0.4, words=0.1, locked=True)


@dataclass(frozen=True)
class Case:
    """What is trained."""

    cell: tuple[str, str] = ("lstm", "tanh")
    softmax: str = "full"
    rates: DropoutRates = PLAIN
    reduction: str = "mean"
    optimizer: str = "sgd"
    is_line: bool = False
    has_random_lengths: bool = False
    penalty: ActivationPenalty | None = None
    decay: float | None = None
    accumulate: int = 1

    def windows(self) -> Windows:
        if self.is_line:  # 58 lines: the last batch has two, fewer than there are processes
            return LineIterator(IDS, LINE_ENDS, 0, B)
        lengths = RandomLengths(7, 1) if self.has_random_lengths else None
        return ParallelSequentialIterator(IDS, B, 7, lengths=lengths)

    def trainer(self, ranks: Ranks) -> Trainer:
        noise = Noise(torch.Generator().manual_seed(3))
        cell, activation = self.cell
        model = LanguageModel(
            V, H, H, 2, cell=cell, activation=activation, softmax=SOFTMAXES[self.softmax](noise),
            tie_weights=self.softmax == "tied", dropout=self.rates, noise=noise,
        )  # fmt: skip
        initialize(model, torch.Generator().manual_seed(0), init_range=0.3)
        rates = {"sgd": 0.5, "adam": 0.01}
        return Trainer(
            model,
            self.windows(),
            Optimizer(model.parameters(), self.optimizer, rates[self.optimizer], 0.25),
            Constant(),
            noise,
            loss_reduction=self.reduction,
            penalty=self.penalty,
            bptt_len=7 if self.has_random_lengths else None,
            averaging=ExponentialAverage(model.weights(), self.decay) if self.decay else None,
            ranks=ranks,
            accumulate=self.accumulate,
        )


CASES = {
    **{
        f"{cell}-{activation}-{softmax}": Case((cell, activation), softmax)
        for (cell, activation), softmax in product(CELLS, SOFTMAXES)
    },
    "locked and by word": Case(rates=LOCKED),
    "of weights": Case(rates=replace(LOCKED, recurrent=0.3)),
    "summed over time": Case(reduction="sum_over_time"),
    "by line": Case(is_line=True),
    "by line, summed": Case(is_line=True, reduction="sum_over_time", penalty=ActivationPenalty(2.0, 1.0)),
    "by line, penalised": Case(is_line=True, penalty=ActivationPenalty(2.0, 1.0)),
    "penalised": Case(penalty=ActivationPenalty(2.0, 1.0)),
    "random lengths": Case(has_random_lengths=True, rates=LOCKED),
    "averaged": Case(decay=0.9),
    "adam": Case(optimizer="adam"),
    "adam, adaptive": Case(optimizer="adam", softmax="adaptive"),
    "in parts": Case(accumulate=2, rates=LOCKED),
    "in parts, mixture": Case(accumulate=2, softmax="mixture", rates=LOCKED),
    "in parts, sampled": Case(accumulate=3, softmax="sampled", reduction="sum_over_time"),
    "in parts, by line": Case(
        accumulate=3, is_line=True, softmax="adaptive", penalty=ActivationPenalty(2.0, 1.0)
    ),
}
ACCUMULATING = [name for name, case in CASES.items() if case.accumulate > 1]
CHANGING = ["lstm-tanh-full", "gru-tanh-sampled", "random lengths", "averaged", "adam", "by line"]
BY_FOUR = [name for name, case in CASES.items() if case.cell == ("lstm", "tanh") or case.softmax == "full"]


@dataclass
class Outcome:
    """What a process has seen."""

    losses: list[float]
    weights: dict[str, np.ndarray[Any, Any]]

    @classmethod
    def of(cls, trainer: Trainer, losses: list[float]) -> "Outcome":
        return cls(losses, {name: w.numpy().copy() for name, w in trainer.evaluated_weights().items()})


def train(trainer: Trainer, steps: int = STEPS) -> list[float]:
    losses = []
    for _ in range(steps):
        trainer.step()
        losses.append(trainer.meter.read(0.0).loss)
    return losses


def run(case: Case, ranks: Ranks) -> Outcome:
    trainer = case.trainer(ranks)
    return Outcome.of(trainer, train(trainer))


def run_with_changes(case: Case, rank: int, groups: dict[int, Ranks]) -> Outcome | None:
    """Two steps each by 2, 1, 4 and 2 processes, each going on from the state of those before."""
    losses: list[float] = []
    trainer, state, model = None, None, None
    for size in (2, 1, 4, 2):
        if rank < size:
            trainer = case.trainer(groups[size])
            if state is not None:
                trainer.model.load_state_dict(model)
                trainer.load_state_dict(state)
            losses += train(trainer, STEPS // 4)
            state, model = trainer.state_dict(), trainer.evaluated_weights()
        state, model, losses = shared([state, model, losses])
    return Outcome.of(trainer, losses) if rank < 2 else None


def shared(values: list[Any]) -> list[Any]:
    """What process 0 has."""
    dist.broadcast_object_list(values)
    return values


def diverge(ranks: Ranks) -> tuple[str, dict[str, np.ndarray[Any, Any]]]:
    """One process alone meets a loss that is not finite."""
    trainer = Case().trainer(ranks)
    train(trainer, 2)
    if ranks.rank == 1:
        trainer.hidden[0][0].fill_(torch.nan)  # type: ignore[index]
    try:
        trainer.step()
    except DivergenceError as error:
        return str(error), Outcome.of(trainer, []).weights
    raise AssertionError("it went on")


def work(rank: int, meeting: Path) -> dict[str, Any]:
    """All that one of the four processes does."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", f"file://{meeting}", timedelta(minutes=2), world_size=PROCESSES, rank=rank
    )
    pairs = dist.new_group([0, 1])
    groups: dict[int, Ranks] = {1: Ranks(), 4: ProcessGroup()}
    if rank < 2:
        groups[2] = ProcessGroup(pairs)
    found: dict[str, Any] = {
        "changing": {name: run_with_changes(CASES[name], rank, groups) for name in CHANGING},
        "diverging": diverge(groups[4]),
        "compressed": run(Case(), ProcessGroup(compress=True)),
    }
    found.update({(name, 4): run(CASES[name], groups[4]) for name in BY_FOUR})
    if rank < 2:
        found.update({(name, 2): run(case, groups[2]) for name, case in CASES.items()})
    dist.barrier()
    dist.destroy_process_group()
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    meeting = tmp_path_factory.mktemp("meeting") / "store"
    with ProcessPoolExecutor(PROCESSES, forking()) as pool:
        yield list(pool.map(work, range(PROCESSES), [meeting] * PROCESSES))


def assert_alike(outcome: Outcome, expected: Outcome) -> None:
    np.testing.assert_allclose(outcome.losses, expected.losses, rtol=1e-6)
    assert outcome.weights.keys() == expected.weights.keys()
    for name, weight in expected.weights.items():
        np.testing.assert_allclose(outcome.weights[name], weight, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_trains_what_one_process_would(found: list[dict[str, Any]], name: str) -> None:
    expected = run(replace(CASES[name], accumulate=1), Ranks())
    for size in (2, 4) if name in BY_FOUR else (2,):
        for of_process in found[:size]:
            assert_alike(of_process[name, size], expected)
            for weight, first in zip(
                of_process[name, size].weights.values(), found[0][name, size].weights.values(), strict=True
            ):
                assert weight.tobytes() == first.tobytes()  # the same bits in each process


@pytest.mark.parametrize("parts", [2, 3, 8])
@pytest.mark.parametrize("name", ACCUMULATING)
def test_streams_may_be_read_in_parts(name: str, parts: int) -> None:
    case = replace(CASES[name], accumulate=1)
    assert_alike(run(replace(case, accumulate=parts), Ranks()), run(case, Ranks()))


@pytest.mark.parametrize("name", CHANGING)
def test_goes_on_with_more_or_fewer_processes(found: list[dict[str, Any]], name: str) -> None:
    expected = run(CASES[name], Ranks())
    for of_process in found[:2]:
        assert_alike(of_process["changing"][name], expected)


def test_all_stop_where_one_diverges(found: list[dict[str, Any]]) -> None:
    before = Case().trainer(Ranks())
    train(before, 2)
    expected = Outcome.of(before, []).weights
    for of_process in found:
        message, weights = of_process["diverging"]
        assert "step 3 is not finite" in message
        for name, weight in expected.items():
            np.testing.assert_allclose(weights[name], weight, rtol=1e-5, atol=1e-5)


def test_compressed_gradients_are_near(found: list[dict[str, Any]]) -> None:
    expected = run(Case(), Ranks())
    for of_process in found:
        compressed: Outcome = of_process["compressed"]
        np.testing.assert_allclose(compressed.losses, expected.losses, rtol=1e-2)
        assert compressed.losses != expected.losses


class Three(Ranks):
    """One of three processes that never needs to speak to the others."""

    size = 3

    def columns(self, batch_size: int) -> slice:
        return slice(0, batch_size // 3)


def test_streams_are_shared_out_evenly() -> None:
    with pytest.raises(ValueError, match="8 streams are no equal shares for 3 processes"):
        Case().trainer(Three())


def test_sparse_gradients_are_refused() -> None:
    model = LanguageModel(V, H, H, 1)
    model.use_sparse_gradients()
    with pytest.raises(ValueError, match="not sparse"):
        Trainer(
            model, Case().windows(), Optimizer(model.parameters(), "sgd", 1.0), Constant(), Noise(),
            ranks=Three(),
        )  # fmt: skip
