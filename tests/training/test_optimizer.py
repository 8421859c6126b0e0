"""The optimizers against torch's plain ones, with clipping, and the guard."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from lmtrain.training.optimizer import Optimizer


def parameters(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(*shape, generator=generator)) for shape in [(3, 4), (5,)]]


def set_gradients(params: list[nn.Parameter], step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(100 + step)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator)
    return torch.tensor(1.0)


PLAIN: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, foreach=False),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, foreach=False),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, foreach=False),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01, foreach=False),
}
OURS: dict[str, Any] = {
    "sgd": {"name": "sgd", "momentum": 0.0},
    "momentum": {"name": "sgd", "momentum": 0.9, "nesterov": True},
    "adam": {"name": "adam"},
    "adamw": {"name": "adamw", "weight_decay": 0.01},
}


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("max_grad_norm", [None, 0.7, 100.0])
def test_updates_equal_torchs_after_clip_grad_norm(kind: str, max_grad_norm: float | None) -> None:
    ours, theirs = parameters(), parameters()
    optimizer = Optimizer(ours, lr=0.1, max_grad_norm=max_grad_norm, **OURS[kind])
    plain = PLAIN[kind](theirs)
    for step in range(4):
        factor = 1.0 - 0.2 * step
        norm = optimizer.update(set_gradients(ours, step), factor, step + 1)
        set_gradients(theirs, step)
        expected = nn.utils.clip_grad_norm_(theirs, max_grad_norm or math.inf)
        plain.param_groups[0]["lr"] = 0.1 * factor
        plain.step()
        torch.testing.assert_close(norm, expected)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert optimizer.lr == pytest.approx(0.04)
    assert optimizer.diverged_at() is None


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("max_grad_norm", [None, 1.0])
def test_nothing_changes_once_something_is_not_finite(
    kind: str, bad: float, where: str, max_grad_norm: float | None
) -> None:
    params = parameters()
    optimizer = Optimizer(params, lr=0.1, max_grad_norm=max_grad_norm, **OURS[kind])
    optimizer.update(set_gradients(params, 0), 1.0, 1)
    before = [p.clone() for p in params]
    moments = str(optimizer.state_dict()["moments"])
    loss = set_gradients(params, 1)
    if where == "loss":
        loss = torch.tensor(bad)
    else:
        params[1].grad[2] = bad
    optimizer.update(loss, 1.0, 2)
    optimizer.update(set_gradients(params, 2), 1.0, 3)
    assert all(torch.equal(a, b) for a, b in zip(params, before, strict=True))
    assert str(optimizer.state_dict()["moments"]) == moments
    assert optimizer.diverged_at() == 2


@pytest.mark.parametrize("kind", PLAIN)
def test_continues_from_its_state(kind: str) -> None:
    first_params, second_params = parameters(), parameters()
    first = Optimizer(first_params, lr=0.1, **OURS[kind])
    first.update(set_gradients(first_params, 0), 1.0, 1)
    second = Optimizer(second_params, lr=0.1, **OURS[kind])
    with torch.no_grad():
        for a, b in zip(second_params, first_params, strict=True):
            a.copy_(b)
    second.load_state_dict(first.state_dict())
    first.update(set_gradients(first_params, 1), 0.5, 2)
    second.update(set_gradients(second_params, 1), 0.5, 2)
    assert all(torch.equal(a, b) for a, b in zip(first_params, second_params, strict=True))


def test_frozen_parameters_stay() -> None:
    params = parameters()
    params[0].requires_grad_(False)
    frozen = params[0].clone()
    optimizer = Optimizer(params, "sgd", 0.1)
    params[1].grad = torch.ones(5)
    optimizer.update(torch.tensor(1.0), 1.0, 1)
    assert torch.equal(params[0], frozen)


def test_a_sparse_gradient_updates_as_the_dense_one_it_stands_for() -> None:
    results = []
    for is_sparse in (True, False):
        params = parameters()
        optimizer = Optimizer(params, "sgd", lr=0.1, max_grad_norm=0.5)
        for step in range(3):
            set_gradients(params, step)
            rows = torch.tensor([2, 0, 2])  # row 1 has no gradient, row 2 has two parts
            values = torch.randn(3, 4, generator=torch.Generator().manual_seed(step))
            gradient = torch.sparse_coo_tensor(rows[None], values, (3, 4), check_invariants=True)
            params[0].grad = gradient if is_sparse else gradient.to_dense()
            norm = optimizer.update(torch.tensor(1.0), 1.0, step + 1)
        results.append([norm, *(p.detach() for p in params)])
    assert torch.equal(results[0][1][1], parameters()[0][1])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_sparse_gradient_that_is_not_finite_changes_nothing() -> None:
    params = parameters()
    optimizer = Optimizer(params, "sgd", lr=0.1)
    set_gradients(params, 0)
    values = torch.tensor([[1.0, math.nan, 0.0, 0.0]])
    params[0].grad = torch.sparse_coo_tensor([[1]], values, (3, 4), check_invariants=True)
    optimizer.update(torch.tensor(1.0), 1.0, 7)
    assert optimizer.diverged_at() == 7
    assert all(torch.equal(a, b) for a, b in zip(params, parameters(), strict=True))


@pytest.mark.parametrize(
    ("options", "takes_sparse"),
    [
        ({"name": "sgd", "momentum": 0.0, "weight_decay": 0.0}, True),
        ({"name": "sgd", "momentum": 0.9}, False),
        ({"name": "sgd", "weight_decay": 0.1}, False),
        ({"name": "adam"}, False),
    ],
)
def test_rows_may_be_left_alone_only_by_plain_sgd(options: dict[str, Any], takes_sparse: bool) -> None:
    assert Optimizer(parameters(), lr=0.1, **options).takes_sparse is takes_sparse
