"""What all recurrent layers share: one class a cell, one layer an object. The cells are in ``cells/``.

Each layer maps inputs (T, B, E) and the state before them to outputs (T, B, H) and the state after
them; T time, B streams. A state is a tuple of tensors (B, H).

A layer computes in the type of its inputs, float32 or bfloat16; its weights and states are float32.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from lmtrain.model.fused_recurrence import has_faster_step
from lmtrain.model.products import linear

State = tuple[Tensor, ...]
"""The state of one layer: ``num_states`` tensors of shape (B, H)."""


class RecurrentLayer(nn.Module):
    """What all cells share.

    Args:
        input_size: E.
        hidden_size: H.
    """

    cell: ClassVar[str] = ""
    """What configs call it; a class without a name is none that a config can have."""
    activation: ClassVar[str] = "tanh"
    """What bounds the outputs: ``tanh``, from -1 to 1, or ``relu``, from 0 on."""
    num_states: ClassVar[int] = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self._replacement: Tensor | None = None

    def initial_state(self, batch_size: int) -> State:
        """Zeros, on the device of the weights."""
        weight = next(self.parameters())
        return tuple(weight.new_zeros(batch_size, self.hidden_size) for _ in range(self.num_states))

    def state_weight(self) -> Tensor:
        """All that multiplies the state before, a view of the weights: each H rows are a map (H, H).

        To be defined by each cell, and to be read by none: see ``recurrent_weight``.
        """
        raise NotImplementedError

    def recurrent_weight(self) -> Tensor:
        """``state_weight``, or what stands in its place; ``forward`` reads it here, once a window."""
        return self.state_weight() if self._replacement is None else self._replacement

    @contextmanager
    def replacing(self, weight: Tensor) -> Iterator[None]:
        """For the length of a block, another tensor stands in the place of ``state_weight``."""
        self._replacement = weight
        try:
            yield
        finally:
            self._replacement = None

    def state_maps(self) -> tuple[Tensor, ...]:
        """The square maps (H, H) from state to state, views of the weights, one for each gate.

        They are what ``recurrent_init`` is about.
        """
        weight = self.state_weight()
        return weight.chunk(len(weight) // self.hidden_size)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        raise NotImplementedError

    @torch.no_grad()
    def gates(self, inputs: Tensor, state: State) -> dict[str, Tensor]:
        """What goes on inside while ``inputs`` (T, B, E) are read from ``state`` on, for looking at it.

        May be slower than ``forward``, and has no gradient.

        Returns:
            Tensors (T, B, H) by name: the gates, the candidate, and the states after each time step, of
            which ``hidden`` is the output. Of a cell that has no gates, or shows none, the output alone.
        """
        return {"hidden": self.forward(inputs, state)[0]}

    def extra_repr(self) -> str:
        """The sizes, for ``print(model)``."""
        return f"{self.input_size}, {self.hidden_size}"


class GatedLayer(RecurrentLayer):
    """The weights of ``num_gates`` linear maps of input and state, stacked as torch's functions take them.

    Attributes:
        weight_ih: (num_gates * H, E), from the input.
        weight_hh: (num_gates * H, H), from the state before.
        bias: (num_gates * H).
    """

    num_gates: ClassVar[int] = 1
    _window: ClassVar[Callable[..., tuple[Tensor, ...]]]
    """Of torch, over a whole window."""
    _step: ClassVar[Callable[..., Tensor | tuple[Tensor, ...]]]
    """Of torch, for one time step: what ``_window`` would spend on preparing the weights is saved."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_ih = nn.Parameter(torch.empty(self.num_gates * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(self.num_gates * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(self.num_gates * hidden_size))

    def state_weight(self) -> Tensor:
        """``weight_hh``."""
        return self.weight_hh

    def torch_weights(self) -> list[Tensor]:
        """As torch's functions take them: weight_ih, weight_hh, bias_ih, bias_hh.

        The second bias is redundant and stays zero.
        """
        return [self.weight_ih, self.recurrent_weight(), self.bias, torch.zeros_like(self.bias)]

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        # torch's functions want everything in one type.
        weights = [w if w.dtype == inputs.dtype else w.to(inputs.dtype) for w in self.torch_weights()]
        before = tuple(s.to(inputs.dtype) for s in state)
        is_training = torch.is_grad_enabled()
        if has_faster_step(inputs) and not is_training:
            stepped = self._step(inputs[0], before if len(before) > 1 else before[0], *weights)
            after = stepped if isinstance(stepped, tuple) else (stepped,)
            outputs = after[0][None]
        else:
            stacked = tuple(s[None] for s in before)
            hidden = stacked if len(stacked) > 1 else stacked[0]
            outputs, *new = self._window(inputs, hidden, weights, True, 1, 0.0, is_training, False, False)
            after = tuple(s[0] for s in new)
        return outputs, tuple(s.to(old.dtype) for s, old in zip(after, state, strict=True))

    def _sums(self, inputs: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """W x_t + b and U h_{t-1} for all time steps, (T, B, num_gates * H), and all h_t, (T, B, H)."""
        outputs, _ = self.forward(inputs, state)
        before = torch.cat([state[0][None].to(outputs.dtype), outputs[:-1]])
        from_input = linear(inputs.flatten(0, 1), self.weight_ih, self.bias)
        from_state = linear(before.flatten(0, 1), self.recurrent_weight())
        shape = (*outputs.shape[:2], -1)
        return from_input.view(shape), from_state.view(shape), outputs
