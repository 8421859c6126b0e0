"""The mixture of softmaxes against values worked by hand and against plain autograd, whatever the chunks."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear, nll_loss

from lmtrain.model import fused_softmax
from lmtrain.model.dropout import DropoutRates
from lmtrain.model.mixture_softmax import MixtureSoftmax
from lmtrain.model.noise import Noise
from lmtrain.model.softmax import FullSoftmax

N, H, V, K, E = 23, 6, 11, 3, 5


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def noise() -> Noise:
    return Noise(torch.Generator().manual_seed(7))


def make(num_components: int = K) -> tuple[MixtureSoftmax, Tensor, Tensor]:
    softmax = MixtureSoftmax(H, V, num_components, E)
    with torch.no_grad():
        for seed, parameter in enumerate(softmax.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed))
    targets = torch.randint(0, V, (N,), generator=torch.Generator().manual_seed(9))
    targets[[2, 17]] = -100
    return softmax, draw(N, H, seed=8), targets


def plain_log_probs(softmax: MixtureSoftmax, features: Tensor) -> Tensor:
    """The equations of the paper, one after the other."""
    latent = torch.tanh(linear(features, softmax.latent_weight, softmax.latent_bias)).unflatten(1, (-1, E))
    prior = torch.softmax(linear(features, softmax.prior_weight), dim=1)
    components = torch.softmax(linear(latent, softmax.weight, softmax.bias), dim=2)
    return (prior[:, :, None] * components).sum(dim=1).log()


@pytest.fixture(params=[(1, 1), (4, 2), (1000, 1000)], ids=str)
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows at once, and few of these in the caches."""
    rows, rows_in_cache = request.param
    monkeypatch.setattr(fused_softmax, "_CHUNK_BYTES", 4 * K * V * rows)
    monkeypatch.setattr(fused_softmax, "_CACHE_BYTES", 4 * K * V * rows_in_cache)
    monkeypatch.setattr(fused_softmax, "_MIN_CHUNK_ROWS", 1)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradients_agree_with_plain_autograd(dtype: torch.dtype) -> None:
    softmax, features, targets = make()
    results = []
    for is_ours in (True, False):
        softmax.zero_grad()
        leaf = features.to(dtype if is_ours else torch.float32).requires_grad_()
        if is_ours:
            loss = softmax.loss(leaf, targets)
        else:
            loss = nll_loss(plain_log_probs(softmax, leaf), targets, reduction="sum", ignore_index=-100)
        (3.0 * loss).backward()
        results.append([loss.detach(), leaf.grad, *(p.grad.clone() for p in softmax.parameters())])
    assert results[0][1].dtype == dtype
    for ours, theirs in zip(*results, strict=True):
        distance = (ours.float() - theirs).norm() / theirs.norm()
        assert distance < (2e-6 if dtype == torch.float32 else 2e-2)


@pytest.mark.usefixtures("chunks")
def test_costs_details_and_logits_agree_with_the_equations() -> None:
    softmax, features, targets = make()
    log_probs = plain_log_probs(softmax, features).detach()
    torch.testing.assert_close(softmax.logits(features), log_probs)
    with torch.no_grad():
        costs = softmax.token_costs(features, targets)
    torch.testing.assert_close(
        costs.nats, nll_loss(log_probs, targets, reduction="none", ignore_index=-100), rtol=1e-5, atol=1e-6
    )
    assert costs.hits.tolist() == (log_probs.argmax(dim=1) == targets).tolist()
    assert not costs.nats[[2, 17]].any()
    assert not costs.hits[[2, 17]].any()
    real = targets >= 0
    details = softmax.token_details(features[real], targets[real])
    torch.testing.assert_close(details.nats, costs.nats[real])
    torch.testing.assert_close(details.entropy, -(log_probs.exp() * log_probs).sum(dim=1)[real])
    assert ((details.rank == 1) == costs.hits[real]).all()


@pytest.mark.usefixtures("chunks")
def test_the_loss_is_the_sum_of_the_costs() -> None:
    softmax, features, targets = make()
    with torch.no_grad():
        nats = softmax.token_costs(features, targets).nats
        assert softmax.loss(features, targets).item() == pytest.approx(nats.sum().item(), rel=1e-6)


