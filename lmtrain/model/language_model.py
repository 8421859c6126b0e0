"""The language model: embedding, recurrent layers, softmax. It knows nothing of training."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lmtrain.model.cells import CELLS
from lmtrain.model.dropout import DropoutRates, WeightDropout
from lmtrain.model.mixture_softmax import MixtureSoftmax
from lmtrain.model.noise import Noise
from lmtrain.model.recurrent import RecurrentLayer, State
from lmtrain.model.softmax import FullSoftmax, Softmax

ModelState = list[State]
"""The hidden state of a model: the state of each layer, tensors of shape (B, H)."""


@dataclass(frozen=True)
class Reading:
    """What a model makes of a window."""

    raw: list[Tensor]
    """The outputs of each layer, before skip connections and dropout, shape (T, B, H)."""
    dropped: list[Tensor]
    """The same after both: what the next layer reads, and the softmax of the last."""
    state: ModelState
    """After the window."""

    @property
    def features(self) -> Tensor:
        """What the softmax predicts the next words from, shape (T, B, H)."""
        return self.dropped[-1]


class LanguageModel(nn.Module):
    """Predicts each word from the words before it.

    Args:
        vocab_size: Number of words V.
        embedding_dim: Size E of a word vector.
        hidden_size: Size H of a recurrent layer.
        num_layers: Number L of recurrent layers.
        last_hidden_size: H of the last layer; by default that of the others.
        cell: One of those in ``lmtrain/model/cells/``, by name: ``lstm``.
        activation: ``tanh`` or, for the Elman cells, ``relu``.
        cell_options: What else the class of the cell takes, by name.
        softmax: The output layer, from the last H to V; by default a ``FullSoftmax``.
        tie_weights: Whether the softmax, full or a mixture, shares the matrix of the embedding; E must be the
            last H for a full one. Source: Press and Wolf (2017), "Using the output embedding to improve
            language models".
        embedding_activation: ``none``, or ``tanh`` of the word vectors.
        skip_connections: Whether each layer but the first passes on what it reads added to what it makes of
            it. Their sizes must be equal. Source: Melis, Kočiský and Blunsom (2020), "Mogrifier LSTM",
            whose code has connections around the layers that lead to the softmax.
        dropout: Rates by place.
        noise: Where dropout masks are drawn.
        precision: ``torch.float32``, or ``torch.bfloat16``: products are computed in it, on weights that are
            float32 all the same; sums, losses and states are float32.

    Raises:
        ValueError: The arguments contradict each other.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 200,
        hidden_size: int = 200,
        num_layers: int = 2,
        *,
        last_hidden_size: int | None = None,
        cell: str = "lstm",
        activation: str = "tanh",
        cell_options: Mapping[str, Any] | None = None,
        softmax: Softmax | None = None,
        tie_weights: bool = False,
        embedding_activation: str = "none",
        skip_connections: bool = False,
        dropout: DropoutRates | None = None,
        noise: Noise | None = None,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if (cell, activation) not in CELLS:
            raise ValueError(
                f"no class in lmtrain/model/cells is cell {cell!r} with activation {activation!r}"
            )
        sizes = [embedding_dim, *[hidden_size] * (num_layers - 1), last_hidden_size or hidden_size]
        if skip_connections and len(set(sizes[1:])) > 1:
            raise ValueError("skip connections need layers of one size")
        rates, noise = dropout or DropoutRates(), noise or Noise()
        self.vocab_size = vocab_size
        self.precision = precision
        vectors = torch.empty(vocab_size, embedding_dim)
        if not vectors.is_meta:  # as nn.Embedding draws them; without memory that would import a compiler
            vectors.normal_()
        self.embedding = nn.Embedding(vocab_size, embedding_dim, _weight=vectors)
        self.has_skip_connections = skip_connections
        self.embedding_activation = nn.Tanh() if embedding_activation == "tanh" else nn.Identity()
        self.layers = nn.ModuleList()
        self.dropouts = nn.ModuleList()  # before each layer, and before the softmax
        for i, (input_size, output_size) in enumerate(pairwise(sizes)):
            self.dropouts.append(rates.of_units(rates.layers if i else rates.input, noise))
            self.layers.append(CELLS[cell, activation](input_size, output_size, **cell_options or {}))
        if rates.recurrent and not all(layer.state_maps() for layer in self.recurrent_layers()):
            raise ValueError(f"a layer of cell {cell!r} has no recurrent weights to drop")
        self.dropouts.append(rates.of_units(rates.output, noise))
        self.word_dropout = WeightDropout(rates.words, noise)
        self.weight_dropout = WeightDropout(rates.recurrent, noise)
        self.is_tied = tie_weights
        self._looked_up: Tensor | None = None
        self.softmax: Softmax = softmax or FullSoftmax(sizes[-1], vocab_size)
        if tie_weights:
            if not isinstance(self.softmax, FullSoftmax | MixtureSoftmax):
                raise ValueError("only a softmax with one row a word can be tied to the embedding")
            if self.softmax.weight.shape[1] != embedding_dim:
                raise ValueError("tied weights need embedding_dim and the size of the last layer to be equal")
            self.embedding.weight = self.softmax.weight

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.weight.device

    def weights(self) -> dict[str, Tensor]:
        """The weights by name; a matrix that two parts share stands there once."""
        return {name: parameter.detach() for name, parameter in self.named_parameters()}

    @contextmanager
    def evaluating(self, precision: torch.dtype = torch.float32) -> Iterator[None]:
        """For the length of a block, computes in evaluation mode and in ``precision``, on CUDA too."""
        before, cudnn = (self.training, self.precision), torch.backends.cudnn
        allowed_tf32, cudnn.allow_tf32 = cudnn.allow_tf32, False
        self.eval()
        self.precision = precision
        try:
            yield
        finally:
            self.train(before[0])
            self.precision = before[1]
            cudnn.allow_tf32 = allowed_tf32

    def use_sparse_gradients(self) -> Tensor | None:
        """Lets word vectors that a window does not touch have no gradient at all, not even of zeros.

        Returns:
            Where the embedding shares its weight with the softmax, a leaf with the memory of that weight, in
            which words are looked up. Its gradient has to be added to that of the weight, which is cheap:
            autograd would add a sparse and a dense gradient into a new tensor of their size.
        """
        self.embedding.sparse = self.softmax.sparse = True
        if self.is_tied:
            weight = self.embedding.weight
            self._looked_up = weight.detach().requires_grad_(weight.requires_grad)
        return self._looked_up

    def initial_state(self, batch_size: int) -> ModelState:
        """The state before any word: zeros."""
        return [layer.initial_state(batch_size) for layer in self.recurrent_layers()]

    def forward(self, input_ids: Tensor, state: ModelState) -> Reading:
        """Reads a window.

        Args:
            input_ids: int64, shape (T, B).
            state: The state before the window.
        """
        embedded = self.embedding_activation(self._embed(input_ids)).to(self.precision)  # (T, B, E)
        x = self.dropouts[0](embedded)
        reading = Reading([], [], [])
        layers = zip(self.recurrent_layers(), state, self.dropouts[1:], strict=True)
        for i, (layer, before, dropout) in enumerate(layers):
            with self._dropping_weights_of(layer):
                raw, after = layer(x, before)  # (T, B, H)
            x = dropout(raw + x if self.skips(i) else raw)
            reading.raw.append(raw)
            reading.dropped.append(x)
            reading.state.append(after)
        return reading

    def skips(self, layer: int) -> bool:
        """Whether a connection leads around a layer, numbered from 0."""
        return self.has_skip_connections and layer > 0

    def _embed(self, input_ids: Tensor) -> Tensor:
        if self._looked_up is None:
            embedded: Tensor = self.embedding(input_ids)
        else:
            embedded = nn.functional.embedding(input_ids, self._looked_up, sparse=True)
        if not self.word_dropout.is_on:
            return embedded
        scale: Tensor = self.word_dropout(embedded.new_ones(self.vocab_size))
        return embedded * scale[input_ids][..., None]

    def _dropping_weights_of(self, layer: RecurrentLayer) -> AbstractContextManager[None]:
        """One mask for all time steps and streams of the window that is read in the block."""
        if not self.weight_dropout.is_on:
            return nullcontext()
        return layer.replacing(self.weight_dropout(layer.state_weight()))

    def loss(self, input_ids: Tensor, targets: Tensor, state: ModelState) -> tuple[Tensor, Reading]:
        """The summed cost of a window's targets in nats, with a gradient, and the reading.

        Args:
            input_ids: int64, shape (T, B).
            targets: int64, shape (T, B); negative where there is none (padding).
            state: The state before the window.
        """
        reading: Reading = self(input_ids, state)
        return self.softmax.loss(reading.features, targets), reading

    def recurrent_layers(self) -> list[RecurrentLayer]:
        """The layers from the embedding upwards."""
        return [layer for layer in self.layers if isinstance(layer, RecurrentLayer)]


def detach(state: ModelState) -> ModelState:
    """The same state cut off from the graph that made it: where backpropagation is truncated."""
    return [tuple(tensor.detach() for tensor in layer) for layer in state]
