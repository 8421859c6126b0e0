"""The adaptive softmax against torch's, and the laws of a distribution."""

import pytest
import torch
from torch import Tensor, nn

from lmtrain.model import fused_softmax
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax

N, H, V = 60, 16, 50
CUTOFFS = [5, 20]


def make(cutoffs: list[int] | None = None, scale: float = 1.0) -> AdaptiveSoftmax:
    softmax = AdaptiveSoftmax(H, V, cutoffs or CUTOFFS, div=2.0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in softmax.parameters():
            parameter.normal_(0.0, scale, generator=generator)
    return softmax


def inputs(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(N, H, generator=generator).to(dtype).requires_grad_()
    targets = torch.randint(0, V, (N,), generator=generator)
    targets[[2, 17]] = -100
    return features, targets


def torch_twin(softmax: AdaptiveSoftmax) -> nn.AdaptiveLogSoftmaxWithLoss:
    twin = nn.AdaptiveLogSoftmaxWithLoss(H, V, CUTOFFS, div_value=2.0, head_bias=True)
    with torch.no_grad():
        twin.head.weight.copy_(softmax.weight)
        twin.head.bias.copy_(softmax.bias)
        for tail, projection, cluster in zip(twin.tail, softmax.projections, softmax.clusters, strict=True):
            tail[0].weight.copy_(projection)
            tail[1].weight.copy_(cluster)
    return twin


def test_loss_and_gradients_agree_with_torch() -> None:
    softmax = make(scale=0.3)
    twin = torch_twin(softmax)
    features, targets = inputs()
    theirs = features.detach().clone().requires_grad_()
    loss = softmax.loss(features, targets)
    (2.0 * loss).backward()
    real = targets >= 0
    expected = -twin(theirs[real], targets[real]).output.sum()
    (2.0 * expected).backward()
    torch.testing.assert_close(loss, expected)
    pairs = [
        (features.grad, theirs.grad),
        (softmax.weight.grad, twin.head.weight.grad),
        (softmax.bias.grad, twin.head.bias.grad),
    ]
    for i, tail in enumerate(twin.tail):
        pairs += [
            (softmax.projections[i].grad, tail[0].weight.grad),
            (softmax.clusters[i].grad, tail[1].weight.grad),
        ]
    for ours, other in pairs:
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_near() -> None:
    softmax = make(scale=0.3)
    losses = [softmax.loss(*inputs(dtype)).item() for dtype in (torch.bfloat16, torch.float32)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize(
    "scale", [0.1, 1.0, 3.0]
)  # the best word is in the head, or now and then in a cluster
def test_costs_are_those_of_the_whole_distribution(
    rows: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_softmax, "_CHUNK_BYTES", 4 * 30 * rows)
    monkeypatch.setattr(fused_softmax, "_MIN_CHUNK_ROWS", 1)
    softmax = make(scale=scale)
    features, targets = inputs()
    with torch.no_grad():
        log_probs = softmax.logits(features)
        costs = softmax.token_costs(features, targets)
    torch.testing.assert_close(log_probs.exp().sum(dim=1), torch.ones(N))
    expected = torch.where(targets < 0, 0.0, -log_probs.gather(1, targets.clamp(min=0)[:, None])[:, 0])
    torch.testing.assert_close(costs.nats, expected, rtol=1e-5, atol=1e-5)
    best = log_probs.argmax(dim=1)
    with torch.no_grad():
        assert costs.hits.tolist() == (best == targets).tolist()
        assert softmax.token_costs(features, best).hits.all()
    if scale == 3.0:
        assert {int(torch.bucketize(b, torch.tensor(CUTOFFS), right=True)) for b in best} == {0, 1, 2}


def test_logits_of_any_shape() -> None:
    softmax = make()
    features, _ = inputs()
    with torch.no_grad():
        flat = softmax.logits(features)
        torch.testing.assert_close(softmax.logits(features.view(3, 20, H)), flat.view(3, 20, V))
        torch.testing.assert_close(softmax.logits(features[0]), flat[0])


def test_padding_has_no_gradient() -> None:
    softmax = make()
    features, targets = inputs()
    softmax.loss(features, targets).backward()
    assert not features.grad[[2, 17]].any()
    assert features.grad[[1, 3]].all()


@pytest.mark.parametrize("cutoffs", [[0, 5], [5, 5], [20, 5], [5, V], [V + 3]])
def test_cutoffs_that_do_not_cut_are_refused(cutoffs: list[int]) -> None:
    with pytest.raises(ValueError, match="cutoffs must ascend from 1 to 49 for a vocabulary of 50 words"):
        AdaptiveSoftmax(H, V, cutoffs)


@pytest.mark.parametrize(("div", "sizes"), [(1.0, [16, 16]), (4.0, [4, 1]), (1e308, [1, 1])])
def test_clusters_grow_narrower(div: float, sizes: list[int]) -> None:
    softmax = AdaptiveSoftmax(H, V, CUTOFFS, div)
    assert [len(projection) for projection in softmax.projections] == sizes
    assert [tuple(cluster.shape) for cluster in softmax.clusters] == [(15, sizes[0]), (30, sizes[1])]


@pytest.mark.parametrize("input_size", [8, 16, 121, 200])
def test_projections_are_as_wide_as_those_of_torch(input_size: int) -> None:
    for tenths in range(10, min(75, int(10 * input_size**0.5))):  # where torch's are not 0
        ours = AdaptiveSoftmax(input_size, V, CUTOFFS, tenths / 10)
        theirs = nn.AdaptiveLogSoftmaxWithLoss(input_size, V, CUTOFFS, tenths / 10)
        pairs = zip(ours.projections, theirs.tail, strict=True)
        assert all(len(projection) == tail[0].out_features for projection, tail in pairs)


def test_weights_of_an_earlier_version_keep_their_sizes() -> None:
    """8 / 1.6 was 5 to it."""
    earlier = AdaptiveSoftmax(8, V, [20], 1.6)
    earlier.take_earlier_sizes([5])
    with torch.no_grad():
        for weight in earlier.parameters():
            weight.normal_()
    assert [weight.shape for weight in earlier.parameters()] == [(21, 8), (21,), (5, 8), (30, 5)]
    softmax = AdaptiveSoftmax(8, V, [20], 1.6)
    assert len(softmax.projections[0]) == 4
    softmax.take_earlier_sizes([6])  # nobody made it so
    assert len(softmax.projections[0]) == 4
    softmax.load_state_dict(earlier.state_dict())
    features, targets = torch.randn(9, 8), torch.arange(0, 45, 5)
    torch.testing.assert_close(softmax.loss(features, targets), earlier.loss(features, targets))


@pytest.mark.parametrize("vocab_size", [1, 3, 4, 19, 20, 1000])
def test_default_cutoffs_suit_any_vocabulary(vocab_size: int) -> None:
    softmax = AdaptiveSoftmax(H, vocab_size)
    with torch.no_grad():
        for parameter in softmax.parameters():
            parameter.fill_(0.1)
        log_probs = softmax.logits(torch.randn(2, H))
    torch.testing.assert_close(log_probs.exp().sum(dim=1), torch.ones(2))
