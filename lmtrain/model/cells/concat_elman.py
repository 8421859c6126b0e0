"""A simple recurrent network whose output and recurrent state come from one linear map."""

import torch
from torch import Tensor, nn

from lmtrain.model.products import apply_linear
from lmtrain.model.recurrent import RecurrentLayer, State


class ConcatElmanLayer(RecurrentLayer):
    """One linear map of [x_t, r_{t-1}] gives both the output and the next recurrent state.

    With r the recurrent state, a vector of its own that no non-linearity touches::

        [o_t, r_t] = M [x_t, r_{t-1}] + b
        y_t        = tanh(o_t)

    Attributes:
        weight: M, of shape (2H, E + H).
        bias: b, of shape (2H).
    """

    cell = "concat_elman"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight = nn.Parameter(torch.empty(2 * hidden_size, input_size + hidden_size))
        self.bias = nn.Parameter(torch.empty(2 * hidden_size))

    def state_weight(self) -> Tensor:
        """The columns of M that r is multiplied with: H rows for the output, H for the next r."""
        return self.weight[:, self.input_size :]

    def state_maps(self) -> tuple[Tensor, ...]:
        """The square map (H, H) from state to state, a view of the weights."""
        return super().state_maps()[1:]

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        (r,) = state
        weight_from_input = self.weight[:, : self.input_size].to(inputs.dtype)
        weight_from_state = self.recurrent_weight().to(inputs.dtype)
        from_input = apply_linear(inputs, weight_from_input, self.bias)  # (T, B, 2H)
        output_part, recurrent_part = from_input.chunk(2, dim=-1)
        output_weight, recurrent_weight = weight_from_state.chunk(2)
        before = []
        new = r.to(inputs.dtype)
        for part in recurrent_part.unbind():
            before.append(new)
            new = torch.addmm(part, new, recurrent_weight.t())
        # Outputs feed nothing back, so they are made for all time steps at once.
        from_state = apply_linear(torch.stack(before), output_weight, None)
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
