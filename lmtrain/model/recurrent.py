"""Recurrent layers: one class a cell, one layer an object.

Each layer maps inputs (T, B, E) and the state before them to outputs (T, B, H) and the state after
them; T time, B streams. A state is a tuple of tensors (B, H). To add a cell, write a class like these
and name it in ``CELLS``.

A layer computes in the type of its inputs, float32 or bfloat16; its weights and states are float32.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from lmtrain.model import kernels

State = tuple[Tensor, ...]
"""The state of one layer: ``num_states`` tensors of shape (B, H)."""


class RecurrentLayer(nn.Module):
    """What all cells share.

    Args:
        input_size: E.
        hidden_size: H.
    """

    num_states: ClassVar[int] = 1
    activation: ClassVar[str] = "tanh"
    """What bounds the outputs: ``tanh``, from -1 to 1, or ``relu``, from 0 on."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size

    def initial_state(self, batch_size: int) -> State:
        """Zeros, on the device of the weights."""
        weight = next(self.parameters())
        return tuple(weight.new_zeros(batch_size, self.hidden_size) for _ in range(self.num_states))

    def state_maps(self) -> tuple[Tensor, ...]:
        """The square maps (H, H) from state to state, views of the weights, one for each gate."""
        raise NotImplementedError

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        raise NotImplementedError

    def gates(self, inputs: Tensor, state: State) -> dict[str, Tensor]:
        """What goes on inside while ``inputs`` (T, B, E) are read from ``state`` on, for looking at it.

        Slower than ``forward``, and without a gradient. Elman layers have no gates: they show their state.

        Returns:
            Tensors (T, B, H) by name: the gates, the candidate, and the states after each time step, of
            which ``hidden`` is the output.
        """
        raise NotImplementedError

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

    def state_maps(self) -> tuple[Tensor, ...]:
        """The square maps (H, H) from state to state, views of the weights, one for each gate."""
        return self.weight_hh.chunk(self.num_gates)

    def torch_weights(self) -> list[Tensor]:
        """As torch's functions take them: weight_ih, weight_hh, bias_ih, bias_hh.

        The second bias is redundant and stays zero.
        """
        return [self.weight_ih, self.weight_hh, self.bias, torch.zeros_like(self.bias)]

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        # torch's functions want everything in one type.
        weights = [w if w.dtype == inputs.dtype else w.to(inputs.dtype) for w in self.torch_weights()]
        before = tuple(s.to(inputs.dtype) for s in state)
        is_training = torch.is_grad_enabled()
        if kernels.has_faster_step(inputs) and not is_training:
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
        from_input = kernels.linear(inputs.flatten(0, 1), self.weight_ih, self.bias)
        from_state = kernels.linear(before.flatten(0, 1), self.weight_hh)
        shape = (*outputs.shape[:2], -1)
        return from_input.view(shape), from_state.view(shape), outputs


class ElmanLayer(GatedLayer):
    """The simple recurrent network: h_t = tanh(W h_{t-1} + U x_t + b).

    Source: Elman (1990), "Finding structure in time".
    """

    _window = staticmethod(torch.rnn_tanh)
    _step = staticmethod(torch.rnn_tanh_cell)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        if not kernels.has_faster_elman(inputs, self.hidden_size):
            return super().forward(inputs, state)
        (h,) = state
        outputs = kernels.elman(
            inputs, h, self.weight_ih, self.weight_hh, self.bias, self.activation == "relu"
        )
        return outputs, (outputs[-1].to(h.dtype),)

    @torch.no_grad()
    def gates(self, inputs: Tensor, state: State) -> dict[str, Tensor]:
        """``hidden``, the state h_t."""
        return {"hidden": self.forward(inputs, state)[0]}


class ReluElmanLayer(ElmanLayer):
    """The simple recurrent network with h_t = max(0, W h_{t-1} + U x_t + b).

    Source: Le, Jaitly and Hinton (2015), "A simple way to initialize recurrent networks of rectified
    linear units", who start W as the identity.
    """

    _window = staticmethod(torch.rnn_relu)
    _step = staticmethod(torch.rnn_relu_cell)
    activation = "relu"


