"""The loop that reads a text through a model. Whatever is to be known of a held-out text is asked here."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from lmtrain.inference.windows import HeldOutWindow, Positions
from lmtrain.machine.device import sent
from lmtrain.model.language_model import LanguageModel, ModelState, detach
from lmtrain.model.softmax import TokenCosts, TokenDetails

T = TypeVar("T")


class ReadWindow(NamedTuple):
    """A window that a model has read, and what it predicts each target from; N targets, without padding."""

    window: HeldOutWindow
    features: Tensor
    """What the softmax predicts the targets from, shape (N, H), in row-major order of the window."""
    targets: Tensor
    """int64, shape (N), on the model's device."""
    state: ModelState
    """After the window."""

    @property
    def positions(self) -> Positions:
        """Where in the text the targets stand, shape (N)."""
        return self.window.positions


class Strategy:
    """A way of reading. This one reads with the weights as they are; others derive from it.

    A reader calls ``begin`` once; then, for each window in the order of the text, what is asked
    (``token_costs``, ``token_details``) and ``learn``, all in ``mode`` and with the model in evaluation mode.
    What a strategy keeps is its own: of the model given to ``begin`` it changes nothing but a copy.
    """

    mode: Callable[[], AbstractContextManager[Any]] = torch.inference_mode
    """In which windows are read; ``torch.enable_grad`` where ``learn`` needs the gradient through one."""

    not_a_number = "the model gives scores that are not numbers (NaN); --snapshot picks another"
    """What to say where a cost is NaN."""

    model: LanguageModel
    """That the reader reads with."""

    def begin(self, model: LanguageModel) -> None:
        """Takes the model, or a copy of it, as ``self.model``."""
        self.model = model

    def token_costs(self, read: ReadWindow) -> TokenCosts:
        """What each target costs."""
        return self.model.softmax.token_costs(read.features, read.targets)

    def token_details(self, read: ReadWindow, num_top: int = 0) -> TokenDetails:
        """The same, and what was expected in the place of each: so many words, the most probable first."""
        return self.model.softmax.token_details(read.features, read.targets, num_top)

    def learn(self, read: ReadWindow) -> None:
        """Takes note of a window after its targets have been paid for."""

    def carried(self, state: ModelState) -> ModelState:
        """What the next window begins with, given the state after this one; by default without its graph."""
        return detach(state)


class Reader:
    """Reads windows one after the other; only the present one is kept.

    Args:
        model: In training or evaluation mode, which it is left in.
        precision: What products are computed in, whatever the model was trained in.
        strategy: How to read; used by this reader alone.
    """

    def __init__(
        self,
        model: LanguageModel,
        precision: torch.dtype = torch.float32,
        strategy: Strategy | None = None,
    ) -> None:
        self._strategy = strategy or Strategy()
        self._strategy.begin(model)
        self._precision = precision
        self._state: ModelState | None = None
        self.start: ModelState | None = None
        """Where windows begin that do not go on: a state of one stream; None is the initial one."""

    @property
    def not_a_number(self) -> str:
        """What to say where a cost is NaN."""
        return self._strategy.not_a_number

    @property
    def state(self) -> ModelState | None:
        """After the window that was read last."""
        return self._state

    def costs(self, windows: Iterable[HeldOutWindow]) -> Iterator[tuple[ReadWindow, TokenCosts]]:
        """Reads on, and finds what each token costs."""
        return self.read(windows, self._strategy.token_costs)

    def details(
        self, windows: Iterable[HeldOutWindow], num_top: int = 0
    ) -> Iterator[tuple[ReadWindow, TokenDetails]]:
        """Reads on, and finds what each token costs and what was expected in its place; see ``Strategy``."""
        return self.read(windows, partial(self._strategy.token_details, num_top=num_top))

    def read(
        self, windows: Iterable[HeldOutWindow], ask: Callable[[ReadWindow], T]
    ) -> Iterator[tuple[ReadWindow, T]]:
        """Reads on, and hands out each window with what is asked of it.

        A first window that goes on follows the last one of an earlier call. Targets may stay on the CPU while
        the model is elsewhere: no device is waited for to find padding.
        """
        model, device = self._strategy.model, self._strategy.model.device
        for window in windows:
            # Not for the length of the loop: between two windows the caller's modes are in force.
            with model.evaluating(self._precision), self._strategy.mode():
                if self._state is None or not window.goes_on:
                    self._state = self._begun(window.input_ids.shape[1])
                reading = model(sent(window.input_ids, device), self._state)
                read = ReadWindow(window, *_without_padding(reading.features, window.targets), reading.state)
                answer = ask(read)
                self._strategy.learn(read)
                self._state = self._strategy.carried(reading.state)
            yield read, answer

    def _begun(self, num_streams: int) -> ModelState:
        if self.start is None:
            return self._strategy.model.initial_state(num_streams)
        return [tuple(one.repeat(num_streams, 1) for one in layer) for layer in self.start]


def _without_padding(features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """What predicts each target, (T, B, H) to (N, H), and the targets, (T, B) to (N)."""
    features, targets = features.flatten(0, 1), targets.flatten()
    rows = (targets >= 0).nonzero()[:, 0]
    if len(rows) < len(targets):
        features, targets = features[rows.to(features.device)], targets[rows]
    return features, targets.to(features.device)
