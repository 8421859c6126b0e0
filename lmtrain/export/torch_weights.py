"""Weights in the layout of torch's modules become those of a model: the inverse of ``torch_layout``.

Others save theirs so too: ``word_language_model`` of pytorch/examples and what grew out of it, and ESPnet,
whose names have a prefix (``lm.encoder.weight``).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmtrain.errors import ModelError
from lmtrain.model.cells.gru import GRULayer
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.recurrent import GatedLayer

_EMBEDDING = "encoder.weight"
_RECURRENT = re.compile(r"rnn\.weight(?:_hh)?_l(\d+)")
_GATES = {1: "elman", 3: "gru", 4: "lstm"}
DIV = 4.0
"""Of an adaptive softmax, as torch has it where nothing is said."""


@dataclass(frozen=True)
class TorchWeights:
    """Tensors by the names of ``torch_layout``, float32."""

    tensors: dict[str, Tensor]
    name: str
    """Of the file, for messages."""

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], name: str) -> "TorchWeights":
        """Takes off a prefix that all names share.

        Raises:
            ModelError: There is no embedding, or more than one, or what is no finite floating-point number.
        """
        prefixes = [key.removesuffix(_EMBEDDING) for key in tensors if f".{key}".endswith(f".{_EMBEDDING}")]
        if len(prefixes) != 1:
            raise ModelError(
                f"{name}: expected one {_EMBEDDING}, its name maybe after a prefix; here are {len(prefixes)}"
            )
        for key, tensor in tensors.items():
            if not key.startswith(prefixes[0]):
                raise ModelError(f"{name}: {key} is no part of {prefixes[0]}encoder, rnn and decoder")
            if not tensor.is_floating_point() or not tensor.isfinite().all():
                raise ModelError(f"{name}: {key} holds what is no finite floating-point number")
        return cls({key.removeprefix(prefixes[0]): tensor.float() for key, tensor in tensors.items()}, name)

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding."""
        return len(self.tensors[_EMBEDDING])

    def options(self, div: float | None = None) -> dict[str, Any]:
        """What they tell of a model, under the keys of a config.

        Args:
            div: Of an adaptive softmax; None finds what its sizes go by.

        Raises:
            ModelError: They have not the shapes of such modules.
        """
        numbers = sorted(int(match[1]) for key in self.tensors if (match := _RECURRENT.fullmatch(key)))
        if not numbers or numbers != list(range(len(numbers))) or self.tensors[_EMBEDDING].dim() != 2:
            raise ModelError(
                f"{self.name}: expected an embedding and rnn.weight_hh_l0, rnn.weight_hh_l1, …, those of "
                "nn.LSTM, nn.GRU or nn.RNN"
            )
        cell, hidden_size = self._cell()
        return {
            "cell": cell,
            "embedding_dim": self.tensors[_EMBEDDING].shape[1],
            "hidden_size": hidden_size,
            "num_layers": len(numbers),
            "tie_weights": self._is_tied(hidden_size),
            **self._softmax(hidden_size, div),
        }

    def _cell(self) -> tuple[str, int]:
        first = self.tensors.get("rnn.weight_l0")
        if first is not None:
            return "concat_elman", len(first) // 2
        rows, hidden_size = self.tensors["rnn.weight_hh_l0"].shape
        if rows % hidden_size or rows // hidden_size not in _GATES:
            raise ModelError(f"{self.name}: rnn.weight_hh_l0 is {(rows, hidden_size)}, which no cell has")
        return _GATES[rows // hidden_size], hidden_size

    def _is_tied(self, hidden_size: int) -> bool:
        if "decoder.head.weight" in self.tensors:
            return False
        embedding, decoder = self.tensors[_EMBEDDING], self.tensors.get("decoder.weight")
        return embedding.shape[1] == hidden_size if decoder is None else torch.equal(embedding, decoder)

    def _softmax(self, hidden_size: int, div: float | None) -> dict[str, Any]:
        sizes: list[int] = []
        while (words := self.tensors.get(f"decoder.tail.{len(sizes)}.1.weight")) is not None:
            sizes.append(len(words))
        if not sizes:
            return {"softmax": "full"}
        cutoffs = [len(self.tensors["decoder.head.weight"]) - len(sizes)]
        for size in sizes[:-1]:
            cutoffs.append(cutoffs[-1] + size)
        width = len(self.tensors["decoder.tail.0.0.weight"])
        found = div or (DIV if width == max(1, hidden_size // DIV) else hidden_size / width)
        return {"softmax": "adaptive", "adaptive": {"cutoffs": cutoffs, "div": found}}

    def load_into(self, model: LanguageModel) -> None:
        """Puts the weights into a model that was made by ``options``.

        A bias that is not there is zero, as is the second one of ``torch_layout``.

        Raises:
            ModelError: They are not those of this model; names the first that is missing, superfluous or of
                another shape.
        """
        rest = dict(self.tensors)
        shapes = {name: weight.shape for name, weight in model.state_dict().items()}

        def take(name: str, shape: torch.Size) -> Tensor:
            found = rest.pop(name, torch.zeros(shape) if "bias" in name else None)
            if found is None or found.shape != shape:
                what = "missing" if found is None else tuple(found.shape)
                raise ModelError(f"{self.name}: {name} is {what}, expected {tuple(shape)}")
            return found

        loaded = {"embedding.weight": take(_EMBEDDING, shapes["embedding.weight"])}
        for i, layer in enumerate(model.recurrent_layers()):
            loaded |= {f"layers.{i}.{key}": weight for key, weight in _layer(layer, i, take).items()}
        of_softmax = {f"softmax.{key}": f"decoder.{name}" for key, name in self._decoder().items()}
        for key, name in of_softmax.items():
            is_shared = model.is_tied and key == "softmax.weight" and name not in rest
            loaded[key] = loaded["embedding.weight"] if is_shared else take(name, shapes[key])
        if rest:
            raise ModelError(f"{self.name}: {min(rest)} is no part of such a model")
        model.load_state_dict(loaded)

    def _decoder(self) -> dict[str, str]:
        """Of each weight of ours its name in torch."""
        if "decoder.head.weight" not in self.tensors:
            return {"weight": "weight", "bias": "bias"}
        tails = [key for key in self.tensors if key.startswith("decoder.tail.") and key.endswith(".0.weight")]
        names = {"weight": "head.weight", "bias": "head.bias"}
        for i in range(len(tails)):
            names |= {f"projections.{i}": f"tail.{i}.0.weight", f"clusters.{i}": f"tail.{i}.1.weight"}
        return names


def _layer(layer: torch.nn.Module, i: int, take: Callable[[str, torch.Size], Tensor]) -> dict[str, Tensor]:
    shapes = {name: weight.shape for name, weight in layer.named_parameters()}
    if not isinstance(layer, GatedLayer):
        return {key: take(f"rnn.{key}_l{i}", shape) for key, shape in shapes.items()}
    weights = {key: take(f"rnn.{key}_l{i}", shapes[key]) for key in ("weight_ih", "weight_hh")}
    first, second = (take(f"rnn.{key}_l{i}", shapes["bias"]) for key in ("bias_ih", "bias_hh"))
    if isinstance(layer, GRULayer):
        kept = second[-layer.hidden_size :]
        added = torch.cat([second[: -layer.hidden_size], torch.zeros_like(kept)])
        return {**weights, "bias": first + added, "bias_hh": kept}
    return {**weights, "bias": first + second}
