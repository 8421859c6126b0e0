"""Products and fused functions against torch's plain ones, in both precisions and by every path."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lmtrain.model import kernels
from lmtrain.model.kernels import (
    add_weight_gradient,
    apply_linear,
    costs_of_logits,
    elman,
    linear,
    linear_cross_entropy,
    lstm,
    lstm_step,
    product,
)

T, B, E, H = 6, 3, 5, 4
N, V = 23, 11

HAS_ONEDNN = torch.backends.mkldnn.is_available()


@pytest.fixture(params=["blas", *(["onednn"] if HAS_ONEDNN else [])])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both libraries, whatever this processor prefers, for products of any size."""
    monkeypatch.setattr(kernels, "_prefers_onednn", lambda: request.param == "onednn")
    monkeypatch.setattr(kernels, "_ONEDNN_MIN_OPERATIONS", 0)


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def distance(a: Tensor, b: Tensor) -> float:
    """Of two tensors, relative to the second."""
    return float((a.float() - b).norm() / b.norm())


@pytest.mark.usefixtures("library")
def test_products_of_any_layout() -> None:
    x, w, b = draw(N, E), draw(V, E, seed=1), draw(V, seed=2)
    torch.testing.assert_close(linear(x, w, b), x @ w.t() + b)
    torch.testing.assert_close(linear(x[:, 1:], w[:, 1:]), x[:, 1:] @ w[:, 1:].t())  # gaps in memory
    torch.testing.assert_close(product(x, w.t()), x @ w.t())
    torch.testing.assert_close(product(x.t(), draw(N, V, seed=3)), x.t() @ draw(N, V, seed=3))
    assert linear(x.bfloat16(), w, b).dtype == torch.bfloat16


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows_of_a_block", [1, 4, 100])
def test_weight_gradients_add_up(
    dtype: torch.dtype, rows_of_a_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_BLOCK_BYTES", 4 * E * rows_of_a_block)
    gradient, x = draw(N, V).to(dtype), draw(N, E, seed=1).to(dtype)
    total = torch.full((V, E), float("nan"))
    add_weight_gradient(total, gradient, x, is_first=True)
    add_weight_gradient(total, gradient, x)
    expected = 2 * gradient.float().t() @ x.float()
    assert distance(total, expected) < (1e-6 if dtype == torch.float32 else 5e-3)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("has_bias", [True, False])
def test_apply_linear_has_the_gradients_of_torchs(has_bias: bool) -> None:
    inputs = [draw(T, B, E), draw(V, E, seed=1), *([draw(V, seed=2)] if has_bias else [])]
    results = []
    for function in (lambda x, w, b=None: apply_linear(x, w, b), nn.functional.linear):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        outputs = function(*leaves)
        (outputs * draw(T, B, V, seed=3)).sum().backward()
        results.append([outputs.detach(), *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("rows", [1, 4, 23, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear_cross_entropy_agrees_with_torch(
    rows: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_CHUNK_BYTES", 4 * V * rows)
    monkeypatch.setattr(kernels, "_MIN_CHUNK_ROWS", 1)
    targets = torch.randint(0, V, (N,), generator=torch.Generator().manual_seed(4))
    targets[[2, 17]] = -100
    results = []
    for is_ours in (True, False):
        features, w, b = (
            t.requires_grad_() for t in (draw(N, E).to(dtype), draw(V, E, seed=1), draw(V, seed=2))
        )
        if is_ours:
            loss = linear_cross_entropy(features, w, b, targets)
        else:
            loss = cross_entropy(
                nn.functional.linear(features.float(), w, b), targets, reduction="sum", ignore_index=-100
            )
        (3.0 * loss).backward()
        results.append([loss.detach(), features.grad, w.grad, b.grad])
    assert results[0][1].dtype == dtype
    assert all(tensor.dtype == torch.float32 for tensor in (results[0][0], *results[0][2:]))
    for ours, theirs in zip(*results, strict=True):
        assert distance(ours, theirs.float()) < (2e-6 if dtype == torch.float32 else 1e-2)


def test_no_target_costs_nothing_and_has_no_gradient() -> None:
    features, w, b = (t.requires_grad_() for t in (draw(N, E), draw(V, E), draw(V)))
    for rows in (N, 0):
        loss = linear_cross_entropy(features[:rows], w, b, torch.full((rows,), -100))
        loss.backward()
        assert loss.item() == 0
        assert not any(t.grad.any() for t in (features, w, b))


def test_the_gradient_of_the_weights_is_handed_on_uncopied(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    empty_like = torch.empty_like

    def remember(tensor: Tensor, **options: object) -> Tensor:
        made.append(empty_like(tensor, **options))
        return made[-1]

    monkeypatch.setattr(torch, "empty_like", remember)
    w = draw(V, E).requires_grad_()
    loss = linear_cross_entropy(draw(N, E), w, draw(V), torch.zeros(N, dtype=torch.int64))
    address = next(tensor.data_ptr() for tensor in made if tensor.shape == w.shape)
    made.clear()
    loss.backward()
    assert w.grad.data_ptr() == address


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_costs_of_logits(scale: float) -> None:
    logits = draw(N, V, scale=scale)
    targets = torch.arange(N)[:, None] % V
    expected = cross_entropy(logits.double(), targets[:, 0], reduction="none")[:, None]
    probabilities = logits.double().softmax(dim=1)
    costs, got = costs_of_logits(logits.clone(), targets)
    torch.testing.assert_close(costs.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(got.double(), probabilities, rtol=1e-4, atol=1e-7)


def recurrence(
    function: Callable[..., tuple[Tensor, ...]], inputs: list[Tensor], dtype: torch.dtype
) -> list[Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    outputs = function(leaves[0].to(dtype), *leaves[1:])
    sum((o.float() * draw(*o.shape, seed=9)).sum() for o in outputs).backward()
    return [*(o.detach() for o in outputs), *(leaf.grad for leaf in leaves)]


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1, T])
@pytest.mark.parametrize("is_relu", [False, True])
def test_elman_agrees_with_torch(dtype: torch.dtype, length: int, is_relu: bool) -> None:
    inputs = [draw(length, B, E), *(draw(*s, seed=1, scale=0.5) for s in [(B, H), (H, E), (H, H), (H,)])]
    theirs_function = torch.rnn_relu if is_relu else torch.rnn_tanh

    def theirs(x: Tensor, h: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        zeros = torch.zeros(H)
        return theirs_function(x, h[None], [*weights, zeros], True, 1, 0.0, True, False, False)[:1]

    ours = recurrence(lambda *a: (elman(*a, is_relu),), inputs, dtype)
    for got, expected in zip(ours, recurrence(theirs, inputs, torch.float32), strict=True):
        assert distance(got, expected) < (1e-6 if dtype == torch.float32 else 3e-2)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1, T])
def test_lstm_agrees_with_torch(dtype: torch.dtype, length: int) -> None:
    shapes = [(B, H), (B, H), (4 * H, E), (4 * H, H), (4 * H,)]
    inputs = [draw(length, B, E), *(draw(*s, seed=i, scale=0.5) for i, s in enumerate(shapes, 1))]

    def theirs(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        parameters = [*weights, torch.zeros(4 * H)]
        outputs, _, c = torch.lstm(x, (h[None], c[None]), parameters, True, 1, 0.0, True, False, False)
        return outputs, c[0]

    ours = recurrence(lstm, inputs, dtype)
    assert ours[1].dtype == torch.float32  # the cell
    for got, expected in zip(ours, recurrence(theirs, inputs, torch.float32), strict=True):
        assert distance(got, expected) < (1e-6 if dtype == torch.float32 else 3e-2)


@pytest.mark.usefixtures("library")
def test_lstm_step_agrees_with_torch() -> None:
    shapes = [(B, E), (B, H), (B, H), (4 * H, E), (4 * H, H), (4 * H,), (4 * H,)]
    x, h, c, *weights = (draw(*s, seed=i) for i, s in enumerate(shapes))
    with torch.inference_mode():
        torch.testing.assert_close(lstm_step(x, (h, c), *weights), torch.lstm_cell(x, (h, c), *weights))


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_gradients_are_those_of_finite_differences(cell: str) -> None:
    gates, function = (1, elman) if cell == "elman" else (4, lstm)
    states = [(B, H)] if cell == "elman" else [(B, H), (B, H)]
    shapes = [(T, B, E), *states, (gates * H, E), (gates * H, H), (gates * H,)]
    inputs = [draw(*s, seed=i).double().requires_grad_() for i, s in enumerate(shapes)]
    assert torch.autograd.gradcheck(function, inputs)
