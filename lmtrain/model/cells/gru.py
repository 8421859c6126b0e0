"""The gated recurrent unit."""

import torch
from torch import Tensor, nn

from lmtrain.model.recurrent import GatedLayer, State


class GRULayer(GatedLayer):
    """The gated recurrent unit.

    ::

        r = σ(W_r [x_t, h_{t-1}] + b_r)    z = σ(…)
        n = tanh(W_n x_t + b_n + r * (U_n h_{t-1} + b_hh_n))
        h_t = (1 - z) * n + z * h_{t-1}

    The rows of the weights stand in the order r, z, n. The reset gate multiplies after the linear map,
    as cuDNN does, so that n has a second bias, ``bias_hh``, of shape (H).

    Source: Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder".
    """

    cell = "gru"
    num_gates = 3
    _window = staticmethod(torch.gru)
    _step = staticmethod(torch.gru_cell)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.bias_hh = nn.Parameter(torch.empty(hidden_size))

    def torch_weights(self) -> list[Tensor]:
        """As torch's functions take them; see ``GatedLayer``. That of n alone is not zero in bias_hh."""
        bias_hh = torch.cat([self.bias_hh.new_zeros(2 * self.hidden_size), self.bias_hh])
        return [self.weight_ih, self.recurrent_weight(), self.bias, bias_hh]

    @torch.no_grad()
    def gates(self, inputs: Tensor, state: State) -> dict[str, Tensor]:
        """``reset``, ``update``, ``candidate`` (r, z, n) and ``hidden``, the state h_t."""
        from_input, from_state, outputs = self._sums(inputs, state)
        (r, z, n), (of_r, of_z, of_n) = (part.float().chunk(3, dim=-1) for part in (from_input, from_state))
        r, z = (r + of_r).sigmoid(), (z + of_z).sigmoid()
        n = (n + r * (of_n + self.bias_hh)).tanh()
        return {"reset": r, "update": z, "candidate": n, "hidden": outputs}
