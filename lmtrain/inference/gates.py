"""What goes on inside a model while it reads: gates, candidates, states."""

import torch
from torch import Tensor

from lmtrain.model.language_model import LanguageModel, ModelState


@torch.inference_mode()
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
    activations = {}
    with model.evaluating():
        x = model.embedding_activation(model.embedding(input_ids))  # (T, B, E)
        for i, (layer, before) in enumerate(zip(model.recurrent_layers(), state, strict=True)):
            of_layer = layer.gates(x, before)
            activations.update({f"layers.{i}/{name}": tensor for name, tensor in of_layer.items()})
            x = of_layer["hidden"]
    return activations
