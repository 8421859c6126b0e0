"""The Mogrifier LSTM, whose input and state gate each other before it reads them."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lmtrain.model.recurrent import GatedLayer, State


class MogrifierLayer(GatedLayer):
    """Long short-term memory behind rounds in which input and state gate each other.

    With x^-1 = x_t and h^0 = h_{t-1}, in the rounds i = 1, 2, …::

        x^i = 2σ(Q^i h^{i-1} + b^i) * x^{i-2}    where i is odd
        h^i = 2σ(R^i x^{i-1} + b^i) * h^{i-2}    where i is even

    and the last x and h are what an LSTM reads: see ``LSTMLayer``, whose weights these are. With
    ``cap_input_gate``, i = min(σ(…), 1 - f), which keeps c within ±1.

    Source: Melis, Kočiský and Blunsom (2020), "Mogrifier LSTM", equations 1 and 2; the biases and the cap
    are in the code that their figures come from (lamb), not in the equations.

    Args:
        input_size: E.
        hidden_size: H.
        rounds: How many; 0 is an LSTM.
        rank: Of each Q and R, which then is a product of two matrices; None leaves them full.
        cap_input_gate: As above.

    Attributes:
        modulations: Q^1, R^2, Q^3 … with their biases.
    """

    cell = "mogrifier"
    num_gates = 4
    num_states = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        rounds: int = 5,
        rank: int | None = None,
        cap_input_gate: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size)
        sizes = (hidden_size, input_size)
        self.modulations = nn.ModuleList(
            Modulation(sizes[i % 2], sizes[1 - i % 2], rank) for i in range(rounds)
        )
        self.cap_input_gate = cap_input_gate

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        *_, cells, outputs = zip(*self._steps(inputs, state), strict=True)
        return torch.stack(outputs), (outputs[-1].to(state[0].dtype), cells[-1])

    @torch.no_grad()
    def gates(self, inputs: Tensor, state: State) -> dict[str, Tensor]:
        """``input``, ``forget``, ``candidate``, ``output`` (i, f, g, o), ``cell``, ``hidden`` (c_t, h_t)."""
        names = ("input", "forget", "candidate", "output", "cell", "hidden")
        steps = zip(*self._steps(inputs, state), strict=True)
        return {name: torch.stack(tensors) for name, tensors in zip(names, steps, strict=True)}

    def _steps(self, inputs: Tensor, state: State) -> Iterator[tuple[Tensor, ...]]:
        """i, f, g, o, c and h of each time step, (B, H); nothing of a step can be had before the last one."""
        h, c = state[0].to(inputs.dtype), state[1]
        weight = torch.cat([self.weight_ih, self.recurrent_weight()], dim=1).to(inputs.dtype)
        bias = self.bias.to(inputs.dtype)
        maps = [[w.to(inputs.dtype) for w in modulation.parameters()] for modulation in self.modulations]
        for x in inputs.unbind():
            pair = [x, h]
            for k, (map_bias, *matrices) in enumerate(maps):
                total = pair[1 - k % 2]
                for matrix in matrices[:-1]:
                    total = linear(total, matrix)
                pair[k % 2] = 2 * linear(total, matrices[-1], map_bias).sigmoid() * pair[k % 2]
            i, f, g, o = linear(torch.cat(pair, dim=1), weight, bias).to(c.dtype).chunk(4, dim=1)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            if self.cap_input_gate:
                i = torch.minimum(i, 1 - f)
            c = torch.addcmul(f * c, i, g)
            h = (o * c.tanh()).to(inputs.dtype)
            yield i, f, g, o, c, h

    def extra_repr(self) -> str:
        """The sizes, for ``print(model)``."""
        return f"{super().extra_repr()}, cap_input_gate={self.cap_input_gate}"


class Modulation(nn.Module):
    """Q or R of one round: a linear map, full or of low rank.

    Attributes:
        bias: (M), of the output.
        weights: One matrix (M, N); or two, (rank, N) and (M, rank), applied in turn.
    """

    def __init__(self, input_size: int, output_size: int, rank: int | None) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(output_size))
        sizes = [input_size, output_size] if rank is None else [input_size, rank, output_size]
        self.weights = nn.ParameterList(torch.empty(m, n) for n, m in pairwise(sizes))
