"""The one loop over a held-out text: what it hands out, and strategies that look at it or change a copy."""

import copy

import numpy as np
import pytest
import torch
from tiny_models import EOS, VOCAB, corpus_of, make_model, random_lines
from torch import Tensor

from lmtrain.inference.adapt import Adaptation
from lmtrain.inference.evaluation import evaluate
from lmtrain.inference.reader import Reader, ReadWindow, Strategy
from lmtrain.inference.score import Scorer, token_nats
from lmtrain.inference.windows import coming_windows, held_out_windows, stream_windows
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.softmax import TokenCosts

CORPUS = corpus_of(random_lines(40))


@pytest.mark.parametrize("options", [{"context": "line"}, {"context": "stream", "streams": 3}])
def test_each_target_is_handed_out_once_without_padding(options: dict[str, object]) -> None:
    reader, found = Reader(make_model()), np.full(CORPUS.num_tokens, -1)
    for read, costs in reader.costs(held_out_windows(CORPUS, **options)):  # type: ignore[arg-type]
        assert len(read.positions) == len(read.targets) == len(read.features) == len(costs.nats)
        assert (found[read.positions] == -1).all()
        found[read.positions] = read.targets
    assert found.tolist() == CORPUS.ids.tolist()


def test_features_and_state_are_those_of_the_model() -> None:
    model = make_model()
    (read, _), *_ = Reader(model).costs(stream_windows(CORPUS.ids, EOS))
    reading = model(read.window.input_ids, model.initial_state(1))
    torch.testing.assert_close(read.features, reading.features[:, 0])
    torch.testing.assert_close(read.state, reading.state)


def test_a_text_may_come_in_pieces() -> None:
    model, cut = make_model(), 50
    reader = Reader(model)
    first, second = np.split(CORPUS.ids, [cut])
    pieces = [coming_windows(first, EOS, 16, 0), coming_windows(second, EOS, 16, cut)]
    nats = torch.cat([costs.nats for piece in pieces for _, costs in reader.costs(piece)])
    whole = token_nats(model, stream_windows(CORPUS.ids, EOS), CORPUS.num_tokens)
    assert nats[:cut].tolist() == pytest.approx(whole[:cut], rel=1e-5)
    # The first token of a piece stands after an <eos>, as that of a text.
    again = Reader(model)
    list(again.costs(stream_windows(CORPUS.ids[:cut], EOS)))
    fresh = torch.cat([costs.nats for _, costs in again.costs(stream_windows(CORPUS.ids[cut:], EOS))])
    assert nats[cut:].tolist() != pytest.approx(fresh.tolist(), rel=1e-5)


def test_between_windows_the_modes_of_the_caller_are_in_force() -> None:
    model = make_model().train()
    for _ in Reader(model, torch.bfloat16).costs(stream_windows(CORPUS.ids, EOS, window_len=9)):
        assert model.training
        assert model.precision == torch.float32
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


class Unigrams(Strategy):
    """Half of each probability is that of the words read before this window: a cache, as simple as can be."""

    def begin(self, model: LanguageModel) -> None:
        super().begin(model)
        self.counts = torch.ones(model.vocab_size)

    def token_costs(self, read: ReadWindow) -> TokenCosts:
        log_probs = self.model.softmax.logits(read.features).log_softmax(1)
        log_probs = (0.5 * log_probs.exp() + 0.5 * self.counts / self.counts.sum()).log()
        nats = -log_probs.gather(1, read.targets[:, None])[:, 0]
        return TokenCosts(nats, log_probs.argmax(1) == read.targets)

    def learn(self, read: ReadWindow) -> None:
        self.counts += torch.bincount(read.targets, minlength=len(self.counts))


class Descent(Strategy):
    """A step of gradient descent after each window."""

    mode = torch.enable_grad

    def begin(self, model: LanguageModel) -> None:
        self.model = copy.deepcopy(model)

    @torch.no_grad()
    def token_costs(self, read: ReadWindow) -> TokenCosts:
        return super().token_costs(read)

    def learn(self, read: ReadWindow) -> None:
        weights = list(self.model.parameters())
        loss = self.model.softmax.loss(read.features, read.targets)
        with torch.no_grad():
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight -= 0.01 * gradient


def test_a_strategy_sees_what_was_read_and_decides_what_it_costs() -> None:
    model = make_model()
    result = evaluate(model, stream_windows(CORPUS.ids, EOS, window_len=10), VOCAB, strategy=Unigrams())
    plain = token_nats(model, stream_windows(CORPUS.ids, EOS), CORPUS.num_tokens)
    counts, expected = np.ones(len(VOCAB)), []
    for start in range(0, CORPUS.num_tokens, 10):
        part = CORPUS.ids[start : start + 10]
        expected += [
            -np.log(0.5 * np.exp(-plain[start + i]) + 0.5 * counts[token] / counts.sum())
            for i, token in enumerate(part)
        ]
        counts += np.bincount(part, minlength=len(counts))
    assert result.nll_nats == pytest.approx(sum(expected), rel=1e-5)


def test_a_strategy_may_change_a_copy_of_the_weights() -> None:
    model = make_model()
    before = [weight.clone() for weight in model.parameters()]
    windows = list(stream_windows(CORPUS.ids, EOS, window_len=10))
    adapted = token_nats(model, windows, CORPUS.num_tokens, strategy=Descent())
    plain = token_nats(model, windows, CORPUS.num_tokens)
    assert all(map(torch.equal, model.parameters(), before))
    assert adapted[:10].tolist() == pytest.approx(plain[:10], rel=1e-6)  # nothing is learnt yet
    assert adapted.sum() < plain.sum()  # a model of random weights learns
    assert _by_hand(make_model(), windows) == pytest.approx(adapted.tolist(), rel=1e-4)


def _by_hand(model: LanguageModel, windows: list[tuple[Tensor, ...]]) -> list[float]:
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    state, found = model.initial_state(1), []
    for input_ids, targets, *_ in windows:
        reading = model(input_ids, [tuple(t.detach() for t in layer) for layer in state])
        state = reading.state
        costs = torch.nn.functional.cross_entropy(
            model.softmax.logits(reading.features[:, 0]), targets[:, 0], reduction="none"
        )
        found += costs.tolist()
        optimizer.zero_grad()
        costs.sum().backward()
        optimizer.step()
    return found


def test_a_strategy_reads_lines_as_they_come() -> None:
    class Adapting(Adaptation):
        def strategy(self, statistics: object = None) -> Strategy:
            return Unigrams()

    model, lines = make_model(), random_lines(20)
    together = Scorer(model, VOCAB, "stream", adaptation=Adapting()).score(lines)
    scorer = Scorer(model, VOCAB, "stream", adaptation=Adapting())
    one_by_one = [scorer.score([line])[0] for line in lines]
    assert one_by_one[0].nats.tolist() == pytest.approx(together[0].nats.tolist(), rel=1e-5)
    assert sum(line.nats.sum() for line in one_by_one) != pytest.approx(
        sum(line.nats.sum() for line in together), rel=1e-6
    )  # what was read is taken note of after each call