def test_probabilities_sum_to_one_and_have_the_shape_of_the_features() -> None:
    softmax, features, _ = make()
    log_probs = softmax.logits(20 * features.view(1, N, H))
    assert log_probs.shape == (1, N, V)
    torch.testing.assert_close(log_probs.exp().sum(dim=-1), torch.ones(1, N))
    assert not log_probs.requires_grad


def test_two_components_by_hand() -> None:
    """Of two words: one component gives the first three quarters, the other a fifth; priors 0.6 and 0.4."""
    softmax = MixtureSoftmax(1, 2, 2, 1)
    with torch.no_grad():
        softmax.weight.copy_(torch.tensor([[math.log(3) / 0.5], [0.0]]))
        softmax.bias.zero_()
        # tanh gives 0.5 and -0.5 log 4 / log 3: logits of the first word of log 3 and -log 4.
        latent = [0.5, -0.5 * math.log(4) / math.log(3)]
        softmax.latent_weight.zero_()
        softmax.latent_bias.copy_(torch.tensor([math.atanh(z) for z in latent]))
        softmax.prior_weight.copy_(torch.tensor([[math.log(0.6)], [math.log(0.4)]]))
    features = torch.ones(2, 1)
    p = 0.6 * 3 / 4 + 0.4 * 1 / 5
    assert softmax.logits(features)[0].exp().tolist() == pytest.approx([p, 1 - p], rel=1e-6)
    loss = softmax.loss(features, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(-math.log(p) - math.log(1 - p), rel=1e-6)


@pytest.mark.parametrize("locked", [False, True])
def test_latent_units_are_dropped_in_training_alone(locked: bool) -> None:
    rates, (plain, _, _) = DropoutRates(latent=0.5, locked=locked), make()
    softmax = MixtureSoftmax(H, V, K, E, rates.of_units(rates.latent, noise()))
    softmax.load_state_dict(plain.state_dict())
    features, targets = draw(4, 5, H, seed=8), torch.arange(20).view(4, 5) % V
    latent, log_prior = softmax._latent(features)
    dropped = rates.of_units(rates.latent, noise())(latent)
    assert 0.2 < float((dropped == 0).float().mean()) < 0.8
    components = torch.log_softmax(linear(dropped, softmax.weight, softmax.bias), dim=3)
    log_probs = (log_prior[..., None] + components).logsumexp(dim=2)
    expected = -log_probs.gather(2, targets[..., None]).sum()
    torch.testing.assert_close(softmax.loss(features, targets), expected)
    softmax.eval()
    torch.testing.assert_close(softmax.loss(features, targets), plain.loss(features, targets))


def test_one_component_is_a_full_softmax_of_its_latent_vector() -> None:
    softmax, features, targets = make(num_components=1)
    full = FullSoftmax(E, V)
    full.load_state_dict({name: getattr(softmax, name) for name in ("weight", "bias")})
    latent = torch.tanh(linear(features, softmax.latent_weight, softmax.latent_bias)).detach()
    expected = cross_entropy(full.logits(latent), targets, reduction="sum", ignore_index=-100)
    torch.testing.assert_close(softmax.loss(features, targets), expected)
    torch.testing.assert_close(softmax.token_costs(features, targets), full.token_costs(latent, targets))


def test_padding_costs_no_loss_and_no_gradient() -> None:
    softmax, features, _ = make()
    leaf = features.requires_grad_()
    loss = softmax.loss(leaf, torch.full((N,), -100))
    loss.backward()
    assert loss.item() == 0
    assert not any(t.grad.any() for t in (leaf, *softmax.parameters()))


def test_a_word_that_is_all_but_impossible_has_a_finite_cost() -> None:
    softmax, features, targets = make()
    with torch.no_grad():
        softmax.weight.mul_(1e3)
    leaf = features.requires_grad_()
    loss = softmax.loss(leaf, targets)
    loss.backward()
    assert loss.item() > 1000
    assert torch.isfinite(loss)
    assert torch.isfinite(leaf.grad).all()
    assert torch.isfinite(softmax.token_details(features.detach(), targets.clamp(min=0)).entropy).all()


def test_nothing_leaves_the_device() -> None:
    with torch.device("meta"):
        softmax = MixtureSoftmax(H, V, K, E)
        features = torch.empty(N, H, dtype=torch.bfloat16, requires_grad=True)
        targets = torch.empty(N, dtype=torch.int64)
    loss = softmax.loss(features, targets)
    loss.backward()
    assert loss.is_meta
    assert all(p.grad is not None for p in softmax.parameters())
    assert softmax.logits(features).is_meta
