"""A model as an ONNX graph, built node by node: no tracer is needed, and nothing superfluous gets in.

::

    input_ids (T, B) ─ Gather ─ [Tanh] ─ LSTM, GRU or RNN of each layer ─ softmax ─ log_probs (T, B, V)
    h, c (L, B, H) ─ Split ─────────────────┘ └─ Concat ─ h_n, c_n (L, B, H)

Layers are ONNX's own operators, whose gates stand in another order than torch's. ONNX has none for
concat_elman: its recurrent vectors are those of an RNN whose activation is the identity (``Affine``), and
its outputs come from a product with the vectors before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from lmtrain import __version__
from lmtrain.errors import UsageError
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.cells.concat_elman import ConcatElmanLayer, ReluConcatElmanLayer
from lmtrain.model.cells.elman import ElmanLayer, ReluElmanLayer
from lmtrain.model.cells.gru import GRULayer
from lmtrain.model.cells.lstm import LSTMLayer
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.recurrent import GatedLayer, RecurrentLayer
from lmtrain.model.softmax import FullSoftmax

Array = npt.NDArray[np.generic]

OPSET = 17
"""Of 2022, so that runtimes of some age read it; later ones change nothing in what the operators do."""
_IR_VERSION = 8
"""The file format that belongs to it."""


@dataclass(frozen=True)
class _Operator:
    name: str
    gates: tuple[int, ...]
    """Which of torch's gates stands in each place of ONNX's."""
    attributes: Mapping[str, Any]


_OPERATORS = {
    ElmanLayer: _Operator("RNN", (0,), {"activations": ["Tanh"]}),
    ReluElmanLayer: _Operator("RNN", (0,), {"activations": ["Relu"]}),
    LSTMLayer: _Operator("LSTM", (0, 3, 1, 2), {}),  # i f g o → i o f c
    GRULayer: _Operator("GRU", (1, 0, 2), {"linear_before_reset": 1}),  # r z n → z r h
}
_IDENTITY = {"activations": ["Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]}


@dataclass(frozen=True)
class OnnxGraph:
    """A graph and its weights, apart, since protobuf carries no more than 2 GiB."""

    proto: onnx.ModelProto
    weights: dict[str, Array]

    def with_weights(self) -> onnx.ModelProto:
        """All in one, to be written to a file.

        Raises:
            google.protobuf.message.Error: There is too much for protobuf.
        """
        whole = onnx.ModelProto()
        whole.CopyFrom(self.proto)
        whole.graph.initializer.extend(numpy_helper.from_array(w, name) for name, w in self.weights.items())
        return whole


class Graph:
    """Nodes and weights in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}

    def weight(self, name: str, values: Tensor) -> str:
        """Adds a weight; gives its name."""
        self.weights[name] = values.detach().cpu().contiguous().numpy()
        return name

    def add(self, operator: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> str:
        """Adds a node; gives the name of its first output."""
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def integers(self, name: str, *values: int) -> str:
        """A constant, such as axes and shapes are given by."""
        return self.weight(name, torch.tensor(values, dtype=torch.int64))


def build_onnx(model: LanguageModel, metadata: Mapping[str, str]) -> OnnxGraph:
    """Builds the graph of a model.

    Inputs are ``input_ids``, int64 of shape (time, batch), and the state before, float32 of shape (layers,
    batch, hidden): ``h``, and of an LSTM ``c``. Outputs are ``log_probs``, natural log, float32 of shape
    (time, batch, vocab), and the state after: ``h_n``, ``c_n``. Time and batch are free.

    Args:
        model: On any device; dropout is left out. Weights on the CPU are shared with it, not copied.
        metadata: What the file is to say about itself.

    Raises:
        UsageError: A layer of the model has no counterpart here.
    """
    graph = Graph()
    add_model(graph, model)
    layers = model.recurrent_layers()
    state = ("h", "c")[: layers[0].num_states]
    state_shape = (len(layers), "batch", layers[0].hidden_size)
    value, floats = helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    before = [value(name, floats, state_shape, "the state before; zeros at the start") for name in state]
    after = [value(f"{name}_n", floats, state_shape, "the state after") for name in state]
    words = value("input_ids", onnx.TensorProto.INT64, ("time", "batch"), "word ids, the lines of vocab.txt")
    scores = value(
        "log_probs", floats, ("time", "batch", model.vocab_size), "of the word after each, natural log"
    )
    return finish(graph, [words, *before], [scores, *after], metadata)


def add_model(graph: Graph, model: LanguageModel) -> None:
    """Adds what makes ``log_probs``, ``h_n`` and ``c_n`` of ``input_ids``, ``h`` and ``c``; see above.

    Raises:
        UsageError: A layer of the model has no counterpart here.
    """
    layers = model.recurrent_layers()
    state = ("h", "c")[: layers[0].num_states]
    for name in state:
        graph.add("Split", [name], *(f"layers.{i}.{name}" for i in range(len(layers))), axis=0)
    embedding = graph.weight("embedding.weight", model.embedding.weight)
    x = graph.add("Gather", [embedding, "input_ids"], "embedding")
    if isinstance(model.embedding_activation, torch.nn.Tanh):
        x = graph.add("Tanh", [x], "embedding_activation")
    for i, layer in enumerate(layers):
        output = _add_layer(graph, layer, f"layers.{i}", x)
        x = graph.add("Add", [output, x], f"layers.{i}.skip") if model.skips(i) else output
    for name in state:
        graph.add("Concat", [f"layers.{i}.{name}_n" for i in range(len(layers))], f"{name}_n", axis=0)
    _add_softmax(graph, model, x)


def finish(
    graph: Graph,
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    metadata: Mapping[str, str],
) -> OnnxGraph:
    """The whole, with what goes in, what comes out, and what it says about itself."""
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "lmtrain", inputs, outputs),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="lmtrain",
        producer_version=__version__,
    )
    helper.set_model_props(proto, dict(metadata))
    return OnnxGraph(proto, graph.weights)


