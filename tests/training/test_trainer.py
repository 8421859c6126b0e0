"""One step of truncated backpropagation through time, against the same step written out plainly."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lmtrain.corpus.batching import LineIterator, ParallelSequentialIterator
from lmtrain.corpus.window_lengths import RandomLengths
from lmtrain.errors import DivergenceError
from lmtrain.model.initialization import initialize
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.noise import Noise
from lmtrain.training.optimizer import Optimizer
from lmtrain.training.regularization import ActivationPenalty
from lmtrain.training.schedule import Constant
from lmtrain.training.trainer import Trainer

V = 11
IDS = np.random.default_rng(0).integers(0, V, 200).astype(np.int32)


def make(lr: float = 0.5, reduction: str = "mean", max_grad_norm: float | None = 0.3) -> Trainer:
    model = LanguageModel(V, 5, 6, 2)
    initialize(model, torch.Generator().manual_seed(0), init_range=0.4)
    return Trainer(
        model,
        ParallelSequentialIterator(IDS, 4, 7),
        Optimizer(model.parameters(), "sgd", lr, max_grad_norm),
        Constant(),
        Noise(torch.Generator()),
        loss_reduction=reduction,
    )


class Plain(nn.Module):
    """The same model as a tutorial writes it."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, 5)
        self.lstm = nn.LSTM(5, 6, 2)
        self.output = nn.Linear(6, V)
        with torch.no_grad():
            self.embedding.weight.copy_(model.embedding.weight)
            self.output.weight.copy_(model.softmax.weight)
            self.output.bias.copy_(model.softmax.bias)
            for i, layer in enumerate(model.recurrent_layers()):
                getattr(self.lstm, f"weight_ih_l{i}").copy_(layer.weight_ih)
                getattr(self.lstm, f"weight_hh_l{i}").copy_(layer.weight_hh)
                getattr(self.lstm, f"bias_ih_l{i}").copy_(layer.bias)
                getattr(self.lstm, f"bias_hh_l{i}").zero_()
                getattr(self.lstm, f"bias_hh_l{i}").requires_grad_(False)


