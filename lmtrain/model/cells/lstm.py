"""Long short-term memory."""

import torch
from torch import Tensor

from lmtrain.model import fused_recurrence
from lmtrain.model.recurrent import GatedLayer, State


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

    cell = "lstm"
    num_gates = 4
    num_states = 2
    _window = staticmethod(torch.lstm)
    _step = staticmethod(fused_recurrence.lstm_step)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        if not fused_recurrence.has_faster_lstm(inputs, self.hidden_size):
            return super().forward(inputs, state)
        h, c = state
        outputs, c = fused_recurrence.lstm(inputs, h, c, self.weight_ih, self.recurrent_weight(), self.bias)
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
