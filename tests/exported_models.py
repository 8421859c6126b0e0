"""Models of every kind that there is, to be taken elsewhere."""

from collections.abc import Callable
from typing import Any

import torch
from tiny_models import H, V, make_model
from torch import Tensor

from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.sampled_softmax import SampledSoftmax

_SOFTMAXES: dict[str, Callable[[], Any]] = {
    "full": lambda: None,
    "sampled": lambda: SampledSoftmax(H, V, 3),
    "adaptive": lambda: AdaptiveSoftmax(H, V, (2, 4), div=2.0),
    "narrow": lambda: AdaptiveSoftmax(H, V, (3,), div=100.0),  # a cluster of less than one unit, made one
    "uncut": lambda: AdaptiveSoftmax(H, V, ()),
}
_VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tied": {"tie_weights": True, "embedding_dim": H},
    "tanh": {"embedding_activation": "tanh"},
}
_SKIPPING = {"skip": {"skip_connections": True}}
Kind = tuple[str, str, str, str]
"""Cell, activation, softmax, and what else there is to it."""
_CELLS = [("elman", "tanh"), ("elman", "relu"), ("concat_elman", "tanh"), ("concat_elman", "relu")]
_CELLS += [("lstm", "tanh"), ("gru", "tanh")]
"""Those that are known elsewhere; others need not be."""

KINDS_OF_TORCH: list[Kind] = [
    *((cell, activation, "full", variant) for cell, activation in _CELLS for variant in _VARIANTS),
    ("lstm", "tanh", "sampled", "plain"),
    ("lstm", "tanh", "adaptive", "plain"),
    ("gru", "tanh", "sampled", "tied"),
    ("concat_elman", "relu", "adaptive", "tanh"),
]
KINDS: list[Kind] = [
    *KINDS_OF_TORCH,
    ("lstm", "tanh", "narrow", "plain"),
    ("lstm", "tanh", "uncut", "plain"),
    *((cell, activation, "full", "skip") for cell, activation in _CELLS),
]
"""With those whose adaptive softmax or skip connections torch would not make."""


def make(kind: Kind) -> LanguageModel:
    """A model of a kind, with opinions; see ``tiny_models``."""
    cell, activation, softmax, variant = kind
    options = {**_VARIANTS, **_SKIPPING}[variant]
    model = make_model(cell=cell, activation=activation, softmax=_SOFTMAXES[softmax](), **options)
    with torch.no_grad():
        for layer in model.recurrent_layers():
            for square in layer.state_maps():
                square *= 0.4  # or states that nothing squashes would explode, and rounding with them
    return model


@torch.inference_mode()
def log_probs(model: LanguageModel, *windows: Tensor) -> list[Tensor]:
    """Of all words after each of windows (T, B) that follow each other, each (T, B, V)."""
    state = model.initial_state(windows[0].shape[1])
    results = []
    for window in windows:
        reading = model(window, state)
        state = reading.state
        results.append(model.softmax.logits(reading.features).log_softmax(dim=-1))
    return results


def windows_of(*shapes: tuple[int, int]) -> list[Tensor]:
    """Word ids of these shapes (T, B)."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(V, shape, generator=generator) for shape in shapes]
