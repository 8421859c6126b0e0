"""Reading strategies that learn from what they have read: a cache, dynamic evaluation, both; a temperature.

All are exact in order: the distribution that a word is scored with depends on the words before it alone. The
model that is read with stays as it is; what is learnt goes into a copy, which ends with the reading.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from lmtrain.inference.reader import Reader, ReadWindow, Strategy
from lmtrain.inference.windows import WINDOW_TOKENS, HeldOutWindow
from lmtrain.model.fused_softmax import costs_of_logits, row_chunks, row_groups
from lmtrain.model.language_model import LanguageModel, ModelState, detach
from lmtrain.model.products import linear
from lmtrain.model.softmax import FullSoftmax, TokenCosts, TokenDetails, are_best, top

Statistics = Mapping[str, Tensor]
"""Of each weight by name: the root of the mean square of its gradient over the training text."""

_EPSILON = 1e-8
_STEPS_A_PULL = 10
"""A pull takes a pass over all weights and those they are drawn to, which costs as much as a step."""


@dataclass(frozen=True)
class Cache:
    """A distribution over the words read last, by how alike their contexts are to the present one.

    With h_t what the softmax predicts word x_{t+1} from::

        p_cache(w | t) ∝ sum of exp(theta h_t · h_i) over i in [t - window, t - 1] with x_{i+1} = w
        p(w | t)       = (1 - weight) p_model(w | t) + weight p_cache(w | t)

    Source: Grave, Joulin and Usunier (2017), "Improving neural language models with a continuous cache".

    Raises:
        ValueError: A value is out of range; names it.
    """

    window: int = 2000
    """Words that are remembered."""
    theta: float = 0.3
    """How much alike contexts count for more; 0 counts words alone."""
    weight: float = 0.1
    """λ, the share of the cache in each probability."""

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"cache-window must be at least 1, not {self.window}")
        if self.theta < 0:
            raise ValueError(f"cache-theta must be at least 0, not {self.theta}")
        if not 0 <= self.weight < 1:
            raise ValueError(f"cache-weight must be at least 0 and less than 1, not {self.weight}")

    def __str__(self) -> str:
        return f"cache({self.window},{self.theta},{self.weight})"


@dataclass(frozen=True)
class Dynamic:
    """Dynamic evaluation: after every few words, a step of gradient descent on what they cost.

    ``sgd`` follows the gradient g of the summed cost. ``rms`` divides it by the root mean square R of its
    kind over the training text. Both draw the weights back to the trained ones, ``rms`` the more the larger
    R is; ``sgd`` makes up for ten steps at once::

        sgd   θ ← θ - lr g + min(1, decay) (θ_trained - θ)
        rms   θ ← θ - lr g / (R + ε) + min(1, decay R / mean R) (θ_trained - θ)

    Source: Mikolov et al. (2010), "Recurrent neural network based language model"; Krause, Kahembwe, Murray
    and Renals (2018), "Dynamic evaluation of neural sequence models", for ``rms``.

    Raises:
        ValueError: A value is out of range; names it.
    """

    lr: float = 0.02
    every: int = 20
    """Words between two steps, and that a gradient goes back."""
    rule: str = "sgd"
    """``sgd`` or ``rms``."""
    decay: float = 0.005
    """Towards the trained weights at each step."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"dynamic-lr must be greater than 0, not {self.lr}")
        if self.every < 1:
            raise ValueError(f"dynamic-every must be at least 1, not {self.every}")
        if self.rule not in ("sgd", "rms"):
            raise ValueError(f"dynamic-rule must be sgd or rms, not {self.rule}")
        if self.decay < 0:
            raise ValueError(f"dynamic-decay must be at least 0, not {self.decay}")

    def __str__(self) -> str:
        has_decay = self.decay > 0 or self.rule == "rms"
        return f"dynamic({self.rule},{self.lr},{self.every}{f',{self.decay}' if has_decay else ''})"


