"""Truncated backpropagation through time: one window, one update."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmtrain.corpus.batching import IGNORED, Windows
from lmtrain.errors import DivergenceError
from lmtrain.inference.evaluation import perplexity
from lmtrain.machine.device import sent
from lmtrain.model.language_model import LanguageModel, ModelState, detach
from lmtrain.model.noise import Columns, Noise
from lmtrain.training.averaging import ExponentialAverage
from lmtrain.training.distributed import Ranks, columns_of
from lmtrain.training.norms import global_norm
from lmtrain.training.optimizer import Optimizer
from lmtrain.training.regularization import ActivationPenalty
from lmtrain.training.schedule import Schedule


@dataclass(frozen=True)
class TrainingFigures:
    """Training since a meter was last read."""

    loss: float
    """Nats per token over all words since, whatever the reduction of the loss."""
    grad_norm: float
    """Global norm of the gradients before clipping, the mean over the steps since."""
    grad_norm_clipped: float
    """The same after clipping."""
    lr: float
    """Learning rate of the last update."""
    words_per_second: float
    """Of training alone, not of evaluation or snapshots in between."""

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return perplexity(self.loss, 1)


class Meter:
    """Sums over steps, kept on the device until they are read."""

    def __init__(self, device: torch.device) -> None:
        # Nats, gradient norms before clipping, and after it.
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)
        self._reset()

    def add(self, sums: Tensor, num_tokens: int, seconds: float) -> None:
        """Counts one step; ``sums`` are its nats and its gradient norms before and after clipping, (3)."""
        self._sums += sums
        self._num_tokens += num_tokens
        self._num_steps += 1
        self._seconds += seconds

    def add_wait(self, seconds: float) -> None:
        """Counts time spent waiting for a device that was still training."""
        self._seconds += seconds

    def read(self, lr: float) -> TrainingFigures:
        """The figures since the last reading, over one step at least; starts anew. Waits for the device."""
        nats, norms, clipped = self._sums.tolist()
        figures = TrainingFigures(
            loss=nats / self._num_tokens,
            grad_norm=norms / self._num_steps,
            grad_norm_clipped=clipped / self._num_steps,
            lr=lr,
            words_per_second=self._num_tokens / max(self._seconds, 1e-9),
        )
        self._reset()
        return figures

    def _reset(self) -> None:
        self._sums.zero_()
        self._num_tokens = 0
        self._num_steps = 0
        self._seconds = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The sums."""
        return {
            "sums": self._sums,
            "num_tokens": self._num_tokens,
            "num_steps": self._num_steps,
            "seconds": self._seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from sums that ``state_dict`` gave."""
        sums = state["sums"]
        if sums.shape == (2,):  # of lmtrain 0.1.0, which did not count the norms after clipping
            sums = torch.cat([sums, sums.new_full((1,), torch.nan)])
        self._sums.copy_(sums)
        self._num_tokens = int(state["num_tokens"])
        self._num_steps = int(state["num_steps"])
        self._seconds = float(state["seconds"])


class Trainer:
    """Trains a model on windows, carrying the hidden state from one to the next.

    Everything that changes from step to step is in ``state_dict``: the weights, the optimizer, the
    schedule, the position in the corpus, the hidden state, the random draws and the meters.

    Args:
        model: On the device to train on.
        windows: What is read.
        optimizer: Of the model's parameters.
        schedule: Of the learning rate.
        noise: The source of all random draws of training, which the model has too.
        loss_reduction: ``mean`` over all tokens of a window, or ``sum_over_time``: summed over the window
            and averaged over streams.
        penalty: Added to the loss, in proportion to its words; the loss that is logged is without it.
        bptt_len: The length of the windows that the learning rate is meant for: where another one is read, it
            is scaled by the ratio. None never scales it.
        averaging: Of the model's weights: what is evaluated in place of those that are trained.
        ranks: The processes that share out the streams of each window; by default this one reads them all.
        accumulate: In how many parts, one after the other, a process reads its streams: more of them need
            less memory.

    Raises:
        ValueError: An argument is unknown, several processes are to add up sparse gradients, or streams that
            carry their state cannot be shared out evenly.
    """

    def __init__(
        self,
        model: LanguageModel,
        windows: Windows,
        optimizer: Optimizer,
        schedule: Schedule,
        noise: Noise,
        *,
        loss_reduction: str = "mean",
        penalty: ActivationPenalty | None = None,
        bptt_len: int | None = None,
        averaging: ExponentialAverage | None = None,
        ranks: Ranks | None = None,
        accumulate: int = 1,
    ) -> None:
        if loss_reduction not in ("mean", "sum_over_time"):
            raise ValueError(f"unknown loss_reduction {loss_reduction!r}")
        ranks = ranks or Ranks()
        if ranks.size > 1 and model.embedding.sparse:
            raise ValueError("several processes add up whole gradients, not sparse ones")
        if windows.carries_state and windows.batch_size % ranks.size:
            raise ValueError(f"{windows.batch_size} streams are no equal shares for {ranks.size} processes")
        self.model = model
        self.windows = windows
        self.optimizer = optimizer
        self.schedule = schedule
        self.steps = 0
        """Updates made."""
        self.hidden: ModelState | None = None
        """State after the last window; None before the first, and where it is not carried."""
        self.noise = noise
        self._loss_reduction = loss_reduction
        self._penalty = penalty
        self._bptt_len = bptt_len
        self._averaging = averaging
        self._ranks = ranks
        self._accumulate = accumulate
        self._gradients = ranks.follow(model.parameters())
        self._device = model.device
        self.meter = Meter(self._device)
        """Since the last line of the log."""
        self.table_meter = Meter(self._device)
        """Since the last line of the table of epochs."""

    def step(self) -> None:
        """Reads one window and updates the weights once.

        On a CPU, where asking costs nothing, a non-finite loss or gradient is reported at once; on
        another device at the next ``check_finite``. Either way no update is made with it.

        Raises:
            DivergenceError: As above.
            LostProcessError: Another process is gone.
        """
        started = time.perf_counter()
        self.model.train()
        lr_factor = self.schedule.factor(self.steps, self.windows.epoch)
        input_ids, targets = next(self.windows)
        if self._bptt_len:
            lr_factor *= len(input_ids) / self._bptt_len
        num_tokens = int((targets >= 0).sum())
        loss, nats = self._gradients.finish(self._backpropagate(input_ids, targets, num_tokens)).unbind()
        self.steps += 1
        grad_norm = self.optimizer.update(loss, lr_factor, self.steps)
        if self._device.type == "cpu":
            self.check_finite()
        if self._averaging:
            self._averaging.on_step()
        sums = torch.stack([nats, grad_norm, self.optimizer.clipped(grad_norm)]).double()
        seconds = time.perf_counter() - started
        for meter in (self.meter, self.table_meter):
            meter.add(sums, num_tokens, seconds)

    def _backpropagate(self, input_ids: Tensor, targets: Tensor, num_tokens: int) -> Tensor:
        """Gradients of the streams of this process, part after part; returns their loss and nats, (2)."""
        batch_size = input_ids.shape[1]
        mine = self._ranks.columns(batch_size)
        parts = list(columns_of(mine, self._accumulate, batch_size))
        if (
            not parts
        ):  # no stream is left: one with nothing to predict is read, so that draws go on as elsewhere
            parts = [Columns(slice(0, 1), batch_size)]
            targets = torch.full_like(targets, IGNORED)
        denominator = num_tokens if self._loss_reduction == "mean" else batch_size
        draws = self.noise.state_dict() if len(parts) > 1 else {}
        total = torch.zeros(2, device=self._device)
        states: list[ModelState] = []
        for part in parts:
            if states:
                self.noise.load_state_dict(draws)  # each part keeps its columns of the same draws
            self.noise.columns = part if part.size < batch_size else None
            inputs, wanted = (
                sent(ids[:, part.mine].contiguous(), self._device) for ids in (input_ids, targets)
            )
            nats, reading = self.model.loss(inputs, wanted, self._state_of(part, mine))
            share = part.size / batch_size if mine.start < mine.stop else 0.0
            penalized = nats + num_tokens * share * self._penalty.of(reading) if self._penalty else nats
            loss = penalized / denominator
            is_last = part is parts[-1]
            with self._gradients.during_backward() if is_last else nullcontext():
                loss.backward()  # type: ignore[no-untyped-call]
            total += torch.stack([loss, nats]).detach()
            states.append(detach(reading.state))
        self.hidden = _joined(states) if self.windows.carries_state else None
        return total

    def _state_of(self, part: Columns, mine: slice) -> ModelState:
        """That in which streams begin, of those of this process."""
        if self.hidden is None:
            return self.model.initial_state(part.size)
        start = part.mine.start - mine.start
        return _columns(self.hidden, slice(start, start + part.size))

    def on_evaluation(self, loss: float) -> None:
        """Lets the schedule and the averaging learn of a validation, its loss in nats per token."""
        self.schedule.on_evaluation(loss)
        if self._averaging:
            self._averaging.on_evaluation(loss)

    def averaged(self) -> AbstractContextManager[None]:
        """For the length of a block, the model has the weights that are evaluated: averaged, if any are."""
        return self._averaging.standing_in() if self._averaging else nullcontext()

    def evaluated_weights(self) -> dict[str, Tensor]:
        """The weights by name that are evaluated: averaged, if any are."""
        return self._averaging.evaluated_weights() if self._averaging else self.model.weights()

    def weight_norms(self) -> dict[str, float]:
        """The 2-norm of each weight by its name in the model. Waits for the device once."""
        weights = self.model.weights()
        norms = torch.stack([global_norm([weight]) for weight in weights.values()])
        return dict(zip(weights, norms.tolist(), strict=True))

    def check_finite(self) -> None:
        """Waits for the device and reports a loss or gradient that was not finite.

        Raises:
            DivergenceError: Names the step.
        """
        started = time.perf_counter()
        step = self.optimizer.diverged_at()
        for meter in (self.meter, self.table_meter):
            meter.add_wait(time.perf_counter() - started)
        if step is not None:
            raise DivergenceError(
                f"training diverged: the loss or gradient of step {step:,} is not finite; the update was "
                "not made. A lower lr or max_grad_norm often helps"
            )

    def check_weights(self) -> None:
        """Waits for the device and makes sure that the weights are worth keeping.

        A finite gradient can still carry a weight beyond the range of a float, when the rate is huge.

        Raises:
            DivergenceError: A loss, gradient or weight is not finite.
        """
        self.check_finite()
        if not all(bool(torch.isfinite(p).all()) for p in self.model.parameters()):
            raise DivergenceError(f"training diverged: a weight is not finite after step {self.steps:,}")

    def state_dict(self) -> dict[str, Any]:
        """All that changes during training: tensors and JSON values, nested.

        It is of the streams of all processes, which ask for it together.
        """
        averaging = {"averaging": self._averaging.state_dict()} if self._averaging else {}
        gather = self._ranks.gather
        hidden = None if self.hidden is None else [list(map(gather, layer)) for layer in self.hidden]
        return {
            "steps": self.steps,
            "windows": self.windows.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "hidden": hidden,
            **self.noise.state_dict(),
            "meter": self.meter.state_dict(),
            "table_meter": self.table_meter.state_dict(),
            **averaging,
        }

    def _mine(self, of_streams: Tensor) -> Tensor:
        return of_streams[self._ranks.columns(len(of_streams))].to(self._device, copy=True)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that ``state_dict`` gave, once the model has the ``evaluated_weights``."""
        self.steps = int(state["steps"])
        self.windows.load_state_dict(state["windows"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        hidden = state["hidden"]
        self.hidden = hidden and [tuple(map(self._mine, layer)) for layer in hidden]
        self.noise.load_state_dict(state)
        self.meter.load_state_dict(state["meter"])
        self.table_meter.load_state_dict(state["table_meter"])
        if self._averaging:
            self._averaging.load_state_dict(state["averaging"])


def _columns(state: ModelState, streams: slice) -> ModelState:
    return [tuple(tensor[streams] for tensor in layer) for layer in state]


def _joined(states: Sequence[ModelState]) -> ModelState:
    """The state of all streams, from those of some of them."""
    if len(states) == 1:
        return states[0]
    return [tuple(map(torch.cat, zip(*layers, strict=True))) for layers in zip(*states, strict=True)]