@pytest.mark.parametrize("reduction", ["mean", "sum_over_time"])
def test_steps_equal_the_plain_loop(reduction: str) -> None:
    trainer = make(reduction=reduction)
    plain = Plain(trainer.model)
    windows = ParallelSequentialIterator(IDS, 4, 7)
    hidden = (torch.zeros(2, 4, 6), torch.zeros(2, 4, 6))
    total = 0.0
    for _ in range(20):
        trainer.step()
        x, y = next(windows)
        features, hidden = plain.lstm(plain.embedding(x), hidden)
        hidden = tuple(h.detach() for h in hidden)
        nats = cross_entropy(plain.output(features).flatten(0, 1), y.flatten(), reduction="sum")
        total += nats.item()
        (nats / (28 if reduction == "mean" else 4)).backward()
        nn.utils.clip_grad_norm_([p for p in plain.parameters() if p.requires_grad], 0.3)
        with torch.no_grad():
            for p in plain.parameters():
                if p.requires_grad:
                    p -= 0.5 * p.grad
                    p.grad = None
    torch.testing.assert_close(trainer.model.softmax.weight, plain.output.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(trainer.model.embedding.weight, plain.embedding.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(trainer.hidden[1][1], hidden[1][1], rtol=1e-4, atol=1e-5)
    figures = trainer.meter.read(trainer.optimizer.lr)
    # Nats per token over all words since the last reading, whatever the reduction.
    assert figures.loss == pytest.approx(total / (20 * 28), rel=1e-5)
    assert figures.perplexity == pytest.approx(math.exp(figures.loss))
    assert (trainer.steps, figures.lr) == (20, 0.5)


def test_the_gradient_stops_at_the_window() -> None:
    trainer = make()
    trainer.step()
    assert not any(t.requires_grad for layer in trainer.hidden for t in layer)


def test_a_meter_starts_anew_at_each_reading() -> None:
    trainer = make()
    losses = []
    for _ in range(3):
        trainer.step()
        losses.append(trainer.meter.read(0.0).loss)
    assert len(set(losses)) == 3
    assert trainer.table_meter.read(0.0).loss == pytest.approx(sum(losses) / 3)


@pytest.mark.parametrize("max_grad_norm", [0.1, 1e9, None])
def test_gradient_norms_before_and_after_clipping(max_grad_norm: float | None) -> None:
    trainer = make(max_grad_norm=max_grad_norm)
    norms = []
    for _ in range(3):
        trainer.step()
        norms.append(trainer.table_meter.read(0.0).grad_norm)
    figures = trainer.meter.read(0.0)
    assert figures.grad_norm == pytest.approx(sum(norms) / 3)
    assert min(norms) > 0.1
    assert figures.grad_norm_clipped == pytest.approx(0.1 if max_grad_norm == 0.1 else figures.grad_norm)


def test_norms_of_weights() -> None:
    trainer = make()
    norms = trainer.weight_norms()
    expected = {name: p.detach().square().sum().sqrt().item() for name, p in trainer.model.named_parameters()}
    assert norms == pytest.approx(expected, rel=1e-5)


def test_a_meter_of_lmtrain_0_1_0_goes_on() -> None:
    """It had two sums; the norms after clipping are unknown until it is read."""
    trainer = make(max_grad_norm=0.1)
    trainer.step()
    state = trainer.meter.state_dict()
    expected = trainer.table_meter.read(0.0)
    trainer.meter.load_state_dict({**state, "sums": state["sums"][:2].clone()})
    figures = trainer.meter.read(0.0)
    assert (figures.loss, figures.grad_norm) == (expected.loss, expected.grad_norm)
    assert math.isnan(figures.grad_norm_clipped)
    trainer.step()
    assert trainer.meter.read(0.0).grad_norm_clipped == pytest.approx(0.1)


def test_divergence_names_the_step_and_keeps_the_weights() -> None:
    trainer = make()
    trainer.step()
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.hidden[0][1][2, 3] = math.nan
    with pytest.raises(DivergenceError, match="step 2 is not finite"):
        trainer.step()
    assert all(torch.equal(a, b) for a, b in zip(trainer.model.parameters(), before, strict=True))


def test_weights_that_overflow_are_not_worth_keeping() -> None:
    trainer = make(lr=1e39, max_grad_norm=None)
    trainer.step()
    with pytest.raises(DivergenceError, match="weight is not finite after step 1"):
        trainer.check_weights()


def test_lines_start_from_the_initial_state_and_padding_is_not_counted() -> None:
    lines = [[1, 2, 3], [4], [5, 6, 7, 8, 9]]
    ids = np.array([token for line in lines for token in [*line, 0]], dtype=np.int32)
    windows = LineIterator(ids, np.flatnonzero(ids == 0), 0, batch_size=3)
    model = LanguageModel(V, 5, 6, 1)
    initialize(model, torch.Generator().manual_seed(0))
    expected = 0.0
    for line in lines:
        x, y = torch.tensor([[0, *line]]).t(), torch.tensor([[*line, 0]]).t()
        expected += model.loss(x, y, model.initial_state(1))[0].item()
    trainer = Trainer(
        model, windows, Optimizer(model.parameters(), "sgd", 0.1), Constant(), Noise(torch.Generator())
    )
    trainer.step()
    assert trainer.hidden is None
    assert trainer.meter.read(0.0).loss == pytest.approx(expected / 12, rel=1e-5)


def test_padding_gives_no_gradient() -> None:
    """The gradient of a padded batch is the mean of those of its lines alone, weighted by tokens."""
    lines = [[1, 2, 3, 4, 5, 6], [7], [8, 9]]
    ids = np.array([token for line in lines for token in [*line, 0]], dtype=np.int32)
    model = LanguageModel(V, 5, 6, 2)
    initialize(model, torch.Generator().manual_seed(0))
    x, y = next(LineIterator(ids, np.flatnonzero(ids == 0), 0, batch_size=3))
    model.loss(x, y, model.initial_state(3))[0].backward()
    together = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for line in lines:
        x, y = torch.tensor([[0, *line]]).t(), torch.tensor([[*line, 0]]).t()
        model.loss(x, y, model.initial_state(1))[0].backward()
    for got, parameter in zip(together, model.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad, rtol=1e-4, atol=1e-6)


def penalized(reduction: str, lr: float, penalty: ActivationPenalty | None) -> Trainer:
    trainer = make(lr, reduction, max_grad_norm=None)
    trainer._penalty = penalty
    return trainer


def test_penalties_agree_between_the_reductions_and_are_not_logged() -> None:
    penalty = ActivationPenalty(2.0, 1.0)
    mean, summed = penalized("mean", 0.7, penalty), penalized("sum_over_time", 0.1, penalty)  # T is 7
    plain = penalized("mean", 0.7, None)
    for trainer in (mean, summed, plain):
        trainer.step()
    weights = [list(trainer.model.weights().values()) for trainer in (mean, summed, plain)]
    torch.testing.assert_close(weights[0], weights[1])
    assert not torch.allclose(weights[0][1], weights[2][1])
    losses = [trainer.meter.read(0.1).loss for trainer in (mean, summed, plain)]
    assert losses[0] == losses[1] == losses[2]


def test_the_gradient_is_that_of_loss_and_penalty_together() -> None:
    trainer, model = penalized("mean", 0.7, ActivationPenalty(2.0, 1.0)), make().model
    input_ids, targets = next(ParallelSequentialIterator(IDS, 4, 7))
    nats, reading = model.loss(input_ids, targets, model.initial_state(4))
    y = reading.raw[-1]
    (nats / 28 + 2 * (y**2).mean() + ((y[1:] - y[:-1]) ** 2).mean()).backward()
    trainer.step()
    for after, before in zip(trainer.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(after, before - 0.7 * before.grad)


def test_the_rate_of_a_window_is_in_proportion_to_its_length() -> None:
    trainer = make(lr=0.5)
    trainer.windows = ParallelSequentialIterator(IDS, 4, 7, lengths=RandomLengths(7, seed=1))
    trainer._bptt_len = 7
    rates, lengths = [], RandomLengths(7, seed=1)
    for _ in range(4):
        trainer.step()
        rates.append(trainer.optimizer.lr)
    assert rates == pytest.approx([0.5 * lengths[i] / 7 for i in range(4)])
    assert len(set(rates)) > 1
