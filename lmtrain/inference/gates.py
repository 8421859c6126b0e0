"""What the gates and units of a model say while it reads: the numbers its equations hide.

They are computed anew from the weights and from what each layer read and wrote, since the fused functions
that run a layer keep them to themselves. The equations are those of ``lmtrain.model.recurrent``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from lmtrain.model.language_model import LanguageModel, ModelState
from lmtrain.model.recurrent import (
    ConcatElmanLayer,
    ElmanLayer,
    GRULayer,
    LSTMLayer,
    RecurrentLayer,
    ReluConcatElmanLayer,
    ReluElmanLayer,
    State,
)


@dataclass(frozen=True)
class Gate:
    """The values of one gate, or of the units of a layer without gates, in a window.

    Attributes:
        name: As the gate is called in the equations and by people: ``forget gate f``.
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
        return (
            self.values <= 0
            if self.kind == "relu"
            else self.values < (0.1 if self.kind == "sigmoid" else -0.9)
        )

    @property
    def is_high(self) -> Tensor:
        """Where it is wide open: a sigmoid or tanh above 0.9; a rectifier never is. bool, (T, B, H)."""
        return torch.zeros_like(self.values, dtype=torch.bool) if self.kind == "relu" else self.values > 0.9


def model_gates(model: LanguageModel, input_ids: Tensor, state: ModelState) -> list[list[Gate]]:
    """The gates of each layer, from the embedding upwards, while a model reads a window.

    Args:
        model: Computes in the mode and precision it is in; see ``LanguageModel.evaluating``.
        input_ids: int64, shape (T, B).
        state: Before the window.

    Returns:
        For each layer its gates, float32 and without a gradient.
    """
    gates: list[list[Gate]] = []

    def record(layer: RecurrentLayer, read: tuple[Tensor, State], wrote: tuple[Tensor, State]) -> None:
        gates.append(layer_gates(layer, read[0], read[1], wrote[0]))

    hooks: Sequence[Any] = [layer.register_forward_hook(record) for layer in model.recurrent_layers()]
    try:
        with torch.no_grad():
            model(input_ids, state)
    finally:
        for hook in hooks:
            hook.remove()
    return gates


@torch.no_grad()
def layer_gates(layer: RecurrentLayer, inputs: Tensor, state: State, outputs: Tensor) -> list[Gate]:
    """The gates of one layer.

    Args:
        layer: Of any cell.
        inputs: What it read, shape (T, B, E).
        state: Before the window, tensors of shape (B, H).
        outputs: What it made of them, shape (T, B, H).

    Raises:
        TypeError: A layer of a cell that is not known here.
    """
    inputs, outputs = inputs.float(), outputs.float()
    match layer:
        case LSTMLayer():
            return _lstm_gates(layer, inputs, _before(state, outputs))
        case GRULayer():
            return _gru_gates(layer, inputs, _before(state, outputs))
        case ReluElmanLayer() | ReluConcatElmanLayer():
            return [Gate("unit", "relu", outputs)]
        case ElmanLayer() | ConcatElmanLayer():
            return [Gate("unit", "tanh", outputs)]
        case _:
            raise TypeError(f"the gates of {type(layer).__name__} are not known")


def _before(state: State, outputs: Tensor) -> Tensor:
    """h_{t-1} for each t, where outputs are h."""
    return torch.cat([state[0].float()[None], outputs[:-1]])


def _lstm_gates(layer: LSTMLayer, inputs: Tensor, before: Tensor) -> list[Gate]:
    sums = linear(inputs, layer.weight_ih, layer.bias) + linear(before, layer.weight_hh)
    i, f, g, o = sums.chunk(4, dim=-1)
    return [
        Gate("input gate i", "sigmoid", i.sigmoid()),
        Gate("forget gate f", "sigmoid", f.sigmoid()),
        Gate("candidate g", "tanh", g.tanh()),
        Gate("output gate o", "sigmoid", o.sigmoid()),
    ]


def _gru_gates(layer: GRULayer, inputs: Tensor, before: Tensor) -> list[Gate]:
    x_r, x_z, x_n = linear(inputs, layer.weight_ih, layer.bias).chunk(3, dim=-1)
    h_r, h_z, h_n = linear(before, layer.weight_hh).chunk(3, dim=-1)
    r = (x_r + h_r).sigmoid()
    return [
        Gate("reset gate r", "sigmoid", r),
        Gate("update gate z", "sigmoid", (x_z + h_z).sigmoid()),
        Gate("candidate n", "tanh", (x_n + r * (h_n + layer.bias_hh)).tanh()),
    ]
