"""A training step on the meta device, where asking for a value raises, as does a tensor left on the CPU.

It stands for CUDA: there, either would make the processor wait for the device at each step.
"""

from typing import Any

import numpy as np
import pytest
import torch

from lmtrain.corpus.batching import LineIterator, ParallelSequentialIterator, Windows
from lmtrain.corpus.window_lengths import RandomLengths
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.cells import CELLS
from lmtrain.model.dropout import DropoutRates, LockedDropout
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.mixture_softmax import MixtureSoftmax
from lmtrain.model.noise import Noise
from lmtrain.model.sampled_softmax import SampledSoftmax
from lmtrain.model.softmax import FullSoftmax, Softmax
from lmtrain.training import optimizer
from lmtrain.training.averaging import ExponentialAverage
from lmtrain.training.optimizer import Optimizer
from lmtrain.training.regularization import ActivationPenalty
from lmtrain.training.schedule import Constant
from lmtrain.training.trainer import Trainer

V, H = 11, 6
IDS = np.random.default_rng(0).integers(0, V, 200).astype(np.int32)
META = torch.device("meta")
SOFTMAXES = {
    "full": lambda noise: FullSoftmax(H, V),
    "tied": lambda noise: FullSoftmax(H, V),
    "adaptive": lambda noise: AdaptiveSoftmax(H, V),
    "sampled": lambda noise: SampledSoftmax(H, V, 4, noise=noise),
    "mixture": lambda noise: MixtureSoftmax(H, V, 3, H, LockedDropout(0.3, noise)),
}
PRECISIONS = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def _optimizers_for_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's fused ones, which clip and guard, know no meta device: here, all but their step is run."""

    def make(parameters: Any, fused: bool, **options: Any) -> torch.optim.Optimizer:
        assert fused
        found = torch.optim.SGD(parameters, **options)
        monkeypatch.setattr(found, "step", lambda: None)
        return found

    monkeypatch.setitem(optimizer._KINDS, "sgd", make)


def step(
    cell: str = "lstm",
    activation: str = "tanh",
    softmax: str = "full",
    precision: torch.dtype = torch.float32,
    is_line: bool = False,
) -> Trainer:
    noise = Noise(torch.Generator())
    output: Softmax = SOFTMAXES[softmax](noise)
    model = LanguageModel(
        V,
        H,
        H,
        2,
        cell=cell,
        activation=activation,
        softmax=output,
        tie_weights=softmax == "tied",
        dropout=DropoutRates(0.1, 0.2, 0.3),
        noise=noise,
        precision=precision,
    ).to(META)
    windows: Windows = ParallelSequentialIterator(IDS, 4, 7)
    if is_line:
        windows = LineIterator(IDS, np.arange(4, 200, 5), 0, 4)
    trainer = Trainer(model, windows, Optimizer(model.parameters(), "sgd", 0.1, 0.5), Constant(), noise)
    trainer.step()
    trainer.step()
    return trainer


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("key", CELLS)
def test_no_cell_asks_the_device(key: tuple[str, str], precision: torch.dtype) -> None:
    trainer = step(*key, precision=precision)
    assert all(tensor.device == META for layer in trainer.hidden for tensor in layer)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("softmax", [name for name in SOFTMAXES if name != "adaptive"])
def test_no_softmax_asks_the_device(softmax: str, precision: torch.dtype) -> None:
    step(softmax=softmax, precision=precision)


def test_the_adaptive_softmax_alone_asks_which_words_are_in_a_cluster() -> None:
    """Known: ``nonzero`` waits. To do without, each cluster would be computed for all words."""
    with pytest.raises(NotImplementedError, match="nonzero"):
        step(softmax="adaptive")


def test_lines_do_not_ask_the_device() -> None:
    assert step(is_line=True).hidden is None


def test_a_value_that_is_asked_for_raises() -> None:
    with pytest.raises((NotImplementedError, RuntimeError)):
        step().meter.read(0.1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", ["lstm", "gru", "concat_elman"])
def test_all_regularization_at_once(cell: str, precision: torch.dtype) -> None:
    noise = Noise(torch.Generator())
    rates = DropoutRates(0.1, 0.2, 0.3, words=0.1, recurrent=0.5, locked=True)
    sizes = {"last_hidden_size": 5, "cell": cell}
    model = LanguageModel(
        V, 5, H, 3, tie_weights=True, dropout=rates, noise=noise, precision=precision, **sizes
    )
    averaging = ExponentialAverage(model.to(META).weights(), 0.9)
    trainer = Trainer(
        model,
        ParallelSequentialIterator(IDS, 4, 7, lengths=RandomLengths(7, seed=1)),
        Optimizer(model.parameters(), "sgd", 0.1, 0.5),
        Constant(),
        noise,
        penalty=ActivationPenalty(2.0, 1.0),
        bptt_len=7,
        averaging=averaging,
    )
    trainer.step()
    trainer.step()
    with trainer.averaged():
        assert trainer.evaluated_weights().keys() == model.weights().keys()
