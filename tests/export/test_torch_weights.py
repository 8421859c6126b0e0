"""Weights in torch's layout become a model again, and those of torch's own modules one that is the same."""

from typing import Any

import pytest
import torch
from exported_models import KINDS_OF_TORCH, Kind, log_probs, make, windows_of
from tiny_models import E, H, V
from torch import Tensor, nn

from lmtrain.config.options import ModelOptions
from lmtrain.errors import ModelError
from lmtrain.export.torch_layout import torch_layout
from lmtrain.export.torch_weights import TorchWeights
from lmtrain.model.language_model import LanguageModel
from lmtrain.run.build import build_model

WINDOWS = windows_of((3, 2), (1, 2))


def loaded(tensors: dict[str, Tensor], **told: Any) -> LanguageModel:
    weights = TorchWeights.of(tensors, "file")
    model = build_model(ModelOptions(**{**weights.options(), **told}), weights.vocab_size)
    weights.load_into(model)
    return model.eval()


@pytest.mark.parametrize("kind", KINDS_OF_TORCH, ids="-".join)
@pytest.mark.parametrize("prefix", ["", "lm."])
def test_round_trip(kind: Kind, prefix: str) -> None:
    model = make(kind)
    exported = {prefix + name: weight for name, weight in torch_layout(model).items()}
    told = {"activation": kind[1], "embedding_activation": "tanh" if kind[3] == "tanh" else "none"}
    again = loaded(exported, **told)
    assert again.is_tied == model.is_tied
    assert again.weights().keys() == model.weights().keys()
    for ours, theirs in zip(log_probs(again, *WINDOWS), log_probs(model, *WINDOWS), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


class Classic(nn.Module):
    """The classic example, with two biases in each layer."""

    def __init__(self, rnn: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.rnn, self.decoder = nn.Embedding(V, E), rnn, decoder
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(0, 0.5, generator=generator)

    @torch.inference_mode()
    def forward(self, windows: list[Tensor]) -> list[Tensor]:
        state, results = None, []
        for window in windows:
            outputs, state = self.rnn(self.encoder(window), state)
            if isinstance(self.decoder, nn.Linear):
                results.append(self.decoder(outputs).log_softmax(dim=-1))
            else:
                flat: Tensor = self.decoder.log_prob(outputs.flatten(0, 1))  # type: ignore[operator]
                results.append(flat.view(*window.shape, -1))
        return results


@pytest.mark.parametrize(
    ("rnn", "decoder", "told"),
    [
        (nn.LSTM(E, H, 3), nn.Linear(H, V), {}),
        (nn.LSTM(E, H, bias=False), nn.Linear(H, V, bias=False), {}),
        (nn.GRU(E, H, 2), nn.Linear(H, V), {}),
        (nn.RNN(E, H, 2), nn.Linear(H, V), {}),
        (nn.RNN(E, H, nonlinearity="relu"), nn.Linear(H, V), {"activation": "relu"}),
        (nn.LSTM(E, H), nn.AdaptiveLogSoftmaxWithLoss(H, V, [2, 4], 2.0), {}),
        (nn.LSTM(E, H), nn.AdaptiveLogSoftmaxWithLoss(H, V, [3], head_bias=True), {}),
    ],
)
def test_modules_of_torch(rnn: nn.Module, decoder: nn.Module, told: dict[str, str]) -> None:
    theirs = Classic(rnn, decoder)
    ours = log_probs(loaded(theirs.state_dict(), **told), *WINDOWS)
    for mine, expected in zip(ours, theirs(WINDOWS), strict=True):
        torch.testing.assert_close(mine, expected, rtol=0, atol=2e-6)


def test_half_precision_becomes_float32() -> None:
    exported = {name: w.half() for name, w in torch_layout(make(("lstm", "tanh", "full", "plain"))).items()}
    for name, weight in loaded(exported).weights().items():
        assert weight.dtype == torch.float32, name


def test_a_decoder_that_was_saved_with_the_embedding() -> None:
    exported = torch_layout(make(("lstm", "tanh", "full", "tied")))
    del exported["decoder.weight"]
    assert loaded(exported).is_tied


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder.weight": None}, "expected one encoder.weight, .* here are 0"),
        ({"other.encoder.weight": torch.zeros(2)}, "here are 2"),
        ({"decoder.weight": None}, "decoder.weight is missing"),
        ({"decoder.bias": torch.zeros(3)}, "decoder.bias is (3,), expected (7,)"),
        ({"rnn.weight_hh_l0": None}, "expected an embedding and rnn.weight_hh_l0"),
        ({"rnn.weight_ih_l1": None}, "rnn.weight_ih_l1 is missing"),
        ({"rnn.weight_hh_l0": torch.zeros(5, 6)}, "rnn.weight_hh_l0 is (5, 6), which no cell has"),
        ({"rnn.weight_hr_l0": torch.zeros(2)}, "rnn.weight_hr_l0 is no part of such a model"),
        ({"rnn.weight_ih_l0_reverse": torch.zeros(2)}, "rnn.weight_ih_l0_reverse is no part"),
        ({"decoder.bias": torch.full((V,), float("nan"))}, "decoder.bias holds what is no finite"),
        ({"decoder.bias": torch.zeros(V, dtype=torch.int64)}, "decoder.bias holds what is no finite"),
    ],
)
def test_what_is_no_such_model_is_refused(changes: dict[str, Tensor | None], message: str) -> None:
    exported = {**torch_layout(make(("lstm", "tanh", "full", "plain"))), **changes}
    with pytest.raises(ModelError, match=message.replace("(", r"\(").replace(")", r"\)")):
        loaded({name: weight for name, weight in exported.items() if weight is not None})


def test_what_lies_beside_a_prefix_is_refused() -> None:
    exported = torch_layout(make(("lstm", "tanh", "full", "plain")))
    named = {f"lm.{name}": weight for name, weight in exported.items()} | {"x": torch.zeros(1)}
    with pytest.raises(ModelError, match=r"x is no part of lm\.encoder, rnn and decoder"):
        loaded(named)