@dataclass(frozen=True)
class Adaptation:
    """How a model adapts to a text while it reads it.

    Raises:
        ValueError: The temperature is not positive.
    """

    cache: Cache | None = None
    dynamic: Dynamic | None = None
    temperature: float = 1.0
    """What logits are divided by before anything else: above 1, the model is less sure."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature must be greater than 0, not {self.temperature}")

    def to_dict(self) -> dict[str, Any]:
        """All values, as JSON has them; ``from_dict`` takes them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From what ``to_dict`` gave.

        Raises:
            ValueError, TypeError, KeyError: It is something else.
        """
        cache, dynamic = values["cache"], values["dynamic"]
        return cls(cache and Cache(**cache), dynamic and Dynamic(**dynamic), float(values["temperature"]))

    def __str__(self) -> str:
        return "+".join(str(part) for part in (self.cache, self.dynamic) if part) or "none"

    @property
    def is_plain(self) -> bool:
        """Whether nothing is changed at all."""
        return self == Adaptation()

    @property
    def is_ordered(self) -> bool:
        """Whether what is read first changes what is read later: a text is then one stream, read in order."""
        return bool(self.cache or self.dynamic)

    @property
    def window_len(self) -> int:
        """Words to be read at once."""
        return self.dynamic.every if self.dynamic else WINDOW_TOKENS

    def strategy(self, statistics: Statistics | None = None) -> Strategy:
        """A reading of one text; ``statistics`` are for ``rms``."""
        return Strategy() if self.is_plain else AdaptedReading(self, statistics)


class AdaptedReading(Strategy):
    """Reads one text as an ``Adaptation`` says.

    Args:
        adaptation: What to learn.
        statistics: Of the weights by name, for the rule ``rms``.
    """

    def __init__(self, adaptation: Adaptation, statistics: Statistics | None = None) -> None:
        self._temperature = adaptation.temperature
        self._cache = adaptation.cache
        self._memory = Memory(adaptation.cache.window) if adaptation.cache else None
        self._options = adaptation.dynamic
        self._statistics = statistics
        self._descent: _Sgd | _Rms | None = None
        if adaptation.dynamic:
            self.mode = torch.enable_grad
            self.not_a_number = (
                f"{adaptation.dynamic}: scores are no longer numbers (NaN), as its steps are too long; "
                "a lower dynamic.lr helps"
            )
        self._keeps_logits = False
        self._kept_logits: Tensor | None = None
        """Of a window: what its targets cost and the step after them need the same."""
        self._open: list[tuple[Tensor, Tensor, Tensor | None]] = []
        """Features, targets and logits of a window that is not complete yet, its graph with them."""

    def begin(self, model: LanguageModel) -> None:
        """Takes the model, or a copy where weights are to change."""
        self.model = model
        if self._options is None:
            return
        self.model = copy.deepcopy(model)
        if self._options.rule == "sgd":
            self._descent = _Sgd(self.model, self._options, model)
            # Other softmaxes find costs without the logits of all words.
            self._keeps_logits = isinstance(self.model.softmax, FullSoftmax)
        elif self._statistics is None:
            raise ValueError("the rule rms needs statistics of the training text")
        else:
            self._descent = _Rms(self.model, self._options, self._statistics)

    @torch.no_grad()
    def token_costs(self, read: ReadWindow) -> TokenCosts:
        """What each target costs; see ``Strategy``."""
        if self._cache is None and self._temperature == 1 and not self._keeps_logits:
            return super().token_costs(read)
        nats, hits = torch.empty(len(read.targets)), torch.empty(len(read.targets), dtype=torch.bool)
        past = self._past(read)
        for rows in row_chunks(read.features, self.model.vocab_size):
            logits = self._logits(read, rows)
            for part in row_groups(logits):
                places = slice(rows.start + part.start, rows.start + part.stop)
                index = read.targets[places, None]
                costs, probabilities = costs_of_logits(logits[part], index)
                found = TokenCosts(costs[:, 0], are_best(probabilities, index))
                if past is not None:
                    found = self._with_cache(found.nats, probabilities, index, past.look_back(places))
                nats[places], hits[places] = found.nats.cpu(), found.hits.cpu()
            del logits, probabilities  # before the next chunk takes as much memory again
        return TokenCosts(nats, hits)

    @torch.no_grad()
    def token_details(self, read: ReadWindow, num_top: int = 0) -> TokenDetails:
        """The same, and what was expected in the place of each; see ``Strategy``."""
        parts, past = [], self._past(read)
        for rows in row_chunks(read.features, self.model.vocab_size):
            log_probs, index = self._logits(read, rows).log_softmax(dim=1), read.targets[rows, None]
            if past is not None:
                log_probs = self._mixed(log_probs, past.look_back(rows))
            own = log_probs.gather(1, index)
            entropy = -torch.linalg.vecdot(log_probs.exp(), log_probs.clamp(min=-1e30))
            rank = (log_probs > own).sum(dim=1) + 1
            parts.append((-own[:, 0], entropy, rank, *top(log_probs, num_top)))
        return TokenDetails(*map(torch.cat, zip(*parts, strict=True)))

    def learn(self, read: ReadWindow) -> None:
        """Remembers what was read, and changes the copy of the weights."""
        if self._memory is not None:
            self._memory.remember(read.features.detach().float(), read.targets)
        if self._descent is None:
            return
        self._open.append((read.features, read.targets, self._kept_logits))
        self._kept_logits = None
        if not read.window.is_open:
            features, targets, logits = zip(*self._open, strict=True)
            known = [each for each in logits if each is not None]
            self._open = []
            self._descent.step(torch.cat(features), torch.cat(targets), torch.cat(known) if known else None)

    def carried(self, state: ModelState) -> ModelState:
        """See ``Strategy``. A gradient goes back through all parts of a window that comes in several."""
        return state if self._open else detach(state)

    def _logits(self, read: ReadWindow, rows: slice) -> Tensor:
        """Of all words in the places of some targets of a window, (rows, V), at the temperature."""
        if not self._keeps_logits:
            logits = self.model.softmax.logits(read.features[rows].detach())
            return logits if self._temperature == 1 else logits.div_(self._temperature)
        if self._kept_logits is None:
            self._kept_logits = self.model.softmax.logits(read.features.detach())
        return self._kept_logits[rows] / self._temperature

    def _past(self, read: ReadWindow) -> "Past | None":
        if self._memory is None:
            return None
        return self._memory.followed_by(read.features.detach().float(), read.targets)

    def _with_cache(
        self, nats: Tensor, probabilities: Tensor, index: Tensor, back: tuple[Tensor, Tensor, Tensor]
    ) -> TokenCosts:
        """What targets cost, of the whole distribution no more than that takes; ``back`` by ``look_back``."""
        shares, words, weight = self._shares(back)
        odds = weight / (1 - weight)
        of_cache = shares.mul(words == index).sum(dim=1, keepdim=True)
        own = probabilities.gather(1, index) + odds * of_cache  # but for a factor of 1 - weight, as all below
        # A probability below the range of a float is still known by its logarithm.
        mixed = torch.where(own > 0, -own.log(), nats[:, None]) - torch.log1p(-weight)
        # The most probable word of the mixture is no less probable in it than any is in the model alone.
        hits = (own >= probabilities.amax(dim=1, keepdim=True))[:, 0]
        rows = hits.nonzero()[:, 0]
        more = shares[rows] * odds[rows]
        raised = probabilities[rows].scatter_add_(1, words.expand_as(more), more)
        hits[rows] = are_best(raised, index[rows])
        return TokenCosts(mixed[:, 0], hits)

    def _mixed(self, log_probs: Tensor, back: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Log-probabilities of all words, (rows, V), with the cache."""
        shares, words, weight = self._shares(back)
        mixed = log_probs.exp().mul_(1 - weight)
        mixed.scatter_add_(1, words.expand_as(shares), shares.mul_(weight)).log_()
        # A probability below the range of a float is still known by its logarithm.
        return torch.where(mixed == -torch.inf, log_probs + torch.log1p(-weight), mixed)

    def _shares(self, back: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The share of each word before, (rows, M), those words (M), and the weight of a cache, (rows, 1)."""
        assert self._cache is not None  # noqa: S101
        likeness, distance, words = back
        shares = cache_shares(likeness, distance, self._cache.window, self._cache.theta)
        has_past = (distance > 0).any(dim=1, keepdim=True)
        return shares, words, torch.where(has_past, self._cache.weight, 0.0)


class Memory:
    """The contexts and words that a ``Cache`` looks back to.

    Args:
        window: How many words back it reaches.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._contexts: Tensor | None = None
        self._words: Tensor | None = None

    def remember(self, contexts: Tensor, words: Tensor) -> None:
        """Takes in the N contexts (N, H) and words (N) of a window that has been paid for."""
        past = self.followed_by(contexts, words)
        self._contexts, self._words = (part[-self._window :] for part in (past.contexts, past.words))

    def followed_by(self, contexts: Tensor, words: Tensor) -> "Past":
        """What is remembered and, behind it, the N contexts (N, H) and words (N) of the present window."""
        if self._contexts is None or self._words is None:
            return Past(contexts, words, 0, self._window)
        both = torch.cat([self._contexts, contexts]), torch.cat([self._words, words])
        return Past(*both, len(self._words), self._window)


class Past(NamedTuple):
    """What places of a window look back to: words before the window, and those of the window itself."""

    contexts: Tensor
    """(K + N, H)."""
    words: Tensor
    """(K + N)."""
    num_before: int
    """K, words before the window."""
    window: int
    """How many words back it reaches."""

    def look_back(self, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """What R places of the window have before them, M words altogether.

        Returns:
            How alike each place is to those before it, h_t · h_i, and how far back they lie, t - i, both
            (R, M), where those that are at it or behind it have a distance of at most 0; and their words (M).
        """
        first = rows.start + self.num_before
        here = self.contexts[first : rows.stop + self.num_before]
        end = first + len(here)
        past = slice(max(0, first - self.window), end - 1)
        device = self.words.device
        places = torch.arange(first, end, device=device)
        distance = places[:, None] - torch.arange(past.start, past.stop, device=device)
        return linear(here, self.contexts[past]), distance, self.words[past]


def cache_shares(likeness: Tensor, distance: Tensor, window: int, theta: float) -> Tensor:
    """The share of each word before in the distribution of a cache; 0 in a row that has nothing before it.

    Args:
        likeness: Of the contexts, (R, M); see ``Memory.look_back``.
        distance: How far back, (R, M).
        window: Of the cache.
        theta: Of the cache.
    """
    scores = (theta * likeness).masked_fill_((distance < 1) | (distance > window), -torch.inf)
    return scores.softmax(dim=1).nan_to_num_(0.0)


def gradient_roots(model: LanguageModel, windows: Iterable[HeldOutWindow]) -> dict[str, Tensor]:
    """Of each weight by name the root of the mean square of its gradient, of the summed cost of a window.

    Args:
        model: In any mode; it is left as it is.
        windows: Of the training text.
    """
    model = copy.deepcopy(model)
    named = dict(model.named_parameters())
    squares = {name: torch.zeros_like(weight.requires_grad_()) for name, weight in named.items()}
    strategy, count = Strategy(), 0
    strategy.mode = torch.enable_grad
    for gradients in (
        torch.autograd.grad(loss, list(named.values()), allow_unused=True, materialize_grads=True)
        for _, loss in Reader(model, strategy=strategy).read(windows, lambda read: _loss(model, read))
    ):
        for square, gradient in zip(squares.values(), gradients, strict=True):
            square.addcmul_(gradient, gradient)
        count += 1
    return {name: square.div_(max(1, count)).sqrt_().detach() for name, square in squares.items()}


def _loss(model: LanguageModel, read: ReadWindow) -> Tensor:
    return model.softmax.loss(read.features, read.targets)


class _Sgd:
    """Changes the weights of a model by their gradients, and draws them back to those of another."""

    def __init__(self, model: LanguageModel, options: Dynamic, trained: LanguageModel) -> None:
        self._softmax, self._lr = model.softmax, options.lr
        self._pull = 1 - (1 - min(1.0, options.decay)) ** _STEPS_A_PULL
        self._pairs = list(zip(model.parameters(), trained.parameters(), strict=True))
        self._count = 0
        # Of the word vectors those of the words read have a gradient, and few of many words are read at once.
        shared = model.use_sparse_gradients()
        self._below = [model.embedding.weight if shared is None else shared, *model.layers.parameters()]
        for weight in self._below:
            weight.requires_grad_()

    def step(self, features: Tensor, targets: Tensor, logits: Tensor | None = None) -> None:
        """One step on the summed cost of the N targets, predicted from ``features`` (N, H) with a graph.

        ``logits`` (N, V), if they are known, may be overwritten.
        """
        gradient = self._softmax.descend(features.detach(), targets, self._lr, logits)
        gradients = torch.autograd.grad(features, self._below, gradient)
        with torch.no_grad():
            for weight, each in zip(self._below, gradients, strict=True):
                if each.is_sparse:
                    weight.index_add_(0, each._indices()[0], each._values(), alpha=-self._lr)
                else:
                    weight.add_(each, alpha=-self._lr)
            self._count += 1
            if self._pull and self._count % _STEPS_A_PULL == 0:
                for weight, trained in self._pairs:
                    weight.lerp_(trained, self._pull)


class _Rms:
    """Changes the weights of a model by their gradients over what these usually are, and draws them back."""

    def __init__(self, model: LanguageModel, options: Dynamic, statistics: Statistics) -> None:
        named = dict(model.named_parameters())
        self._softmax, self._lr = model.softmax, options.lr
        self._weights = [weight.requires_grad_() for weight in named.values()]
        self._roots = [statistics[name].to(weight.device) for name, weight in named.items()]
        mean = sum(float(root.double().sum()) for root in self._roots) / sum(map(torch.numel, self._roots))
        self._pulls = [(options.decay / mean * root).clamp_(max=1.0) for root in self._roots]
        self._trained = [weight.detach().clone() for weight in self._weights]

    def step(self, features: Tensor, targets: Tensor, logits: Tensor | None = None) -> None:  # noqa: ARG002
        """As of ``_Sgd``."""
        loss = self._softmax.loss(features, targets)
        # A cluster of an adaptive softmax that no word is of has no gradient.
        gradients = torch.autograd.grad(loss, self._weights, allow_unused=True, materialize_grads=True)
        self.follow(gradients)

    @torch.no_grad()
    def follow(self, gradients: Sequence[Tensor]) -> None:
        """The step, given the gradient of each weight."""
        parts = zip(self._weights, gradients, self._roots, self._pulls, self._trained, strict=True)
        for weight, gradient, root, pull, trained in parts:
            weight.lerp_(trained, pull)
            weight.addcdiv_(gradient, root + _EPSILON, value=-self._lr)