class ConcatElmanLayer(RecurrentLayer):
    """One linear map of [x_t, r_{t-1}] gives both the output and the next recurrent state.

    With r the recurrent state, a vector of its own that no non-linearity touches::

        [o_t, r_t] = M [x_t, r_{t-1}] + b
        y_t        = tanh(o_t)

    Attributes:
        weight: M, of shape (2H, E + H).
        bias: b, of shape (2H).
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight = nn.Parameter(torch.empty(2 * hidden_size, input_size + hidden_size))
        self.bias = nn.Parameter(torch.empty(2 * hidden_size))

    def state_maps(self) -> tuple[Tensor, ...]:
        """The square map (H, H) from state to state, a view of the weights."""
        return (self.weight[self.hidden_size :, self.input_size :],)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        (r,) = state
        weight = self.weight.to(inputs.dtype)
        weight_from_input, weight_from_state = weight[:, : self.input_size], weight[:, self.input_size :]
        from_input = kernels.apply_linear(inputs, weight_from_input, self.bias)  # (T, B, 2H)
        output_part, recurrent_part = from_input.chunk(2, dim=-1)
        output_weight, recurrent_weight = weight_from_state.chunk(2)
        before = []
        new = r.to(inputs.dtype)
        for part in recurrent_part.unbind():
            before.append(new)
            new = torch.addmm(part, new, recurrent_weight.t())
        # Outputs feed nothing back, so they are made for all time steps at once.
        from_state = kernels.apply_linear(torch.stack(before), output_weight, None)
        activation = torch.relu if self.activation == "relu" else torch.tanh
        return activation(output_part + from_state), (new.to(r.dtype),)

    @torch.no_grad()
    def gates(self, inputs: Tensor, state: State) -> dict[str, Tensor]:
        """``recurrent``, the state r_t, and ``hidden``, the output y_t."""
        outputs, recurrent = [], []
        for x in inputs.unbind():
            output, state = self.forward(x[None], state)
            outputs.append(output)
            recurrent.append(state[0])
        return {"recurrent": torch.stack(recurrent), "hidden": torch.cat(outputs)}


class ReluConcatElmanLayer(ConcatElmanLayer):
    """The same with y_t = max(0, o_t)."""

    activation = "relu"


class LSTMLayer(GatedLayer):
    """Long short-term memory with a forget gate.

    ::

        i = σ(W_i [x_t, h_{t-1}] + b_i)    f = σ(…)    g = tanh(…)    o = σ(…)
        c_t = f * c_{t-1} + i * g
        h_t = o * tanh(c_t)

    The rows of the weights stand in the order i, f, g, o. The state is (h, c).

    Source: Hochreiter and Schmidhuber (1997), "Long short-term memory"; the forget gate is from Gers,
    Schmidhuber and Cummins (2000), "Learning to forget".
    """

    num_gates = 4
    num_states = 2
    _window = staticmethod(torch.lstm)
    _step = staticmethod(kernels.lstm_step)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        if not kernels.has_faster_lstm(inputs, self.hidden_size):
            return super().forward(inputs, state)
        h, c = state
        outputs, c = kernels.lstm(inputs, h, c, self.weight_ih, self.weight_hh, self.bias)
        return outputs, (outputs[-1].to(h.dtype), c)

    @torch.no_grad()
    def gates(self, inputs: Tensor, state: State) -> dict[str, Tensor]:
        """``input``, ``forget``, ``candidate``, ``output`` (i, f, g, o), ``cell``, ``hidden`` (c_t, h_t)."""
        from_input, from_state, outputs = self._sums(inputs, state)
        i, f, g, o = (from_input + from_state).float().chunk(4, dim=-1)
        i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        c, cells = state[1], []
        for kept, added in zip(f, i * g, strict=True):
            c = kept * c + added
            cells.append(c)
        named = {"input": i, "forget": f, "candidate": g, "output": o}
        return {**named, "cell": torch.stack(cells), "hidden": outputs}


class GRULayer(GatedLayer):
    """The gated recurrent unit.

    ::

        r = σ(W_r [x_t, h_{t-1}] + b_r)    z = σ(…)
        n = tanh(W_n x_t + b_n + r * (U_n h_{t-1} + b_hh_n))
        h_t = (1 - z) * n + z * h_{t-1}

    The rows of the weights stand in the order r, z, n. The reset gate multiplies after the linear map,
    as cuDNN does, so that n has a second bias, ``bias_hh``, of shape (H).

    Source: Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder".
    """

    num_gates = 3
    _window = staticmethod(torch.gru)
    _step = staticmethod(torch.gru_cell)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.bias_hh = nn.Parameter(torch.empty(hidden_size))

    def torch_weights(self) -> list[Tensor]:
        """As torch's functions take them; see ``GatedLayer``. That of n alone is not zero in bias_hh."""
        bias_hh = torch.cat([self.bias_hh.new_zeros(2 * self.hidden_size), self.bias_hh])
        return [self.weight_ih, self.weight_hh, self.bias, bias_hh]

    @torch.no_grad()
    def gates(self, inputs: Tensor, state: State) -> dict[str, Tensor]:
        """``reset``, ``update``, ``candidate`` (r, z, n) and ``hidden``, the state h_t."""
        from_input, from_state, outputs = self._sums(inputs, state)
        (r, z, n), (of_r, of_z, of_n) = (part.float().chunk(3, dim=-1) for part in (from_input, from_state))
        r, z = (r + of_r).sigmoid(), (z + of_z).sigmoid()
        n = (n + r * (of_n + self.bias_hh)).tanh()
        return {"reset": r, "update": z, "candidate": n, "hidden": outputs}


CELLS: dict[tuple[str, str], type[RecurrentLayer]] = {
    ("elman", "tanh"): ElmanLayer,
    ("elman", "relu"): ReluElmanLayer,
    ("concat_elman", "tanh"): ConcatElmanLayer,
    ("concat_elman", "relu"): ReluConcatElmanLayer,
    ("lstm", "tanh"): LSTMLayer,
    ("gru", "tanh"): GRULayer,
}
"""The layers by (cell, activation), the names of a config."""