def _add_layer(graph: Graph, layer: RecurrentLayer, name: str, x: str) -> str:
    """Adds a layer that reads ``x`` (T, B, E); gives its outputs (T, B, H)."""
    match layer:
        case GatedLayer() if type(layer) in _OPERATORS:
            return _add_gated(graph, layer, name, x)
        case ConcatElmanLayer() if type(layer) in (ConcatElmanLayer, ReluConcatElmanLayer):
            return _add_concat_elman(graph, layer, name, x)
    raise UsageError(f"{type(layer).__name__} has no counterpart in ONNX and cannot be exported")


def _add_gated(graph: Graph, layer: GatedLayer, name: str, x: str) -> str:
    operator = _OPERATORS[type(layer)]
    weight_ih, weight_hh, bias_ih, bias_hh = (
        torch.cat([weight.chunk(layer.num_gates)[i] for i in operator.gates])
        for weight in layer.torch_weights()
    )
    weights = _recurrent_weights(graph, name, weight_ih, weight_hh, torch.cat([bias_ih, bias_hh]))
    state = ("h", "c")[: layer.num_states]
    graph.add(
        operator.name,
        [x, *weights, "", *(f"{name}.{each}" for each in state)],
        f"{name}.directions",
        *(f"{name}.{each}_n" for each in state),
        hidden_size=layer.hidden_size,
        **operator.attributes,
    )
    return _without_directions(graph, name)


def _add_concat_elman(graph: Graph, layer: ConcatElmanLayer, name: str, x: str) -> str:
    """Of the blocks of M, r_t = M_rx x_t + M_rr r_{t-1} + b_r is an RNN, and o_t a product afterwards."""
    size = layer.input_size
    output, recurrent = layer.weight.chunk(2)
    output_bias, recurrent_bias = layer.bias.chunk(2)
    bias = torch.cat([recurrent_bias, torch.zeros_like(recurrent_bias)])
    weights = _recurrent_weights(graph, name, recurrent[:, :size], recurrent[:, size:], bias)
    graph.add(
        "RNN",
        [x, *weights, "", f"{name}.h"],
        f"{name}.directions",
        f"{name}.h_n",
        hidden_size=layer.hidden_size,
        **_IDENTITY,
    )
    after = _without_directions(graph, name)
    first, last = graph.integers(f"{name}.first", 0), graph.integers(f"{name}.last", -1)
    all_but_last = graph.add("Slice", [after, first, last], f"{name}.all_but_last")
    before = graph.add("Concat", [f"{name}.h", all_but_last], f"{name}.before", axis=0)
    from_input = graph.weight(f"{name}.output_from_input", output[:, :size].t())
    from_state = graph.weight(f"{name}.output_from_state", output[:, size:].t())
    parts = [
        graph.add("MatMul", [x, from_input], f"{name}.from_input"),
        graph.add("MatMul", [before, from_state], f"{name}.from_state"),
    ]
    summed = graph.add("Add", parts, f"{name}.sum")
    summed = graph.add("Add", [summed, graph.weight(f"{name}.output_bias", output_bias)], f"{name}.biased")
    activation = "Relu" if isinstance(layer, ReluConcatElmanLayer) else "Tanh"
    return graph.add(activation, [summed], f"{name}.activated")


