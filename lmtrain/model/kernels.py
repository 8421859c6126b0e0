"""The products and fused functions that nearly all the time goes into.

Which kernel computes what is decided here, by measurement, and nowhere else. All of it works on float32
and bfloat16: a product is computed in the type of its first argument, weights are float32 and are cast
for it, sums (normalisers, losses, gradients of weights over chunks) are float32 or wider.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lmtrain.machine.device import has_fast_bfloat16, processor_features

_CHUNK_BYTES = 64 << 20
"""Logits (float32) are made for as many rows at once as fit into this: larger blocks are fetched anew from
the system at each use, which takes as long as a pass of arithmetic."""
_CACHE_BYTES = 2 << 20
"""What the caches of a processor hold, about."""
_MIN_CHUNK_ROWS = 64
"""For huge vocabularies: with fewer rows, a product would only wait for the weights to come from memory."""
_ONEDNN_MIN_OPERATIONS = 2_000_000
"""Multiplications and additions: below, its overhead is what counts."""
_ONEDNN_MAX_WEIGHTS = 32 << 20
"""It makes a copy of the weights in an order of its own, which is too much where they fill the memory."""
_BLOCK_BYTES = 16 << 20
"""Of a gradient of weights that is made apart before it is added."""


@cache
def _prefers_onednn() -> bool:
    """Whether float32 products go to oneDNN and not to the BLAS that torch was built with.

    That is MKL as a rule, which takes AVX2 code on processors that are not Intel's: on a Zen 5 a product
    runs at 215 GFLOP/s there, and at 450 with oneDNN's AVX-512 code. Decided by the processor and not by a
    stopwatch, so that a run repeats bit for bit.
    """
    return _has_onednn() and {"amd", "avx512_f"} <= processor_features()


@cache
def _has_onednn() -> bool:
    is_there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return is_there and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _has_fused_bias(x: Tensor) -> bool:
    """Whether oneDNN, where bfloat16 products go anyway, is to add the bias on the way: a pass is saved."""
    return (
        x.dtype == torch.bfloat16 and x.device.type == "cpu" and has_fast_bfloat16(x.device) and _has_onednn()
    )


def _goes_to_onednn(x: Tensor) -> bool:
    return x.dtype == torch.float32 and x.device.type == "cpu" and _prefers_onednn()


def has_faster_elman(x: Tensor, hidden_size: int) -> bool:
    """Whether ``elman`` takes less time for inputs (T, B, E) than torch's function, as measured on a CPU."""
    return x.device.type == "cpu" and hidden_size >= 150


def has_faster_step(x: Tensor) -> bool:
    """Whether torch's function for one step is to be preferred to that for a window (T, B, E)."""
    return x.device.type == "cpu" and len(x) == 1


def has_faster_lstm(x: Tensor, hidden_size: int) -> bool:
    """The same of ``lstm``: oneDNN's is faster in float32, and in bfloat16 while weights fit the caches."""
    return x.device.type == "cpu" and x.dtype == torch.bfloat16 and hidden_size >= 800


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` without a gradient: (N, E), (M, E), (M) to (N, M), in the type of ``x``."""
    weight = weight.to(x.dtype)
    bias = None if bias is None else bias.to(x.dtype)
    is_worth_it = x.numel() * len(weight) >= _ONEDNN_MIN_OPERATIONS and weight.numel() <= _ONEDNN_MAX_WEIGHTS
    if is_worth_it and (_goes_to_onednn(x) or (bias is not None and _has_fused_bias(x))):
        # What torch.compile makes of nn.Linear on a CPU. It crawls where the weight has gaps in memory.
        if not (weight.is_contiguous() or weight.t().is_contiguous()):
            weight = weight.contiguous()
        return cast("Tensor", torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""))
    return torch.mm(x, weight.t()) if bias is None else torch.addmm(bias, x, weight.t())


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` without a gradient: (N, K), (K, M) to (N, M), in the type of ``a``."""
    return linear(a, b.t())


def add_weight_gradient(total: Tensor, gradient: Tensor, x: Tensor, *, is_first: bool = False) -> None:
    """Adds to the gradient of a weight what ``x @ weight.T`` contributes; the first time replaces it.

    Args:
        total: float32, shape (M, E).
        gradient: Of the product, shape (N, M).
        x: (N, E), of the same type.
        is_first: Whether ``total`` holds nothing yet.
    """
    is_float32 = x.dtype == torch.float32
    if is_float32 and not _goes_to_onednn(x):
        torch.addmm(total, gradient.t(), x, beta=0 if is_first else 1, out=total)
        return
    for rows in _slices(len(total), _BLOCK_BYTES // (4 * total.shape[1])):
        block = gradient[:, rows]
        # oneDNN takes half the time for the transposed product of float32, if there is one block alone.
        is_transposed = is_float32 and block.is_contiguous()
        part = product(x.t(), block).t() if is_transposed else product(block.t(), x)
        if is_first:
            total[rows].copy_(part)
        else:
            total[rows].add_(part)


def row_chunks(num_rows: int, vocab_size: int) -> Iterator[slice]:
    """Rows whose logits may exist at once, so that memory is O(chunk * V)."""
    return _slices(num_rows, max(_CHUNK_BYTES // (4 * vocab_size), _MIN_CHUNK_ROWS))


def row_groups(logits: Tensor) -> Iterator[slice]:
    """Rows of logits (N, V) that the passes of a softmax find in the caches again; all of them on CUDA."""
    num_rows, vocab_size = logits.shape
    return _slices(num_rows, _CACHE_BYTES // (4 * vocab_size) if logits.device.type == "cpu" else num_rows)


def _slices(length: int, size: int) -> Iterator[slice]:
    size = max(1, size)
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def costs_of_logits(logits: Tensor, targets: Tensor, best: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The costs of targets, and the probabilities of all words.

    Args:
        logits: (N, V); overwritten where they are float32.
        targets: int64, shape (N, 1), none of them negative.
        best: The highest logit of each row, float32, shape (N, 1), if it is known.

    Returns:
        -ln p(target), float32 of shape (N, 1), and the softmax, float32 of shape (N, V).
    """
    logits = logits.float()
    best = logits.amax(dim=1, keepdim=True) if best is None else best
    at_target = logits.gather(1, targets)
    probabilities = torch.softmax(logits, dim=1, out=logits)
    # Of the best word, whose probability cannot underflow, the logit and its logarithm are both known; they
    # differ by the logarithm of the normaliser. No second pass of exponentials is needed.
    log_norm = best - probabilities.amax(dim=1, keepdim=True).log()
    return log_norm - at_target, probabilities


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        return linear(x.flatten(0, -2), weight, bias).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.flatten(0, -2)
        grad_weight = torch.empty_like(weight)
        add_weight_gradient(grad_weight, gradient, x.flatten(0, -2), is_first=True)
        grad_x = product(gradient, weight).view(x.shape) if ctx.needs_input_grad[0] else None
        return grad_x, grad_weight, gradient.sum(0, dtype=torch.float32) if ctx.has_bias else None


