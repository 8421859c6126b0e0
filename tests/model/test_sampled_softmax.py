"""The sampled softmax: laws of its sample, of its estimate, and of what a step touches."""

import pytest
import torch
from torch import Tensor

from lmtrain.model.noise import Noise
from lmtrain.model.sampled_softmax import SampledSoftmax

N, H, V, K = 23, 6, 40, 12
PROPOSALS = {
    "log_uniform": None,
    "unigram": torch.tensor([500.0, 300.0, 90.0, *[3.0] * 20, *[1.0] * (V - 23)]),
}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make(
    num_samples: int = K, proposal: Tensor | None = None, generator: torch.Generator | None = None
) -> SampledSoftmax:
    noise = Noise(generator or torch.Generator().manual_seed(0))
    softmax = SampledSoftmax(H, V, num_samples, proposal, noise)
    with torch.no_grad():
        softmax.weight.copy_(draw(V, H, seed=1))
        softmax.bias.copy_(draw(V, seed=2))
    return softmax


def text() -> tuple[Tensor, Tensor]:
    targets = torch.randint(0, V, (N,), generator=torch.Generator().manual_seed(3))
    targets[[2, 17]] = -100
    return draw(N, H, seed=4), targets


def gradients(softmax: SampledSoftmax, features: Tensor, targets: Tensor) -> list[Tensor]:
    """The loss and the gradients of features, weight and bias."""
    features = features.clone().requires_grad_()
    softmax.zero_grad()
    loss = softmax.loss(features, targets)
    (3.0 * loss).backward()
    return [loss.detach(), features.grad, softmax.weight.grad, softmax.bias.grad]


def every_sample(softmax: SampledSoftmax, monkeypatch: pytest.MonkeyPatch, steps: int) -> list[Tensor]:
    """The words drawn for random numbers on a grid, each standing for an equal share of them."""
    drawn = []
    for i in range(steps):
        number = torch.tensor((i + 0.5) / steps, dtype=torch.float64)
        monkeypatch.setattr(torch, "rand", lambda *_, number=number, **__: number)
        drawn.append(softmax._draw())
    return drawn


