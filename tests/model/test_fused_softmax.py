"""The fused softmax against torch's plain one, in both precisions and by every path."""

import pytest
import torch
from drawn import distance, draw
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lmtrain.model import fused_softmax
from lmtrain.model.fused_softmax import costs_of_logits, linear_cross_entropy

N, V, E = 23, 11, 5


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("rows", [1, 4, 23, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear_cross_entropy_agrees_with_torch(
    rows: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_softmax, "_CHUNK_BYTES", 4 * V * rows)
    monkeypatch.setattr(fused_softmax, "_MIN_CHUNK_ROWS", 1)
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