def _recurrent_weights(
    graph: Graph, name: str, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor
) -> list[str]:
    """W, R and B of ONNX's recurrent operators, whose first axis is that of the directions: there is one."""
    return [
        graph.weight(f"{name}.{key}", weight[None])
        for key, weight in (("W", weight_ih), ("R", weight_hh), ("B", bias))
    ]


def _without_directions(graph: Graph, name: str) -> str:
    axis = graph.integers(f"{name}.axis", 1)
    return graph.add("Squeeze", [f"{name}.directions", axis], f"{name}.outputs")


def _add_softmax(graph: Graph, model: LanguageModel, x: str) -> None:
    """Adds what makes ``log_probs`` of hidden vectors (T, B, H), all of them as rows of one matrix."""
    softmax = model.softmax
    hidden_size = model.recurrent_layers()[-1].hidden_size
    rows = graph.add("Reshape", [x, graph.integers("softmax.rows", -1, hidden_size)], "softmax.features")
    match softmax:
        case FullSoftmax():
            tied = "embedding.weight" if model.is_tied else None
            weight = tied or graph.weight("softmax.weight", softmax.weight)
            log_probs = _add_log_softmax(graph, "softmax", rows, weight, softmax.bias)
        case AdaptiveSoftmax():
            log_probs = _add_adaptive(graph, softmax, rows)
        case _:
            raise UsageError(f"{type(softmax).__name__} has no counterpart in ONNX and cannot be exported")
    time_and_batch = graph.add("Shape", ["input_ids"], "softmax.time_and_batch")
    vocab_size = graph.integers("softmax.vocab_size", model.vocab_size)
    shape = graph.add("Concat", [time_and_batch, vocab_size], "softmax.shape", axis=0)
    graph.add("Reshape", [log_probs, shape], "log_probs")


def _add_adaptive(graph: Graph, softmax: AdaptiveSoftmax, rows: str) -> str:
    """The words of the shortlist from the head, and of each cluster its probability times those within."""
    weight = graph.weight("softmax.weight", softmax.weight)
    head = _add_log_softmax(graph, "softmax.head", rows, weight, softmax.bias)
    sizes = graph.integers("softmax.sizes", softmax.head_size, *[1] * softmax.num_clusters)
    of_clusters = [f"softmax.cluster.{i}" for i in range(softmax.num_clusters)]
    graph.add("Split", [head, sizes], "softmax.shortlist", *of_clusters, axis=1)
    parts = ["softmax.shortlist"]
    for name, projection, cluster in zip(of_clusters, softmax.projections, softmax.clusters, strict=True):
        projected = graph.add(
            "Gemm", [rows, graph.weight(f"{name}.projection", projection)], f"{name}.projected", transB=1
        )
        within = _add_log_softmax(graph, f"{name}.words", projected, graph.weight(f"{name}.weight", cluster))
        parts.append(graph.add("Add", [within, name], f"{name}.log_probs"))
    return graph.add("Concat", parts, "softmax.log_probs", axis=1)


def _add_log_softmax(graph: Graph, name: str, rows: str, weight: str, bias: Tensor | None = None) -> str:
    biases = [] if bias is None else [graph.weight(f"{name}.bias", bias)]
    logits = graph.add("Gemm", [rows, weight, *biases], f"{name}.logits", transB=1)
    return graph.add("LogSoftmax", [logits], f"{name}.normalised", axis=1)