@pytest.mark.parametrize("proposal", PROPOSALS.values(), ids=PROPOSALS)
@pytest.mark.parametrize("num_samples", [1, K, V - 1])
def test_each_word_is_drawn_as_often_as_promised(
    proposal: Tensor | None, num_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    softmax = make(num_samples, proposal)
    assert softmax.inclusion.sum().item() == pytest.approx(num_samples)
    assert (softmax.inclusion > 0).all()
    assert (softmax.inclusion <= 1).all()
    counts = torch.zeros(V, dtype=torch.float64)
    drawn = every_sample(softmax, monkeypatch, 1000)
    for ids in drawn:
        assert len(ids.unique()) == num_samples
        counts[ids] += 1
    torch.testing.assert_close(counts / len(drawn), softmax.inclusion, rtol=0, atol=2e-3)


def test_inclusion_is_proportional_up_to_certainty() -> None:
    proposal = torch.tensor([100.0, 10.0, 4.0, 2.0, 2.0])
    inclusion = SampledSoftmax(H, 5, 3, proposal).inclusion
    # 100 is certain, which leaves 2 draws over 18; 10 · 2/18 > 1 is certain too: 1 draw over 8.
    assert inclusion.tolist() == pytest.approx([1, 1, 0.5, 0.25, 0.25])


def test_log_uniform_is_zipfs() -> None:
    inclusion = SampledSoftmax(H, 1000, 10).inclusion
    rare = inclusion[inclusion < 1]
    ranks = torch.arange(1000 - len(rare), 1000, dtype=torch.float64)
    expected = ((ranks + 2) / (ranks + 1)).log()
    torch.testing.assert_close(rare / rare[-1], expected / expected[-1])


@pytest.mark.parametrize("proposal", PROPOSALS.values(), ids=PROPOSALS)
def test_the_normaliser_is_estimated_without_bias(
    proposal: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the loss itself: exp(cost + logit of the target), averaged over the samples."""
    softmax = make(proposal=proposal)
    features, target = draw(1, H, seed=5), torch.tensor([V - 2])
    logits = softmax.logits(features)[0].double()
    at_target = logits[target]
    estimates = []
    for i in range(2000):
        number = torch.tensor((i + 0.5) / 2000, dtype=torch.float64)
        monkeypatch.setattr(torch, "rand", lambda *_, number=number, **__: number)
        estimates.append((softmax.loss(features, target).double() + at_target).exp())
    mean = torch.stack(estimates).mean()
    assert mean.item() == pytest.approx(logits.exp().sum().item(), rel=2e-3)
    assert torch.stack(estimates).std() > 0.01 * mean


@pytest.mark.parametrize("num_samples", [V, V + 5])
def test_with_all_words_nothing_is_estimated(num_samples: int) -> None:
    softmax = make(num_samples)
    expected = gradients(softmax.eval(), *text())
    for ours, want in zip(gradients(softmax.train(), *text()), expected, strict=True):
        assert torch.equal(ours, want)


def test_with_all_but_one_word_the_loss_is_nearly_the_full_one() -> None:
    """Through the code that samples, which a sample of all words does not take."""
    proposal = torch.ones(V, dtype=torch.float64)
    proposal[-1] = 1e-9
    softmax = make(V - 1, proposal)
    with torch.no_grad():
        softmax.bias[-1] = -50.0  # the word that is missing has no probability anyway
    features, targets = text()
    targets[targets == V - 1] = 0
    expected = gradients(softmax.eval(), features, targets)
    for ours, want in zip(gradients(softmax.train(), features, targets), expected, strict=True):
        torch.testing.assert_close(ours, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_are_those_of_the_definition(sparse: bool) -> None:
    softmax = make()
    softmax.sparse = sparse
    features, targets = text()
    ours = gradients(softmax, features, targets)
    assert ours[2].is_sparse is sparse
    drawn = make()._draw()
    theirs = features.clone().requires_grad_()
    softmax.zero_grad()
    logits = theirs @ softmax.weight.t() + softmax.bias
    total = torch.zeros(())
    for row, target in zip(logits, targets.tolist(), strict=True):
        if target >= 0:
            others = drawn[drawn != target]
            corrected = row[others] - softmax.inclusion[others].log().float()
            total = total + torch.cat([row[target, None], corrected]).logsumexp(0) - row[target]
    (3.0 * total).backward()
    ours[2] = ours[2].to_dense()
    ours[3] = ours[3].to_dense()
    expected = [total.detach(), theirs.grad, softmax.weight.grad, softmax.bias.grad]
    for got, want in zip(ours, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_a_step_touches_only_what_was_drawn_or_read() -> None:
    features, targets = text()
    _, _, weight, bias = gradients(make(), features, targets)
    touched = {*make()._draw().tolist(), *targets[targets >= 0].tolist()}
    assert len(touched) < V
    assert set(weight.abs().sum(dim=1).nonzero()[:, 0].tolist()) == touched
    assert set(bias.nonzero()[:, 0].tolist()) == touched


def test_padding_costs_no_loss_and_no_gradient() -> None:
    features, targets = text()
    with_padding = gradients(make(), features, targets)
    real = targets >= 0
    without = gradients(make(), features[real], targets[real])
    assert not with_padding[1][~real].any()
    with_padding[1] = with_padding[1][real]
    for ours, want in zip(with_padding, without, strict=True):
        torch.testing.assert_close(ours, want)


def test_bfloat16_features_cost_nearly_the_same() -> None:
    features, targets = text()
    exact = gradients(make(), features.bfloat16().float(), targets)
    rounded = gradients(make(), features.bfloat16(), targets)
    assert [g.dtype for g in rounded] == [torch.float32, torch.bfloat16, torch.float32, torch.float32]
    assert rounded[0].item() == pytest.approx(exact[0].item(), rel=1e-2)
    for ours, want in zip(rounded[1:], exact[1:], strict=True):
        assert (ours.float() - want).norm() < 2e-2 * want.norm()


def test_the_generator_alone_decides() -> None:
    features, targets = text()
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(7)
    softmax = make(generator=generator)
    first, second = softmax.loss(features, targets), softmax.loss(features, targets)
    assert first != second
    torch.manual_seed(2)
    generator.manual_seed(7)
    assert softmax.loss(features, targets) == first
    assert softmax.loss(features, targets) == second


def test_evaluation_is_exact() -> None:
    features, targets = text()
    softmax = make().eval()
    loss = softmax.loss(features, targets)
    with torch.no_grad():
        costs = softmax.token_costs(features, targets)
        log_probs = softmax.logits(features).log_softmax(1)
    expected = -log_probs.gather(1, targets.clamp(min=0)[:, None])[:, 0] * (targets >= 0)
    torch.testing.assert_close(costs.nats, expected)
    torch.testing.assert_close(loss, expected.sum())


def test_the_sample_is_no_part_of_the_weights() -> None:
    assert make().state_dict().keys() == {"weight", "bias"}
