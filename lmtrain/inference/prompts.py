"""Prompts of any length, read side by side."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lmtrain.inference.windows import WINDOW_TOKENS
from lmtrain.model.language_model import LanguageModel, ModelState


def read_prompts(
    model: LanguageModel, prompts: Sequence[Sequence[int]], eos_id: int
) -> tuple[Tensor, ModelState]:
    """Reads prompts, each from the start of a line, and no padding after any.

    Args:
        model: In evaluation mode.
        prompts: P lists of ids, at least one; a list may be empty.
        eos_id: What stands before each prompt.

    Returns:
        What the softmax predicts the word after each prompt from, shape (P, H), and the state there.
    """
    # The longest first: those that are not at their end yet are the first rows of the batch.
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
    lines = [[eos_id, *prompts[i]] for i in order]
    state = model.initial_state(len(lines))
    ends: list[tuple[Tensor, ModelState]] = []  # of the shortest prompts first
    begin = 0
    while lines:
        end = min(len(lines[-1]), begin + max(1, WINDOW_TOKENS // len(lines)))
        window = torch.tensor([line[begin:end] for line in lines], device=model.device).t()  # (T, B)
        reading = model(window.contiguous(), state)
        features, state = reading.features, reading.state
        begin = end
        while lines and len(lines[-1]) == end:
            lines.pop()
        if len(lines) < window.shape[1]:
            ends.append((features[-1, len(lines) :], rows_of(state, slice(len(lines), None))))
            state = rows_of(state, slice(len(lines)))
    features, state = _joined(ends[::-1])
    back = torch.tensor(order, device=model.device).argsort()
    return features[back], rows_of(state, back)


def rows_of(state: ModelState, rows: slice | Tensor) -> ModelState:
    """The state of some rows of a batch."""
    return [tuple(tensor[rows] for tensor in layer) for layer in state]


def _joined(parts: Sequence[tuple[Tensor, ModelState]]) -> tuple[Tensor, ModelState]:
    features, states = zip(*parts, strict=True)
    layers = zip(*states, strict=True)
    return torch.cat(features), [tuple(map(torch.cat, zip(*layer, strict=True))) for layer in layers]
