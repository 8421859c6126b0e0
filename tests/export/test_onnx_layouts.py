"""Files as recognisers read them, run as they run them, say what the model says."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from exported_models import KINDS, Kind, make
from tiny_models import EOS, VOCAB, H, V, log_prob_of, make_model

from lmtrain.corpus.text import TextRules
from lmtrain.export.export import Original, export_onnx
from lmtrain.export.onnx_layouts import LAYOUTS
from lmtrain.model.language_model import LanguageModel

HYPOTHESES = [[0, 2, 4], [2], [], [5, 0, 6, 3], [4, 4]]
FILES = [(layout, name) for layout in ("sherpa", "icefall") for name in LAYOUTS[layout]]


def session_of(model: LanguageModel, layout: str, name: str) -> onnxruntime.InferenceSession:
    proto = LAYOUTS[layout][name].build(model, {"name": "tiny"}, EOS).with_weights()
    onnx.checker.check_model(proto, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(proto.SerializeToString(), options)


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_costs_of_whole_hypotheses(kind: Kind) -> None:
    model = make(kind)
    lengths = np.array([len(ids) for ids in HYPOTHESES])
    padded = np.zeros((len(HYPOTHESES), lengths.max()), np.int64)
    for row, ids in zip(padded, HYPOTHESES, strict=True):
        row[: len(ids)] = ids
    (nll,) = session_of(model, "icefall", "no-state.onnx").run(None, {"x": padded, "x_lens": lengths})
    expected = [-log_prob_of(model, [], [*ids, EOS]) for ids in HYPOTHESES]
    np.testing.assert_allclose(nll, expected, rtol=1e-5, atol=1e-5)


class Sherpa:
    """Word after word, as ``OnlineRnnLM`` of sherpa-onnx does, from what the file says of itself."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.session = session
        about = session.get_modelmeta().custom_metadata_map
        layers, size, sos_id = (int(about[key]) for key in ("num_layers", "hidden_size", "sos_id"))
        zeros = np.zeros((layers, 1, size), np.float32)
        self.begin = self.score(sos_id, [zeros, zeros])

    def score(
        self, word: int, state: list[npt.NDArray[np.float32]]
    ) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[np.float32]]]:
        names = [each.name for each in self.session.get_inputs()]
        values = [np.array([[word]], dtype=np.int64), *state]
        scores, *after = self.session.run(None, dict(zip(names, values, strict=True)))
        return scores, after

    def log_prob(self, words: list[int]) -> float:
        (scores, state), total = self.begin, 0.0
        for word in words:
            total += float(scores.ravel()[word])
            scores, state = self.score(word, state)
        return total


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_word_after_word(kind: Kind) -> None:
    model = make(kind)
    sherpa = Sherpa(session_of(model, "sherpa", "model.onnx"))
    for ids in HYPOTHESES:
        expected = log_prob_of(model, [], [*ids, EOS])
        assert sherpa.log_prob([*ids, EOS]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_several_streams_and_words_at_once() -> None:
    model = make_model()
    session = session_of(model, "icefall", "with-state.onnx")
    zeros = np.zeros((2, 3, H), np.float32)
    ids = np.array([[1, 0, 2], [1, 2, 4], [1, 6, 6]])
    scores, *_ = session.run(None, {"x": ids, "h0": zeros, "c0": zeros})
    for row, found in zip(ids.tolist(), scores, strict=True):
        for word in range(V):
            assert found[word] == pytest.approx(log_prob_of(model, row[1:], [word]), abs=1e-5)


@pytest.mark.parametrize(("layout", "name"), FILES)
def test_the_interface_is_theirs(layout: str, name: str) -> None:
    session = session_of(make_model(), layout, name)
    faces = [
        [(each.name, each.type, each.shape) for each in side()]
        for side in (session.get_inputs, session.get_outputs)
    ]
    state = ("tensor(float)", [2, "N", H])
    if name == "no-state.onnx":
        assert faces[0] == [("x", "tensor(int64)", ["N", "L"]), ("x_lens", "tensor(int64)", ["N"])]
        assert faces[1] == [("nll", "tensor(float)", ["N"])]
    else:
        assert faces[0] == [("x", "tensor(int64)", ["N", "L"]), ("h0", *state), ("c0", *state)]
        assert faces[1] == [
            ("log_softmax", "tensor(float)", ["N", V]),
            ("next_h0", *state),
            ("next_c0", *state),
        ]
    about = session.get_modelmeta().custom_metadata_map
    assert about["name"] == "tiny"
    assert {key: about[key] for key in ("model_type", "version", "sos_id", "eos_id")} == {
        "model_type": "rnnlm",
        "version": "1",
        "sos_id": "1",
        "eos_id": "1",
    }
    numbers = {"vocab_size": "7", "num_layers": "2", "hidden_size": "6", "embedding_dim": "5"}
    assert {key: about[key] for key in numbers} == numbers


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_has_the_files_of_its_layout(layout: str, tmp_path: Path) -> None:
    original = Original(make_model(), VOCAB, TextRules(), "tiny", 3, Path("there"))
    written = export_onnx(original, tmp_path / "out", layout)
    assert written.files.keys() == {*LAYOUTS[layout], "config.json", "vocab.txt"}
    assert written.difference is not None
    assert written.difference.nats <= written.difference.allowed


@pytest.mark.parametrize(("layout", "name"), FILES)
def test_the_check_notices_another_model(layout: str, name: str, tmp_path: Path) -> None:
    model, path = make_model(), tmp_path / "model.onnx"
    face = LAYOUTS[layout][name]
    path.write_bytes(face.build(model, {}, EOS).with_weights().SerializeToString())
    shapes = ((4, 3),)
    assert face.difference(path, model, shapes, EOS).nats <= 1e-4
    with torch.no_grad():
        model.softmax.bias[2] += 0.5  # type: ignore[index, operator]
    assert face.difference(path, model, shapes, EOS).nats > 0.01
