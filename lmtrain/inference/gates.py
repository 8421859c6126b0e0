"""What goes on inside a model while it reads: gates, candidates, states."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lmtrain.model.language_model import LanguageModel, ModelState
from lmtrain.model.recurrent import RecurrentLayer

_GATES = {
    "input": ("input gate i", "sigmoid"),
    "forget": ("forget gate f", "sigmoid"),
    "output": ("output gate o", "sigmoid"),
    "reset": ("reset gate r", "sigmoid"),
    "update": ("update gate z", "sigmoid"),
    "candidate": ("candidate", "tanh"),
}
"""Of the names in ``RecurrentLayer.gates`` those that can be saturated: what people call them, and how."""


@dataclass(frozen=True)
class Gate:
    """The values of one gate, or of the units of a layer without gates, in a window.

    Attributes:
        name: As people call it, with its letter in the equations: ``forget gate f``.
        kind: ``sigmoid`` (0 to 1), ``tanh`` (-1 to 1) or ``relu`` (from 0 on).
        values: float32, shape (T, B, H).
    """

    name: str
    kind: str
    values: Tensor

    @property
    def is_low(self) -> Tensor:
        """Where it is shut: a sigmoid below 0.1, a tanh below -0.9, a rectifier at 0; bool, (T, B, H).

        Source: of the thresholds, Karpathy, Johnson and Fei-Fei (2015), "Visualizing and understanding
        recurrent networks", section 4.2.
        """
        if self.kind == "relu":
            return self.values <= 0
        return self.values < (0.1 if self.kind == "sigmoid" else -0.9)

    @property
    def is_high(self) -> Tensor:
        """Where it is wide open: a sigmoid or tanh above 0.9; a rectifier never is. bool, (T, B, H)."""
        return torch.zeros_like(self.values, dtype=torch.bool) if self.kind == "relu" else self.values > 0.9


def gate_activations(model: LanguageModel, input_ids: Tensor, state: ModelState) -> dict[str, Tensor]:
    """The activations of each layer at each time step, in evaluation mode and float32.

    Args:
        model: In training or evaluation mode, which it is left in.
        input_ids: int64, shape (T, B), on the model's device.
        state: The state before them.

    Returns:
        Tensors (T, B, H) by layer and name: ``layers.0/forget``. The names are those of
        ``RecurrentLayer.gates``.
    """
    return {
        f"layers.{i}/{name}": values
        for i, (_, of_layer) in enumerate(_layers(model, input_ids, state))
        for name, values in of_layer.items()
    }


def model_gates(model: LanguageModel, input_ids: Tensor, state: ModelState) -> list[list[Gate]]:
    """What can be saturated in each layer, from the embedding upwards: gates, or units where there are none.

    Arguments as of ``gate_activations``.
    """
    return [_gates(layer, of_layer) for layer, of_layer in _layers(model, input_ids, state)]


def _gates(layer: RecurrentLayer, activations: dict[str, Tensor]) -> list[Gate]:
    gates = [Gate(*_GATES[name], values) for name, values in activations.items() if name in _GATES]
    return gates or [Gate("unit", layer.activation, activations["hidden"])]


@torch.inference_mode()
def _layers(
    model: LanguageModel, input_ids: Tensor, state: ModelState
) -> Iterator[tuple[RecurrentLayer, dict[str, Tensor]]]:
    with model.evaluating():
        x = model.embedding_activation(model.embedding(input_ids))  # (T, B, E)
        for i, (layer, before) in enumerate(zip(model.recurrent_layers(), state, strict=True)):
            of_layer = layer.gates(x, before)
            yield layer, of_layer
            x = of_layer["hidden"] + x if model.skips(i) else of_layer["hidden"]
