"""The exported weights are loaded into torch's own modules, by people who know nothing of lmtrain."""

from collections.abc import Callable

import pytest
import torch
from exported_models import KINDS_OF_TORCH, Kind, log_probs, make, windows_of
from tiny_models import H, V, make_model
from torch import Tensor, nn

from lmtrain.errors import UsageError
from lmtrain.export.torch_layout import torch_layout
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.recurrent import RecurrentLayer
from lmtrain.model.softmax import Softmax

MODULES: dict[tuple[str, str], Callable[[int], nn.Module]] = {
    ("elman", "tanh"): lambda size: nn.RNN(size, H, num_layers=2),
    ("elman", "relu"): lambda size: nn.RNN(size, H, num_layers=2, nonlinearity="relu"),
    ("lstm", "tanh"): lambda size: nn.LSTM(size, H, num_layers=2),
    ("gru", "tanh"): lambda size: nn.GRU(size, H, num_layers=2),
}


class ConcatElman(nn.Module):
    """As the documentation tells to build it: torch has no such cell."""

    def __init__(self, size: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.activation = activation
        for i in range(2):
            self.register_parameter(f"weight_l{i}", nn.Parameter(torch.zeros(2 * H, size + H)))
            self.register_parameter(f"bias_l{i}", nn.Parameter(torch.zeros(2 * H)))
            size = H

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        for i in range(2):
            weight, bias = getattr(self, f"weight_l{i}"), getattr(self, f"bias_l{i}")
            r, outputs = x.new_zeros(x.shape[1], H), []
            for step in x:
                o, r = (torch.cat([step, r], dim=1) @ weight.T + bias).chunk(2, dim=1)
                outputs.append(self.activation(o))
            x = torch.stack(outputs)
        return x, None


class TorchModel(nn.Module):
    """The classic three parts."""

    def __init__(self, cell: str, activation: str, softmax: str, variant: str) -> None:
        super().__init__()
        size = H if variant == "tied" else 5
        self.has_tanh = variant == "tanh"
        self.encoder = nn.Embedding(V, size)
        if cell == "concat_elman":
            self.rnn: nn.Module = ConcatElman(size, getattr(torch, activation))
        else:
            self.rnn = MODULES[cell, activation](size)
        if softmax == "adaptive":
            self.decoder: nn.Module = nn.AdaptiveLogSoftmaxWithLoss(H, V, [2, 4], 2.0, head_bias=True)
        else:
            self.decoder = nn.Linear(H, V)
        if variant == "tied":
            self.decoder.weight = self.encoder.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.encoder(ids)
        x, _ = self.rnn(x.tanh() if self.has_tanh else x)
        if isinstance(self.decoder, nn.AdaptiveLogSoftmaxWithLoss):
            return self.decoder.log_prob(x.flatten(0, 1)).view(*ids.shape, V)
        return self.decoder(x).log_softmax(dim=-1)


@pytest.mark.parametrize("kind", KINDS_OF_TORCH, ids="-".join)
@torch.inference_mode()
def test_torch_s_modules_give_the_same_log_probabilities(kind: Kind) -> None:
    model, theirs = make(kind), TorchModel(*kind)
    theirs.load_state_dict(torch_layout(model), strict=True)
    (window,) = windows_of((9, 3))
    (ours,) = log_probs(model, window)
    torch.testing.assert_close(theirs(window), ours, rtol=1e-6, atol=1e-5)


def test_clusters_that_torch_would_not_make_have_the_same_names() -> None:
    narrow = torch_layout(make(("lstm", "tanh", "narrow", "plain")))
    shapes = {name: tuple(w.shape) for name, w in narrow.items() if name.startswith("decoder")}
    assert shapes == {
        "decoder.head.weight": (4, H),
        "decoder.head.bias": (4,),
        "decoder.tail.0.0.weight": (1, H),
        "decoder.tail.0.1.weight": (V - 3, 1),
    }
    uncut = torch_layout(make(("lstm", "tanh", "uncut", "plain")))
    assert [name for name in uncut if name.startswith("decoder")] == [
        "decoder.head.weight",
        "decoder.head.bias",
    ]


def test_a_tied_matrix_is_there_twice_and_is_no_view() -> None:
    model = make(("lstm", "tanh", "full", "tied"))
    weights = torch_layout(model)
    assert torch.equal(weights["encoder.weight"], weights["decoder.weight"])
    assert len({weight.data_ptr() for weight in weights.values()}) == len(weights)
    weights["encoder.weight"].zero_()
    assert model.embedding.weight.any()


@pytest.mark.parametrize("part", [RecurrentLayer, Softmax])
def test_a_part_that_torch_has_no_names_for_is_refused(part: type) -> None:
    class Unheard(part):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(*[H, H] if part is RecurrentLayer else [V])

    model: LanguageModel = make_model()
    if part is RecurrentLayer:
        model.layers[1] = Unheard()
    else:
        model.softmax = Unheard()
    with pytest.raises(UsageError, match="Unheard has no layout in torch"):
        torch_layout(model)
