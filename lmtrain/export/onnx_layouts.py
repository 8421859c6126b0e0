"""How an ONNX file is laid out: as this program likes it, or as recognisers of speech read it.

Those of k2, icefall and sherpa-onnx, have streams before time, and two kinds of files::

    with state     x (N, L), h0, c0 (layers, N, H)  →  log_softmax (N, V), next_h0, next_c0
    without state  x (N, L), x_lens (N)             →  nll (N)

N hypotheses of L words. What is scored begins and ends with ``<eos>``: the one that begins is theirs to send
where there is a state, and both are put in place where there is none.

Source: ``icefall/rnn_lm/export-onnx.py`` and ``model.py``; of sherpa-onnx ``csrc/online-rnn-lm.cc`` and
``offline-rnn-lm.cc``, which go by the order of inputs and outputs, and read ``num_layers``,
``hidden_size`` and ``sos_id``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from onnx import TensorProto, helper

from lmtrain.export import onnx_check
from lmtrain.export.onnx_check import Difference
from lmtrain.export.onnx_graph import Graph, OnnxGraph, add_model, build_onnx, finish
from lmtrain.model.language_model import LanguageModel

_ONE = helper.make_tensor("one", TensorProto.INT64, [1], [1])

Shapes = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Face:
    """What a file takes and gives."""

    build: Callable[[LanguageModel, Mapping[str, str], int], OnnxGraph]
    """From a model, what the file says of itself, and the id of ``<eos>``."""
    difference: Callable[[Path, LanguageModel, Shapes, int], Difference]
    """Between the file and the model, on windows of such shapes; and the id of ``<eos>``."""


def _with_state(model: LanguageModel, metadata: Mapping[str, str], eos_id: int) -> OnnxGraph:
    graph = Graph()
    layers = model.recurrent_layers()
    state = ("h", "c")[: layers[0].num_states]
    graph.add("Transpose", ["x"], "input_ids", perm=[1, 0])
    for name in state:
        graph.add("Identity", [f"{name}0"], name)
    add_model(graph, model)
    last = graph.weight("last", torch.tensor(-1))
    graph.add("Gather", ["log_probs", last], "log_softmax", axis=0)
    for name in ("h", "c"):  # a cell without c hands it on
        graph.add("Identity", [f"{name}_n" if name in state else f"{name}0"], f"next_{name}0")
    floats, shape = TensorProto.FLOAT, (len(layers), "N", layers[0].hidden_size)
    value = helper.make_tensor_value_info
    return finish(
        graph,
        [value("x", TensorProto.INT64, ("N", "L")), *(value(name, floats, shape) for name in ("h0", "c0"))],
        [
            value("log_softmax", floats, ("N", model.vocab_size)),
            *(value(name, floats, shape) for name in ("next_h0", "next_c0")),
        ],
        {**metadata, **_about(model, eos_id, "rnnlm state")},
    )


def _without_state(model: LanguageModel, metadata: Mapping[str, str], eos_id: int) -> OnnxGraph:
    graph = Graph()
    layers = model.recurrent_layers()
    zero, one, two = (graph.integers(f"axis.{i}", i) for i in range(3))
    eos = graph.weight("eos", torch.tensor([[eos_id]]))
    number = graph.add("Slice", [graph.add("Shape", ["x"], "x.shape"), zero, one], "number")  # N
    column = graph.add("Expand", [eos, graph.add("Concat", [number, one], "column.shape", axis=0)], "column")
    words = graph.add("Concat", [column, "x"], "words", axis=1)  # (N, L + 1), as all that follows
    graph.add("Transpose", [words], "input_ids", perm=[1, 0])
    sizes = (graph.integers("num_layers", len(layers)), graph.integers("hidden_size", layers[0].hidden_size))
    state_shape = graph.add("Concat", [sizes[0], number, sizes[1]], "state.shape", axis=0)
    for name in ("h", "c")[: layers[0].num_states]:
        graph.add("ConstantOfShape", [state_shape], name)
    add_model(graph, model)
    # Each word's place in its line; the line ends where there are x_lens words before.
    ones = graph.add("ConstantOfShape", [graph.add("Shape", [words], "words.shape")], "ones", value=_ONE)
    places = graph.add("CumSum", [ones, graph.weight("along", torch.tensor(1))], "places", exclusive=1)
    end = graph.add("Unsqueeze", ["x_lens", one], "end")
    is_end = graph.add("Equal", [places, end], "is_end")
    is_inside = graph.add("LessOrEqual", [places, end], "is_inside")
    padded = graph.add("Concat", ["x", column], "padded", axis=1)
    targets = graph.add("Where", [is_end, eos, padded], "targets")
    by_stream = graph.add("Transpose", ["log_probs"], "log_probs.by_stream", perm=[1, 0, 2])
    at = graph.add("Unsqueeze", [targets, two], "targets.at")
    found = graph.add("GatherElements", [by_stream, at], "found", axis=2)
    costs = graph.add("Neg", [graph.add("Squeeze", [found, two], "found.squeezed")], "costs")
    nothing = graph.weight("nothing", torch.tensor(0.0))
    counted = graph.add("Where", [is_inside, costs, nothing], "counted")
    graph.add("ReduceSum", [counted, one], "nll", keepdims=0)
    value = helper.make_tensor_value_info
    return finish(
        graph,
        [value("x", TensorProto.INT64, ("N", "L")), value("x_lens", TensorProto.INT64, ("N",))],
        [value("nll", TensorProto.FLOAT, ("N",))],
        {**metadata, **_about(model, eos_id, "rnnlm without state")},
    )


def _about(model: LanguageModel, eos_id: int, comment: str) -> dict[str, str]:
    layers = model.recurrent_layers()
    return {
        "model_type": "rnnlm",
        "version": "1",
        "model_author": "lmtrain",
        "comment": comment,
        "sos_id": str(eos_id),
        "eos_id": str(eos_id),
        "vocab_size": str(model.vocab_size),
        "num_layers": str(len(layers)),
        "hidden_size": str(layers[0].hidden_size),
        "embedding_dim": str(model.embedding.embedding_dim),
    }


_OURS = Face(
    lambda model, metadata, _: build_onnx(model, metadata),
    lambda path, model, shapes, _: onnx_check.greatest_difference(path, model, shapes),
)
_WITH_STATE = Face(
    _with_state,
    lambda path, model, shapes, _: onnx_check.greatest_difference(path, model, shapes, onnx_check.stepwise),
)
_WITHOUT_STATE = Face(_without_state, onnx_check.difference_of_sums)

LAYOUTS: dict[str, dict[str, Face]] = {
    "lmtrain": {"model.onnx": _OURS},
    "sherpa": {"model.onnx": _WITH_STATE},
    "icefall": {"with-state.onnx": _WITH_STATE, "no-state.onnx": _WITHOUT_STATE},
}
"""Of each layout the files."""
