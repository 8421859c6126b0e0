"""The simple recurrent unit, which is parallel over time but for a running average."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lmtrain.model.products import apply_linear
from lmtrain.model.recurrent import RecurrentLayer, State


class SRULayer(RecurrentLayer):
    """A gated average of the inputs, unit by unit, and a highway around it.

    ::

        z = W x_t + b    f = σ(…)    r = σ(…)
        c_t = f * c_{t-1} + (1 - f) * z
        h_t = r * c_t + (1 - r) * x_t

    No map waits for a state, so that all products are made for all time steps at once, and a step costs a
    single operation. What the units of one layer remember is mixed by the next. Where E is not H, a linear
    map of x_t stands in the last line.

    Source: Lei, Zhang, Wang, Dai and Artzi (2018), "Simple recurrent units for highly parallelizable
    recurrence", equations 1 to 4 without the terms v * c_{t-1} of the gates; that z has a bias is ours.

    Attributes:
        weight: Rows in the order z, f, r and, where E is not H, x: (3H or 4H, E).
        bias: The same, (3H or 4H).
    """

    cell = "sru"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        num_maps = 3 if input_size == hidden_size else 4
        self.weight = nn.Parameter(torch.empty(num_maps * hidden_size, input_size))
        self.bias = nn.Parameter(torch.empty(num_maps * hidden_size))

    def state_weight(self) -> Tensor:
        """Of no rows: a state is never multiplied with a matrix."""
        return self.weight[:0]

    def state_maps(self) -> tuple[Tensor, ...]:
        """None."""
        return ()

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        _, r, skipped, cells = self._read(inputs, state)
        return torch.lerp(skipped, cells, r).to(inputs.dtype), (cells[-1],)

    @torch.no_grad()
    def gates(self, inputs: Tensor, state: State) -> dict[str, Tensor]:
        """``forget`` and ``output`` (f, r), ``cell`` and ``hidden`` (c_t, h_t)."""
        f, r, skipped, cells = self._read(inputs, state)
        return {"forget": f, "output": r, "cell": cells, "hidden": torch.lerp(skipped, cells, r)}

    def _read(self, inputs: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """f, r, what stands for x_t in the highway, and c: all (T, B, H), of the type of the state."""
        (c,) = state
        sums = apply_linear(inputs, self.weight, self.bias).to(c.dtype)
        z, f, r, *skipped = sums.chunk(len(self.bias) // self.hidden_size, dim=2)
        f, r = f.sigmoid(), r.sigmoid()
        cells = cast("Tensor", _Average.apply(z, f, c))  # type: ignore[no-untyped-call]
        return f, r, skipped[0] if skipped else inputs.to(c.dtype), cells


class _Average(torch.autograd.Function):
    """c_t = f_t * c_{t-1} + (1 - f_t) * z_t, from z and f, (T, B, H), and c before the window."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, f: Tensor, c: Tensor) -> Tensor:
        cells = torch.cat([c[None], torch.empty_like(z)])  # (T + 1, B, H)
        steps = zip(z.unbind(), cells[:-1].unbind(), f.unbind(), cells[1:].unbind(), strict=True)
        for new, before, kept, after in steps:
            torch.lerp(new, before, kept, out=after)
        ctx.save_for_backward(z, f, cells)
        return cells[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z, f, cells = ctx.saved_tensors
        gradient = gradient.clone()
        for t in range(len(f) - 1, 0, -1):
            gradient[t - 1].addcmul_(gradient[t], f[t])
        return gradient * (1 - f), gradient * (cells[:-1] - z), gradient[0] * f[0]
