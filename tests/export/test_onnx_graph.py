"""The graph is what onnxruntime computes the model's own log-probabilities with."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from exported_models import KINDS, Kind, log_probs, make, windows_of
from tiny_models import H, V, make_model
from torch import Tensor

from lmtrain import __version__
from lmtrain.errors import UsageError
from lmtrain.export.onnx_graph import build_onnx
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.recurrent import RecurrentLayer
from lmtrain.model.softmax import Softmax


class Runtime:
    """A model without torch, its state going from window to window."""

    def __init__(self, model: LanguageModel) -> None:
        proto = build_onnx(model, {}).with_weights()
        onnx.checker.check_model(proto, full_check=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
        self.states = self.session.get_inputs()[1:]

    def log_probs(self, *windows: Tensor) -> list[npt.NDArray[np.float32]]:
        batch_size = windows[0].shape[1]
        state = [np.zeros((s.shape[0], batch_size, s.shape[2]), np.float32) for s in self.states]
        results = []
        for window in windows:
            feed = {s.name: value for s, value in zip(self.states, state, strict=True)}
            result, *state = self.session.run(None, {"input_ids": window.numpy(), **feed})
            results.append(result)
        return results


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_onnxruntime_gives_the_same_log_probabilities(kind: Kind) -> None:
    model = make(kind)
    runtime = Runtime(model)
    for shapes in ([(1, 1), (1, 1), (4, 1)], [(7, 3), (2, 3)]):
        windows = windows_of(*shapes)
        for theirs, ours in zip(runtime.log_probs(*windows), log_probs(model, *windows), strict=True):
            np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(("cell", "states"), [("lstm", ["h", "c"]), ("gru", ["h"]), ("concat_elman", ["h"])])
def test_the_interface_of_a_graph(cell: str, states: list[str]) -> None:
    session = Runtime(make_model(cell=cell)).session
    ids, *before = session.get_inputs()
    scores, *after = session.get_outputs()
    assert (ids.name, ids.type, ids.shape) == ("input_ids", "tensor(int64)", ["time", "batch"])
    assert (scores.name, scores.shape) == ("log_probs", ["time", "batch", V])
    assert scores.type == "tensor(float)"
    assert [each.name for each in before] == states
    assert [each.name for each in after] == [f"{name}_n" for name in states]
    assert all(each.shape == [2, "batch", H] for each in (*before, *after))


def test_what_a_file_says_of_itself() -> None:
    proto = build_onnx(make_model(), {"text_rules": "ws", "lmtrain_version": __version__}).proto
    assert {p.key: p.value for p in proto.metadata_props} == {
        "text_rules": "ws",
        "lmtrain_version": __version__,
    }
    assert (proto.producer_name, proto.producer_version) == ("lmtrain", __version__)
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", 17)]


def test_a_tied_matrix_is_there_once() -> None:
    def size(**options: Any) -> int:
        return build_onnx(make_model(embedding_dim=H, **options), {}).with_weights().ByteSize()

    assert size() - size(tie_weights=True) >= 4 * V * H


def test_gradients_are_no_part_of_it() -> None:
    model = make_model()
    assert all(parameter.requires_grad for parameter in model.parameters())
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    build_onnx(model, {})
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("part", [RecurrentLayer, Softmax])
def test_a_part_without_a_counterpart_is_refused(part: type) -> None:
    class Unheard(part):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(*[H, H] if part is RecurrentLayer else [V])

    model = make_model()
    if part is RecurrentLayer:
        model.layers[1] = Unheard()
    else:
        model.softmax = Unheard()
    with pytest.raises(UsageError, match="Unheard has no counterpart in ONNX"):
        build_onnx(model, {})
