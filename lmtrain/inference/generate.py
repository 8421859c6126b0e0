"""Text out of a language model, word by word."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmtrain.corpus.vocab import EOS, Vocabulary
from lmtrain.model.language_model import LanguageModel


@dataclass(frozen=True)
class Sampling:
    """How the next word is chosen; filters apply in the order of the fields.

    Raises:
        ValueError: A value is out of range; names it.
    """

    allow_unk: bool = False
    """Whether ``<unk>`` may be produced."""
    temperature: float = 1.0
    """Logits are divided by it: below 1 bolder, above 1 more varied."""
    top_k: int | None = None
    """Only the k most probable words."""
    top_p: float | None = None
    """Only the fewest words that together have this probability (Holtzman et al., 2020)."""
    greedy: bool = False
    """The most probable word, always."""

    def __post_init__(self) -> None:
        if not self.temperature > 0 or self.temperature == float("inf"):
            raise ValueError(
                f"temperature must be a finite number above 0, not {self.temperature}; greedy leaves nothing "
                "to chance"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top-k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top-p must be above 0 and at most 1, not {self.top_p}")


@torch.inference_mode()
def generate(
    model: LanguageModel,
    vocab: Vocabulary,
    prompt_ids: Sequence[int],
    *,
    num_words: int,
    num_samples: int = 1,
    sampling: Sampling | None = None,
    seed: int = 1,
) -> list[list[int]]:
    """Continues a prompt, which stands at the start of a line.

    Each sample draws from a generator of its own, made from the seed and its number: the third of three
    samples is the third of three hundred too.

    Args:
        model: In training or evaluation mode, which it is left in.
        vocab: Of the model.
        prompt_ids: May be empty.
        num_words: Tokens to produce for each sample; a line end (``<eos>``) counts as one.
        num_samples: Samples, produced together in one batch.
        sampling: How the next word is chosen.
        seed: Of the draws.

    Returns:
        The ids of each sample, without the prompt.
    """
    if num_words == 0 or num_samples == 0:
        return [[] for _ in range(num_samples)]
    sampling = sampling or Sampling()
    device = model.device
    with model.evaluating():
        context = torch.tensor([[vocab.eos_id], *([i] for i in prompt_ids)], device=device)  # (T, 1)
        features, state = model(context, model.initial_state(1))
        features = features[-1].expand(num_samples, -1)  # (S, H)
        state = [tuple(s.expand(num_samples, -1).contiguous() for s in layer) for layer in state]
        draws = _draws(num_words, num_samples, seed).to(device)
        produced = []
        for draw in draws:
            words = _choose(model.softmax.logits(features), draw, sampling, vocab.unk_id)
            produced.append(words)
            features, state = model(words[None], state)
            features = features[0]
        return torch.stack(produced, dim=1).tolist()


def to_text(words: Sequence[str]) -> str:
    """Words as text: spaces between them, a line break for each ``<eos>``."""
    lines: list[list[str]] = [[]]
    for word in words:
        if word == EOS:
            lines.append([])
        else:
            lines[-1].append(word)
    return "\n".join(map(" ".join, lines))


def _draws(num_words: int, num_samples: int, seed: int) -> Tensor:
    """Uniform numbers in [0, 1), float64, shape (num_words, num_samples), a column a sample."""
    seeds = torch.randint(2**62, (num_samples,), generator=torch.Generator().manual_seed(seed))
    columns = [
        torch.rand(num_words, dtype=torch.float64, generator=torch.Generator().manual_seed(int(s)))
        for s in seeds
    ]
    return torch.stack(columns, dim=1)


def _choose(logits: Tensor, draw: Tensor, sampling: Sampling, unk_id: int) -> Tensor:
    """One word a row of ``logits`` (S, V), by the inverse of the cumulative distribution."""
    if not sampling.allow_unk:
        logits[:, unk_id] = -torch.inf
    if sampling.greedy:
        return logits.argmax(dim=1)
    # The best word stands at 0, so that no temperature, however low, makes infinities to subtract.
    logits = logits.double()
    logits = (logits - logits.max(dim=1, keepdim=True).values) / sampling.temperature
    cumulative = _filtered(logits.softmax(dim=1), sampling).cumsum(dim=1)
    chosen = torch.searchsorted(cumulative, draw[:, None] * cumulative[:, -1:], right=True)
    return chosen[:, 0].clamp(max=logits.shape[1] - 1)


def _filtered(probabilities: Tensor, sampling: Sampling) -> Tensor:
    """The probabilities (S, V) with 0 for each word that top-k and then top-p rule out; not normalised."""
    if sampling.top_k is None and sampling.top_p is None:
        return probabilities
    # Stable: of equally probable words the first counts as the more probable, as in argmax.
    ranked, order = probabilities.sort(dim=1, descending=True, stable=True)
    if sampling.top_k is not None:
        ranked[:, sampling.top_k :] = 0.0
    if sampling.top_p is not None:
        before = ranked.cumsum(dim=1) - ranked
        ranked[before >= sampling.top_p * ranked.sum(dim=1, keepdim=True)] = 0.0
    return probabilities.scatter(1, order, ranked)
