"""The most probable texts after a prompt, searched for with a beam."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmtrain.corpus.vocab import Vocabulary
from lmtrain.inference.continuation import Continuation, Length
from lmtrain.inference.prompts import read_prompts, rows_of
from lmtrain.model.language_model import LanguageModel

_NO_WORD = -1


@dataclass(frozen=True)
class BeamSearch:
    """Keeps the best hypotheses, ``width`` of them, at every step; nothing is left to chance.

    A hypothesis is scored by ln p / n^length_penalty, n being its number of tokens, ``<eos>`` included. One
    that has ended keeps its place as long as ``width`` others are not better; the search is over when all
    have ended.

    Source: Graves (2012), "Sequence transduction with recurrent neural networks", for hypotheses that stay
    in the beam; Wu et al. (2016), "Google's neural machine translation system", for normalising by a power
    of the length, here in its plain form.

    Raises:
        ValueError: A value is out of range; names it.
    """

    width: int
    """Hypotheses kept."""
    length_penalty: float = 1.0
    """0 prefers short texts, as probabilities do; 1 compares nats per token; more prefers long ones."""
    allow_unk: bool = False
    """Whether ``<unk>`` may be produced."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"beam must be at least 1, not {self.width}")
        if not 0 <= self.length_penalty < float("inf"):
            raise ValueError(
                f"length-penalty must be a finite number of at least 0, not {self.length_penalty}"
            )


@torch.inference_mode()
def beam_search(
    model: LanguageModel,
    vocab: Vocabulary,
    prompts: Sequence[Sequence[int]],
    *,
    length: Length,
    num_best: int,
    search: BeamSearch,
) -> list[list[Continuation]]:
    """Continues prompts, read and searched side by side.

    Args:
        model: In training or evaluation mode, which it is left in.
        vocab: Of the model.
        prompts: P lists of ids, at least one; each starts a line.
        length: Where texts end.
        num_best: Hypotheses wanted of each prompt.
        search: How they are found.

    Returns:
        For each prompt its best hypotheses, the best one first: fewer than asked for where there are no more.
    """
    with model.evaluating():
        features, state = read_prompts(model, prompts, vocab.eos_id)
        beam = _Beam(len(prompts), search, model.device)
        for step in range(length.max_words):
            log_probs = model.softmax.logits(features).log_softmax(dim=1)  # (R, V)
            if not search.allow_unk:
                log_probs[:, vocab.unk_id] = -torch.inf
            words, rows = beam.advance(log_probs, vocab.eos_id, length.num_sentences)
            if len(words) == 0 or step + 1 == length.max_words:
                break
            reading = model(words[None], rows_of(state, rows))
            features, state = reading.features[0], reading.state
        return beam.best(num_best)


class _Beam:
    """The hypotheses of P prompts in K places each; a place may be empty, open, or hold one that has ended.

    Open ones, taken prompt by prompt and place by place, are the rows that the model is asked about.
    """

    def __init__(self, num_prompts: int, search: BeamSearch, device: torch.device) -> None:
        self.search = search
        shape = (num_prompts, search.width)
        self.log_probs = torch.full(shape, -torch.inf, dtype=torch.float64, device=device)  # of empty places
        self.log_probs[:, 0] = 0.0
        self.is_open = self.log_probs == 0
        self.num_tokens = torch.zeros(shape, dtype=torch.int64, device=device)
        self.num_eos = torch.zeros_like(self.num_tokens)
        self.history: list[tuple[Tensor, Tensor]] = []
        """For each step and place: the place at the step before, and the word added there."""

    def advance(self, log_probs: Tensor, eos_id: int, num_sentences: int | None) -> tuple[Tensor, Tensor]:
        """Adds a word to each open hypothesis and keeps the best; nothing of probability 0.

        Args:
            log_probs: ln p of the next word, shape (R, V), a row for each open hypothesis.
            eos_id: The word that ends a sentence.
            num_sentences: How many of them end a hypothesis.

        Returns:
            The last words of the hypotheses now open, and the rows of ``log_probs`` that they come from.
        """
        width = self.search.width
        totals, words = self._candidates(log_probs)  # (P, K, k + 1)
        added = (words != _NO_WORD).long()
        lengths = (self.num_tokens[..., None] + added).clamp(min=1)
        # Not infinite: ln p of an empty place is.
        divisors = lengths.double().pow(self.search.length_penalty).clamp(max=torch.finfo(torch.float64).max)
        scores = (totals / divisors).flatten(1)
        # Stable: among equals, the one whose beginning was better comes first.
        order = scores.sort(dim=1, descending=True, stable=True).indices[:, :width]
        parents = order // words.shape[2]
        rows = (self.is_open.flatten().cumsum(0) - 1).view_as(parents).gather(1, parents)
        last = words.flatten(1).gather(1, order)
        self.log_probs = totals.flatten(1).gather(1, order)
        self.num_tokens = self.num_tokens.gather(1, parents) + (last != _NO_WORD)
        self.num_eos = self.num_eos.gather(1, parents) + (last == eos_id)
        self.is_open = (self.log_probs != -torch.inf) & (last != _NO_WORD)
        if num_sentences is not None:
            self.is_open &= self.num_eos < num_sentences
        self.history.append((parents, last))
        return last[self.is_open], rows[self.is_open]

    def _candidates(self, log_probs: Tensor) -> tuple[Tensor, Tensor]:
        """What each place can become, by k words or none: ln p and the word, both (P, K, k + 1)."""
        values, best = _best_words(log_probs, min(self.search.width, log_probs.shape[1]))
        shape = (*self.log_probs.shape, values.shape[1] + 1)
        totals = torch.full(shape, -torch.inf, dtype=torch.float64, device=values.device)
        words = torch.full(shape, _NO_WORD, device=values.device)
        totals[..., -1] = self.log_probs.masked_fill(self.is_open, -torch.inf)
        totals[self.is_open, :-1] = self.log_probs[self.is_open][:, None] + values
        words[self.is_open, :-1] = best
        return totals, words

    def best(self, number: int) -> list[list[Continuation]]:
        """The best hypotheses of each prompt, the best one first."""
        steps = [(parents.tolist(), words.tolist()) for parents, words in self.history]
        found = []
        for prompt, log_probs in enumerate(self.log_probs.tolist()):
            places = [place for place, total in enumerate(log_probs) if total != -torch.inf][:number]
            found.append([Continuation(_traced(steps, prompt, p), log_probs[p]) for p in places])
        return found


def _traced(steps: list[tuple[list[list[int]], list[list[int]]]], prompt: int, place: int) -> list[int]:
    """The words of a hypothesis, followed from its last place back to its first."""
    ids = []
    for parents, words in reversed(steps):
        ids.append(words[prompt][place])
        place = parents[prompt][place]
    return [word for word in reversed(ids) if word != _NO_WORD]


def _best_words(log_probs: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The best words of each row and their ln p, (R, number): of equals, the first word is the better."""
    values, words = log_probs.topk(number)
    has_ties = (values[:, 1:] == values[:, :-1]).any() | (
        (log_probs >= values[:, -1:]).sum() > values.numel()
    )
    if has_ties:  # which topk breaks as it likes
        values, words = (part[:, :number] for part in log_probs.sort(dim=1, descending=True, stable=True))
    return values, words
