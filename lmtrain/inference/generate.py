"""Text out of a language model, word by word."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
    if sampling.temperature != 1:
        # The best word stands at 0, so that no temperature, however low, makes infinities to subtract.
        temperature = max(sampling.temperature, torch.finfo(logits.dtype).tiny)
        logits = logits.sub_(logits.amax(dim=1, keepdim=True)).div_(temperature)
    return _inverse_cdf(_filtered(logits.softmax(dim=1), sampling), draw)


def _inverse_cdf(probabilities: Tensor, draw: Tensor) -> Tensor:
    """The words at which the cumulative distributions pass the draws; none of probability 0.

    Looked for in two levels, blocks of words and words in the block found, since cumulative sums over a
    whole vocabulary take longer than all the rest.

    Args:
        probabilities: (S, V), not normalised, some positive in each row.
        draw: In [0, 1), float64, shape (S).
    """
    num_samples, num_words = probabilities.shape
    size = math.isqrt(num_words - 1) + 1
    blocks = nn.functional.pad(probabilities, (0, -num_words % size)).view(num_samples, -1, size)
    ends = blocks.sum(dim=2).cumsum(dim=1, dtype=torch.float64)
    # Below the last end, however it is rounded: a draw is at most 1 - 2^-53.
    point = draw[:, None] * ends[:, -1:]
    # NaN, of a model that diverged, is passed nowhere: any word will do, but one of the vocabulary.
    block = torch.searchsorted(ends, point, right=True).clamp(max=ends.shape[1] - 1)
    point -= nn.functional.pad(ends, (1, 0)).gather(1, block)
    within = blocks.gather(1, block[..., None].expand(-1, -1, size))[:, 0].cumsum(dim=1, dtype=torch.float64)
    # Here it need not be: the sum of the block was rounded.
    point = torch.minimum(point, torch.nextafter(within[:, -1:], within.new_zeros(())))
    word = block * size + torch.searchsorted(within, point, right=True)
    return word[:, 0].clamp(max=num_words - 1)


def _filtered(probabilities: Tensor, sampling: Sampling) -> Tensor:
    """The probabilities (S, V) with 0 for each word that top-k and then top-p rule out; not normalised."""
    if sampling.top_k is None and sampling.top_p is None:
        return probabilities
    num_words = probabilities.shape[1]
    # The bits of a probability, as a whole number, and the word: no two are equal, and of equally probable
    # words the first counts as the more probable, as in argmax.
    words = torch.arange(num_words, device=probabilities.device)
    keys = (probabilities.view(torch.int32).long() << 32) - words
    order = keys.topk(min(sampling.top_k or num_words, num_words)).indices
    ranked = probabilities.gather(1, order)
    if sampling.top_p is not None:
        cumulative = ranked.cumsum(dim=1, dtype=torch.float64)
        ranked[cumulative - ranked >= sampling.top_p * cumulative[:, -1:]] = 0.0
    return torch.zeros_like(probabilities).scatter_(1, order, ranked)
