"""The output layer against torch's cross entropy, whatever the chunks."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from lmtrain.model import fused_softmax
from lmtrain.model.softmax import FullSoftmax

N, H, V = 23, 6, 11


def make() -> tuple[FullSoftmax, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    softmax = FullSoftmax(H, V)
    with torch.no_grad():
        softmax.weight.normal_(generator=generator)
        softmax.bias.normal_(generator=generator)
    features = torch.randn(N, H, generator=generator)
    targets = torch.randint(0, V, (N,), generator=generator)
    targets[[2, 17]] = -100
    return softmax, features, targets


@pytest.mark.parametrize("rows", [1, 4, 23, 1000])
def test_loss_and_gradients_agree_with_torch(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_softmax, "_CHUNK_BYTES", 4 * V * rows)
    monkeypatch.setattr(fused_softmax, "_MIN_CHUNK_ROWS", 1)
    softmax, features, targets = make()
    ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    loss = softmax.loss(ours, targets)
    (3.0 * loss).backward()
    got = [ours.grad, softmax.weight.grad, softmax.bias.grad]
    softmax.zero_grad()
    expected = cross_entropy(softmax.logits(theirs), targets, reduction="sum", ignore_index=-100)
    (3.0 * expected).backward()
    torch.testing.assert_close(loss, expected)
    for gradient, want in zip(got, [theirs.grad, softmax.weight.grad, softmax.bias.grad], strict=True):
        torch.testing.assert_close(gradient, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 4, 1000])
@pytest.mark.parametrize("rows_in_cache", [1, 3, 1000])
def test_token_costs_agree_with_torch(rows: int, rows_in_cache: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_softmax, "_CACHE_BYTES", 4 * V * rows_in_cache)
    monkeypatch.setattr(fused_softmax, "_CHUNK_BYTES", 4 * V * rows)
    monkeypatch.setattr(fused_softmax, "_MIN_CHUNK_ROWS", 1)
    softmax, features, targets = make()
    with torch.no_grad():
        costs = softmax.token_costs(features, targets)
        logits = softmax.logits(features)
    expected = cross_entropy(logits, targets, reduction="none", ignore_index=-100)
    torch.testing.assert_close(costs.nats, expected)
    assert costs.hits.tolist() == (logits.argmax(dim=1) == targets).tolist()
    assert costs.nats[2] == 0
    assert not costs.hits[2]


def test_uniform_logits_cost_the_log_of_the_vocabulary() -> None:
    softmax, features, targets = make()
    with torch.no_grad():
        softmax.weight.zero_()
        softmax.bias.fill_(3.0)
    assert softmax.loss(features, targets).item() == pytest.approx((N - 2) * math.log(V), rel=1e-6)


def test_large_logits_do_not_overflow() -> None:
    softmax, features, targets = make()
    with torch.no_grad():
        softmax.weight.mul_(1e4)
    ours = features.requires_grad_()
    loss = softmax.loss(ours, targets)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(ours.grad).all()


def test_padding_costs_no_loss_and_no_gradient() -> None:
    softmax, features, targets = make()
    ours = features.clone().requires_grad_()
    softmax.loss(ours, targets).backward()
    assert not ours.grad[[2, 17]].any()
    weight_gradient = softmax.weight.grad.clone()
    softmax.zero_grad()
    real = targets >= 0
    softmax.loss(features[real], targets[real]).backward()
    torch.testing.assert_close(weight_gradient, softmax.weight.grad)
