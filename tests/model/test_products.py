"""Products against torch's plain ones, in both precisions and by every path."""

import pytest
import torch
from drawn import distance, draw
from torch import nn

from lmtrain.model import products
from lmtrain.model.products import add_weight_gradient, apply_linear, linear, product

T, B, E = 6, 3, 5
N, V = 23, 11


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
    monkeypatch.setattr(products, "_BLOCK_BYTES", 4 * E * rows_of_a_block)
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


@pytest.mark.parametrize("prefers_onednn", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gradient_of_either_precision_on_either_processor(
    prefers_onednn: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_prefers_onednn", lambda: prefers_onednn)
    gradient, x = torch.randn(4, 3), torch.randn(4, 5)
    total = torch.full((3, 5), torch.nan, dtype=dtype)
    for i in range(2):
        products.add_weight_gradient(total, gradient, x, is_first=i == 0)
    torch.testing.assert_close(total, (2 * gradient.t() @ x).to(dtype), rtol=1e-5, atol=1e-5)
