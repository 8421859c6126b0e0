"""Whether what a snapshot holds fits what it is to be loaded into; compared before anything is loaded."""

from typing import Any

import torch

from lmtrain.errors import ModelError
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.language_model import LanguageModel
from lmtrain.training.snapshot import Snapshot


def refuse_other_shapes(snapshot: Snapshot, model: LanguageModel) -> None:
    """Compares the weights of a snapshot with those of a model, without reading any.

    An adaptive softmax takes the sizes that an earlier version gave it.

    Raises:
        ModelError: They differ; names the first that does.
    """
    found = snapshot.model_shapes()
    if isinstance(model.softmax, AdaptiveSoftmax):
        names = (f"softmax.projections.{i}" for i in range(model.softmax.num_clusters))
        model.softmax.take_earlier_sizes([found[name][0] for name in names if name in found])
    expected = {name: tuple(p.shape) for name, p in model.weights().items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ModelError(
                f"{snapshot.path}: its weights do not fit its config: {name} is "
                f"{found.get(name, 'missing')}, expected {expected.get(name, 'nothing')}"
            )


def refuse_other_state(state: Any, model: LanguageModel, batch_size: int) -> None:
    """Compares a training state with what it is to be used with, since fused kernels trust shapes blindly.

    Args:
        state: Of a trainer, as ``Trainer.state_dict`` gave it.
        model: Whose weights the moments are of.
        batch_size: Of the hidden state.

    Raises:
        ValueError: A moment or the hidden state has another shape or type.
    """
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for index, moments in state["optimizer"]["moments"].items():
        weight = weights[int(index)]
        for name, moment in moments.items():
            shape = () if name == "step" else weight.shape
            if moment is not None and (moment.shape != shape or moment.dtype != torch.float32):
                raise ValueError(f"{name} of weight {index} is {moment.dtype} of shape {tuple(moment.shape)}")
    if state["hidden"] is not None:
        found, expected = (
            [[(tensor.shape, tensor.dtype) for tensor in layer] for layer in hidden]
            for hidden in (state["hidden"], model.initial_state(batch_size))
        )
        if found != expected:
            raise ValueError("the hidden state is that of another model or batch")
