"""The weights of a model under the names that torch's own modules give them."""

import torch
from torch import Tensor

from lmtrain.errors import UsageError
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.cells.concat_elman import ConcatElmanLayer, ReluConcatElmanLayer
from lmtrain.model.cells.elman import ElmanLayer, ReluElmanLayer
from lmtrain.model.cells.gru import GRULayer
from lmtrain.model.cells.lstm import LSTMLayer
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.recurrent import GatedLayer, RecurrentLayer
from lmtrain.model.softmax import FullSoftmax, Softmax

_OF_TORCH = (ElmanLayer, ReluElmanLayer, LSTMLayer, GRULayer)
"""Computed by ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` too; a subclass may compute something else."""


@torch.no_grad()
def torch_layout(model: LanguageModel) -> dict[str, Tensor]:
    """What ``load_state_dict`` of a module with three parts takes.

    ::

        encoder   nn.Embedding(V, E)
        rnn       nn.RNN, nn.LSTM or nn.GRU(E, H, num_layers=L); of concat_elman, which torch has not,
                  weight_l0 (2H, E + H) and bias_l0 (2H), weight_l1 …
        decoder   nn.Linear(H, V), or nn.AdaptiveLogSoftmaxWithLoss(H, V, cutoffs, div, head_bias=True)

    These are the names of ``word_language_model`` in pytorch/examples. A matrix that is tied stands there
    twice, as in the ``state_dict`` of torch, so that each part can be loaded on its own.

    Returns:
        float32 tensors on the CPU that share no memory with the model or with each other.

    Raises:
        UsageError: A layer has no such names, or the model no counterpart among such modules.
    """
    if model.has_skip_connections:
        raise UsageError("torch's modules have no skip connections; a model with them goes to ONNX alone")
    weights = {"encoder.weight": model.embedding.weight}
    for i, layer in enumerate(model.recurrent_layers()):
        weights |= {f"rnn.{name}_l{i}": weight for name, weight in _layer(layer).items()}
    weights |= {f"decoder.{name}": weight for name, weight in _softmax(model.softmax).items()}
    return {name: weight.detach().to("cpu", copy=True).contiguous() for name, weight in weights.items()}


def _layer(layer: RecurrentLayer) -> dict[str, Tensor]:
    match layer:
        case GatedLayer() if type(layer) in _OF_TORCH:
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            return dict(zip(names, layer.torch_weights(), strict=True))
        case ConcatElmanLayer() if type(layer) in (ConcatElmanLayer, ReluConcatElmanLayer):
            return {"weight": layer.weight, "bias": layer.bias}
    raise UsageError(f"{type(layer).__name__} has no layout in torch and cannot be exported")


def _softmax(softmax: Softmax) -> dict[str, Tensor]:
    match softmax:
        case FullSoftmax():
            return {"weight": softmax.weight, "bias": softmax.bias}
        case AdaptiveSoftmax():
            tail = {
                f"tail.{i}.{j}.weight": weight
                for i, pair in enumerate(zip(softmax.projections, softmax.clusters, strict=True))
                for j, weight in enumerate(pair)
            }
            return {"head.weight": softmax.weight, "head.bias": softmax.bias, **tail}
    raise UsageError(f"{type(softmax).__name__} has no layout in torch and cannot be exported")
