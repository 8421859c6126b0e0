"""The simple recurrent network of Elman (1990)."""

import torch
from torch import Tensor

from lmtrain.model import fused_recurrence
from lmtrain.model.recurrent import GatedLayer, State


class ElmanLayer(GatedLayer):
    """The simple recurrent network: h_t = tanh(W h_{t-1} + U x_t + b).

    Source: Elman (1990), "Finding structure in time".
    """

    cell = "elman"
    _window = staticmethod(torch.rnn_tanh)
    _step = staticmethod(torch.rnn_tanh_cell)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Reads ``inputs`` (T, B, E) from ``state`` on; returns outputs (T, B, H) and the new state."""
        if not fused_recurrence.has_faster_elman(inputs, self.hidden_size):
            return super().forward(inputs, state)
        (h,) = state
        outputs = fused_recurrence.elman(
            inputs, h, self.weight_ih, self.recurrent_weight(), self.bias, self.activation == "relu"
        )
        return outputs, (outputs[-1].to(h.dtype),)


class ReluElmanLayer(ElmanLayer):
    """The simple recurrent network with h_t = max(0, W h_{t-1} + U x_t + b).

    Source: Le, Jaitly and Hinton (2015), "A simple way to initialize recurrent networks of rectified
    linear units", who start W as the identity.
    """

    activation = "relu"
    _window = staticmethod(torch.rnn_relu)
    _step = staticmethod(torch.rnn_relu_cell)
