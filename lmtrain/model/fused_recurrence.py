"""Recurrences over a whole window, where they are faster than torch's: see ``has_faster_elman`` and others.

Products are computed in the type of the inputs, float32 or bfloat16; states that are carried are float32.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lmtrain.model.products import add_weight_gradient, is_large, linear, product


def has_faster_elman(x: Tensor, hidden_size: int) -> bool:
    """Whether ``elman`` takes less time for inputs (T, B, E) than torch's function, as measured on a CPU."""
    return x.device.type == "cpu" and hidden_size >= 150


def has_faster_step(x: Tensor) -> bool:
    """Whether torch's function for one step is to be preferred to that for a window (T, B, E)."""
    return x.device.type == "cpu" and len(x) == 1


def has_faster_lstm(x: Tensor, hidden_size: int) -> bool:
    """The same of ``lstm``: oneDNN's is faster in float32, and in bfloat16 while weights fit the caches."""
    return x.device.type == "cpu" and x.dtype == torch.bfloat16 and hidden_size >= 800


def lstm_step(
    x: Tensor,
    state: tuple[Tensor, Tensor],
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> tuple[Tensor, Tensor]:
    """``torch.lstm_cell`` without a gradient, with the products of ``linear`` where they are large."""
    if not is_large(x, weight_ih):
        return torch.lstm_cell(x, state, weight_ih, weight_hh, bias_ih, bias_hh)
    h, c = state
    gates = linear(x, weight_ih, bias_ih).add_(linear(h, weight_hh, bias_hh))
    i, f, _, o = gates.sigmoid().chunk(4, dim=1)
    c = torch.addcmul(f * c, i, gates.chunk(4, dim=1)[2].tanh())
    return o * c.tanh(), c


def elman(
    x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, is_relu: bool = False
) -> Tensor:
    """The outputs (T, B, H) of an Elman layer, in the type of ``x``; can be differentiated once.

    Args:
        x: (T, B, E).
        h: The state before, float32, shape (B, H).
        weight_ih: (H, E).
        weight_hh: (H, H).
        bias: (H).
        is_relu: Whether the activation is max(0, ·) and not tanh.
    """
    outputs = _Elman.apply(x, h, weight_ih, weight_hh, bias, is_relu)  # type: ignore[no-untyped-call]
    return cast("Tensor", outputs)


def lstm(
    x: Tensor, h: Tensor, c: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """The outputs (T, B, H) of an LSTM layer, in the type of ``x``, and its last cell; differentiable once.

    Args:
        x: (T, B, E).
        h: The state before, float32, shape (B, H).
        c: The cell before, the same.
        weight_ih: (4H, E), the gates in the order i, f, g, o.
        weight_hh: (4H, H).
        bias: (4H).
    """
    results = _LSTM.apply(x, h, c, weight_ih, weight_hh, bias)  # type: ignore[no-untyped-call]
    return cast("tuple[Tensor, Tensor]", results)


class _Elman(torch.autograd.Function):
    """h_t = φ(W h_{t-1} + U x_t + b); what does not wait for the state before is done for all t at once."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, is_relu: bool
    ) -> Tensor:
        activate = torch.relu_ if is_relu else torch.tanh_
        square = weight_hh.to(x.dtype)
        from_input = linear(x.flatten(0, 1), weight_ih, bias).view(*x.shape[:2], -1)  # (T, B, H)
        states = torch.cat([h.to(x.dtype)[None], torch.empty_like(from_input)])  # (T + 1, B, H)
        for t, part in enumerate(from_input.unbind()):
            activate(torch.add(part, linear(states[t], square), out=states[t + 1]))
        ctx.save_for_backward(x, states, weight_ih, weight_hh, square)
        ctx.is_relu = is_relu
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, states, weight_ih, weight_hh, square = ctx.saved_tensors
        outputs = states[1:]
        slopes = (outputs > 0).to(x.dtype) if ctx.is_relu else 1 - outputs * outputs
        gradient = torch.empty_like(outputs)  # before the activation
        grad_state = torch.zeros_like(states[0])
        for t in range(len(x) - 1, -1, -1):
            torch.mul(grad_state.add_(grad_outputs[t]), slopes[t], out=gradient[t])
            grad_state = product(gradient[t], square)
        grad_x, *grad_weights = _batched_gradients(gradient, x, states[:-1], weight_ih, weight_hh)
        return grad_x, grad_state.to(weight_hh.dtype), *grad_weights, None


class _LSTM(torch.autograd.Function):
    """The equations of ``LSTMLayer``: products in the type of x, gates and cell in float32.

    All that does not wait for the state before is done for all time steps at once.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, h: Tensor, c: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        size = weight_hh.shape[1]
        square = weight_hh.to(x.dtype)
        from_input = linear(x.flatten(0, 1), weight_ih, bias).view(*x.shape[:2], -1)  # (T, B, 4H)
        gates = torch.empty_like(from_input, dtype=c.dtype)
        cells = torch.cat([c[None], c.new_empty(len(x), *c.shape)])  # (T + 1, B, H)
        squashed_cells = torch.empty_like(cells[1:])
        states = torch.cat([h.to(x.dtype)[None], x.new_empty(len(x), *h.shape)])  # (T + 1, B, H)
        for t, part in enumerate(from_input.unbind()):
            gates[t].copy_(part.add_(linear(states[t], square)))
            i, f, g, o = gates[t].chunk(4, dim=1)
            gates[t, :, : 2 * size].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.mul(f, cells[t], out=cells[t + 1]).addcmul_(i, g)
            torch.tanh(cells[t + 1], out=squashed_cells[t])
            states[t + 1].copy_(o * squashed_cells[t])
        ctx.save_for_backward(x, states, gates, cells, squashed_cells, weight_ih, weight_hh, square)
        return states[1:], cells[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_outputs: Tensor, grad_cell: Tensor) -> tuple[Tensor, ...]:
        x, states, gates, cells, squashed_cells, weight_ih, weight_hh, square = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, dim=2)
        # What the gradients of the cell and of the output are multiplied by on their way to each gate.
        slopes = torch.empty_like(gates)
        to_i, to_f, to_g, to_o = slopes.chunk(4, dim=2)
        torch.mul(g, i - i * i, out=to_i)
        torch.mul(cells[:-1], f - f * f, out=to_f)
        torch.addcmul(i, i * g, g, value=-1, out=to_g)
        output = o * squashed_cells
        torch.addcmul(output, output, o, value=-1, out=to_o)
        to_cell = torch.addcmul(o, output, squashed_cells, value=-1)
        gradient = torch.empty_like(gates, dtype=x.dtype)  # before the activations
        slopes = slopes.view(*x.shape[:2], 4, -1)
        by_gate = torch.empty_like(slopes[0])
        grad_cell = grad_cell.clone()
        grad_state = torch.zeros_like(cells[0])
        for t in range(len(x) - 1, -1, -1):
            grad_state = grad_outputs[t] + grad_state
            grad_cell.addcmul_(grad_state, to_cell[t])
            torch.mul(grad_cell[:, None], slopes[t, :, :3], out=by_gate[:, :3])
            torch.mul(grad_state, to_o[t], out=by_gate[:, 3])
            gradient[t].copy_(by_gate.flatten(1))
            grad_cell.mul_(f[t])
            grad_state = product(gradient[t], square).to(grad_cell.dtype)
        grad_x, *grad_weights = _batched_gradients(gradient, x, states[:-1], weight_ih, weight_hh)
        return grad_x, grad_state.to(grad_cell.dtype), grad_cell, *grad_weights


def _batched_gradients(
    gradient: Tensor, x: Tensor, states: Tensor, weight_ih: Tensor, weight_hh: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the inputs, the two weights and the bias, from that of the sums before the activation (T, B, M)."""
    flat = gradient.flatten(0, 1)
    grad_weight_ih, grad_weight_hh = torch.empty_like(weight_ih), torch.empty_like(weight_hh)
    add_weight_gradient(grad_weight_ih, flat, x.flatten(0, 1), is_first=True)
    add_weight_gradient(grad_weight_hh, flat, states.flatten(0, 1), is_first=True)
    grad_x = product(flat, weight_ih.to(x.dtype)).view(x.shape)
    return grad_x, grad_weight_ih, grad_weight_hh, flat.sum(0, dtype=weight_ih.dtype)
