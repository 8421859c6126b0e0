"""Where training starts: the first values of the weights."""

import math

import torch

from lmtrain.model.cells.lstm import LSTMLayer
from lmtrain.model.cells.mogrifier import MogrifierLayer
from lmtrain.model.language_model import LanguageModel


@torch.no_grad()
def initialize(
    model: LanguageModel,
    generator: torch.Generator,
    *,
    init: str = "uniform",
    init_range: float = 0.1,
    recurrent_init: str = "same",
    forget_gate_bias: float | None = None,
) -> None:
    """Draws the weights of a model.

    Args:
        model: On the device of the generator.
        generator: The source of the draws.
        init: ``uniform`` in ±init_range for all weights; or ``lecun_normal``: normal with variance 1 /
            fan-in, where the fan-in of an embedding or a vector is 1 (LeCun et al., 1998, "Efficient
            backprop"). Biases, which are what has ``bias`` in its name, start at zero.
        init_range: Of ``uniform``.
        recurrent_init: Of the maps from state to state: ``same`` as the others; ``orthogonal`` (Saxe
            et al., 2014); or ``identity`` (Le et al., 2015), a gated cell has one of them a gate.
        forget_gate_bias: First bias of the forget gates of an LSTM or Mogrifier (Jozefowicz et al., 2015,
            recommend 1); None leaves zero.
    """
    for name, parameter in model.named_parameters():
        if "bias" in name:
            parameter.zero_()
        elif init == "uniform":
            parameter.uniform_(-init_range, init_range, generator=generator)
        elif init == "lecun_normal":
            is_table = parameter is model.embedding.weight and not model.is_tied
            fan_in = 1 if is_table or parameter.dim() == 1 else parameter.shape[1]
            parameter.normal_(0.0, 1.0 / math.sqrt(fan_in), generator=generator)
        else:
            raise ValueError(f"unknown init {init!r}")
    for layer in model.recurrent_layers():
        for square in layer.state_maps():
            if recurrent_init == "orthogonal":
                torch.nn.init.orthogonal_(square, generator=generator)
            elif recurrent_init == "identity":
                torch.nn.init.eye_(square)
        if forget_gate_bias is not None and isinstance(layer, LSTMLayer | MogrifierLayer):
            layer.bias[layer.hidden_size : 2 * layer.hidden_size].fill_(forget_gate_bias)
