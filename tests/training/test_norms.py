"""Norms of many numbers, against sums in float64."""

import pytest
import torch

from lmtrain.training.norms import global_norm


@pytest.mark.parametrize(
    "shapes",
    [
        [(21_000_000,)],
        [(1, 3_000_001)],
        [(30_000, 100), (5,), ()],
        [(0, 4), (7, 1), (2, 3, 5)],
        [(1 << 14, 3), ((1 << 12) + 1,)],
    ],
)
def test_six_digits_of_any_number(shapes: list[tuple[int, ...]]) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.rand(shape, generator=generator) + 0.1 for shape in shapes]
    exact = sum(float(t.double().square().sum()) for t in tensors) ** 0.5
    assert global_norm(tensors).dtype == torch.float64
    assert global_norm(tensors).item() == pytest.approx(exact, rel=3e-7)
    with_gaps = [t.t() if t.dim() == 2 else t for t in tensors]
    assert global_norm(with_gaps).item() == pytest.approx(exact, rel=3e-7)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_shows(bad: float) -> None:
    weight = torch.ones(4, 5)
    weight[2, 3] = bad
    assert not torch.isfinite(global_norm([torch.ones(3), weight]))
