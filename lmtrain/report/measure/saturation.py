"""How often the gates of a model are shut or wide open while it reads.

Source: Karpathy, Johnson and Fei-Fei (2015), "Visualizing and understanding recurrent networks", section 4.2.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmtrain.inference.gates import model_gates
from lmtrain.inference.windows import Positions
from lmtrain.model.language_model import LanguageModel
from lmtrain.report.measure.held_out import HeldOutText, Watch, unwatched

_CONTEXT = 100
"""Words read before the gates are looked at."""
_MOST = 0.9
"""Of the time: a unit that is so for more of it counts as always so."""


@dataclass(frozen=True)
class GateSaturation:
    """One gate of one layer, or its units where there are no gates."""

    layer: int
    """From 1."""
    gate: str
    kind: str
    """``sigmoid``, ``tanh`` or ``relu``; ``lmtrain.inference.gates`` says when they are low and high."""
    low: float
    """Share of all values."""
    high: float
    num_units: int
    units_low: int
    """Units that are low more than 90 % of the time."""
    units_high: int

    @property
    def name(self) -> str:
        """``layer 1, forget gate f``."""
        return f"layer {self.layer}, {self.gate}"

    def to_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return dict(vars(self))


def saturation(
    model: LanguageModel, text: HeldOutText, positions: Positions, watch: Watch = unwatched
) -> list[GateSaturation]:
    """The gates of all layers at the last word before each position, after up to 100 words of context."""
    batches = text.batches(positions, _CONTEXT)
    counts: dict[tuple[int, str, str], Tensor] = {}
    with model.evaluating(), torch.inference_mode():
        for group in watch(batches, "gates", len(batches)):
            input_ids = text.window(group, _CONTEXT).input_ids.to(model.device)
            state = model.initial_state(len(group))
            if len(input_ids) > 1:
                state = model(input_ids[:-1], state).state
            for layer, gates in enumerate(model_gates(model, input_ids[-1:], state), 1):
                for gate in gates:
                    now = torch.stack([gate.is_low, gate.is_high]).sum(dim=(1, 2))  # (2, H)
                    key = layer, gate.name, gate.kind
                    counts[key] = counts[key] + now if key in counts else now
    return [_saturation(*key, found.double() / len(positions)) for key, found in counts.items()]


def _saturation(layer: int, gate: str, kind: str, shares: Tensor) -> GateSaturation:
    low, high = shares.mean(dim=1).tolist()
    units_low, units_high = (shares > _MOST).sum(dim=1).tolist()
    return GateSaturation(layer, gate, kind, low, high, shares.shape[1], units_low, units_high)