def _softmax_gradient(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The summed cost, float64, and its gradient: the softmax less one at the target, 0 for padding."""
    is_target, index = targets >= 0, targets.clamp(min=0)
    costs, gradient = costs_of_logits(logits, index)
    gradient.scatter_add_(1, index, gradient.new_full((1, 1), -1.0).expand_as(index)).mul_(is_target)
    return (costs * is_target).sum(dtype=torch.float64), gradient


class _LinearCrossEntropy(torch.autograd.Function):
    """Linear map and cross entropy in one, a chunk of rows at a time.

    The gradient is formed in place of the logits while they are there, so that neither the logits nor the
    probabilities of a whole window ever exist.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        total = features.new_zeros((), dtype=torch.float64)
        grad_features = torch.empty_like(features)
        grad_weight = torch.empty_like(weight)
        grad_bias = torch.zeros_like(bias)
        cast_weight = weight.to(features.dtype)
        for rows in row_chunks(len(features), len(weight)):
            x = features[rows]
            gradient = linear(x, cast_weight, bias)  # logits, which become the gradient
            for part in row_groups(gradient):
                cost, grad_part = _softmax_gradient(gradient[part], targets[rows][part, None])
                total += cost
                grad_bias += grad_part.sum(dim=0)
                if x.dtype != torch.float32:  # else it is there already
                    gradient[part] = grad_part
            grad_features[rows] = product(gradient, cast_weight)
            add_weight_gradient(grad_weight, gradient, x, is_first=rows.start == 0)
            del gradient, grad_part  # before the next chunk takes as much memory again
        if len(features) == 0:
            grad_weight.zero_()
        # Not `save_for_backward`: the gradients are handed on as they are, not copied.
        ctx.gradients = [grad_features, grad_weight, grad_bias]
        return total.to(torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        grad_features, grad_weight, grad_bias = ctx.gradients
        del ctx.gradients
        return grad_features.mul_(grad_total), grad_weight.mul_(grad_total), grad_bias.mul_(grad_total), None


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


def apply_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``linear`` with a gradient: x (…, E), weight (M, E) and bias (M) to (…, M), in the type of ``x``."""
    return cast("Tensor", _Linear.apply(x, weight, bias))  # type: ignore[no-untyped-call]


def linear_cross_entropy(features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """The summed cost of a softmax over ``features @ weight.T + bias``; can be differentiated once.

    Args:
        features: (N, H).
        weight: (V, H), float32.
        bias: (V), float32.
        targets: int64, shape (N); negative where there is none (padding).

    Returns:
        The sum of -ln p(target) in nats, a float32 scalar.
    """
    return cast("Tensor", _LinearCrossEntropy.apply(features, weight, bias, targets))  # type: ignore[no-untyped-call]


def lstm_step(
    x: Tensor,
    state: tuple[Tensor, Tensor],
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> tuple[Tensor, Tensor]:
    """``torch.lstm_cell`` without a gradient, with the products of ``linear`` where they are large."""
    if x.numel() * len(weight_ih) < _ONEDNN_MIN_OPERATIONS:
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
