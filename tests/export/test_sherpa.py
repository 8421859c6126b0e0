"""sherpa-onnx reads the files: its streaming recogniser for shallow fusion, the other one for rescoring.

Their acoustic model is made up: whatever is heard, it expects the same words.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from exported_models import Kind, make
from onnx import TensorProto, helper, numpy_helper
from tiny_models import EOS, VOCAB, V, log_prob_of

from lmtrain.export.onnx_layouts import LAYOUTS
from lmtrain.model.language_model import LanguageModel

sherpa_onnx = pytest.importorskip("sherpa_onnx")

BLANK, CAT, SAT, ON, MAT = 0, 2, 4, 5, 6
KINDS: list[Kind] = [
    ("lstm", "tanh", "full", "plain"),
    ("lstm", "tanh", "adaptive", "plain"),
    ("gru", "tanh", "full", "plain"),
    ("elman", "tanh", "full", "tied"),
]
OF_KINDS = pytest.mark.parametrize("kind", KINDS, ids="-".join)
SILENCE = np.zeros(16000, np.float32)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[str | int]],
    outputs: Mapping[str, Sequence[str | int]],
    weights: Mapping[str, npt.NDArray[Any]],
    **metadata: str,
) -> None:
    def values(sides: Mapping[str, Sequence[str | int]]) -> list[onnx.ValueInfoProto]:
        kinds = {"y": TensorProto.INT64, "x_lens": TensorProto.INT64, "out_lens": TensorProto.INT64}
        return [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shape)
            for name, shape in sides.items()
        ]

    constants = [numpy_helper.from_array(weight, name) for name, weight in weights.items()]
    graph = helper.make_graph(nodes, path.stem, values(inputs), values(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)


def acoustic_model(folder: Path, places: Sequence[tuple[int, ...]], *, streaming: bool) -> dict[str, Any]:
    """A transducer that hears a word of each of these places, one after the other, and rather the first."""
    node = helper.make_node
    frames = np.full((1, len(places), V), -20, np.float32)
    for frame, words in zip(frames[0], places, strict=True):
        frame[list(words)] = 20 - 1e-3 * np.arange(len(words))
    heard = [
        node("ReduceSum", ["x", "axes"], ["sum"]),
        node("Mul", ["sum", "zero"], ["nothing"]),
        node("Add", ["nothing", "frames"], ["out"]),
    ]
    weights = {"axes": np.array([1, 2]), "zero": np.float32(0), "frames": frames}
    taken, given = {"x": ("N", "T", 80)}, {"out": ("N", len(places), V)}
    if streaming:
        state = {"h": (1, "N", 4), "c": (1, "N", 4)}
        heard += [node("Identity", [name], [f"{name}_n"]) for name in state]
        sizes = {"num_encoder_layers": "1", "rnn_hidden_size": "4", "d_model": "4"}
        after = {f"{name}_n": shape for name, shape in state.items()}
        about = {"model_type": "lstm", "T": "39", "decode_chunk_len": "32", **sizes}
        save(folder / "encoder.onnx", heard, taken | state, given | after, weights, **about)
    else:
        heard += [node("Mul", ["x_lens", "none"], ["no_lens"]), node("Add", ["no_lens", "len"], ["out_lens"])]
        lengths = {"none": np.int64(0), "len": np.int64(len(places))}
        lens = ({"x_lens": ("N",)}, {"out_lens": ("N",)})
        save(folder / "encoder.onnx", heard, taken | lens[0], given | lens[1], weights | lengths)
    before = [
        node("Cast", ["y"], ["floats"], to=TensorProto.FLOAT),
        node("ReduceSum", ["floats", "axes"], ["sum"]),
        node("Mul", ["sum", "zeros"], ["out"]),
    ]
    constants = {"axes": np.array([1]), "zeros": np.zeros(V, np.float32)}
    about = {"context_size": "2", "vocab_size": str(V)}
    save(folder / "decoder.onnx", before, {"y": ("N", 2)}, {"out": ("N", V)}, constants, **about)
    both = {"heard": ("N", V), "before": ("N", V)}
    joined = [node("Add", [*both], ["out"])]
    save(folder / "joiner.onnx", joined, both, {"out": ("N", V)}, {}, joiner_dim=str(V))
    (folder / "tokens.txt").write_text("".join(f"{word} {i}\n" for i, word in enumerate(VOCAB.words)))
    parts = {name: str(folder / f"{name}.onnx") for name in ("encoder", "decoder", "joiner")}
    return {**parts, "tokens": str(folder / "tokens.txt"), "decoding_method": "modified_beam_search"}


def language_model(model: LanguageModel, path: Path, layout: str, name: str) -> str:
    path.write_bytes(LAYOUTS[layout][name].build(model, {}, EOS).with_weights().SerializeToString())
    return str(path)


@OF_KINDS
def test_shallow_fusion(kind: Kind, tmp_path: Path) -> None:
    model = make(kind)
    places = [(word,) for word in (CAT, BLANK, SAT, BLANK, MAT, BLANK, CAT, BLANK)]
    heard = acoustic_model(tmp_path, places, streaming=True)
    file = language_model(model, tmp_path / "model.onnx", "sherpa", "model.onnx")
    recogniser = sherpa_onnx.OnlineRecognizer.from_transducer(
        **heard, lm=file, lm_scale=0.5, lm_shallow_fusion=True, model_type="lstm", num_threads=1
    )
    stream = recogniser.create_stream()
    stream.accept_waveform(16000, SILENCE)
    while recogniser.is_ready(stream):
        recogniser.decode_stream(stream)
    found = recogniser.get_result_all(stream)
    ids = [VOCAB.id_of(word) for word in found.tokens]
    assert ids[:4] == [CAT, SAT, MAT, CAT]
    assert len(ids) > 4
    expected = [log_prob_of(model, ids[:i], [word]) for i, word in enumerate(ids)]
    np.testing.assert_allclose(found.lm_probs, expected, rtol=0, atol=1e-5)


@OF_KINDS
def test_rescoring(kind: Kind, tmp_path: Path) -> None:
    model = make(kind)
    places = [(CAT, SAT), (BLANK,), (ON, MAT), (BLANK,), (CAT, MAT), (BLANK,)]
    heard = acoustic_model(tmp_path, places, streaming=False)
    file = language_model(model, tmp_path / "model.onnx", "icefall", "no-state.onnx")
    for scale in (0.0, 1.0):
        recogniser = sherpa_onnx.OfflineRecognizer.from_transducer(
            **heard, lm=file, lm_scale=scale, max_active_paths=20, num_threads=1
        )
        stream = recogniser.create_stream()
        stream.accept_waveform(16000, SILENCE)
        recogniser.decode_stream(stream)
        found = tuple(VOCAB.id_of(word) for word in stream.result.tokens)
        totals = {
            ids: scale * log_prob_of(model, [], [*ids, EOS])
            - 1e-3 * sum(map(int.__ne__, ids, (CAT, ON, CAT)))
            for ids in product(*places[::2])
        }
        assert found == max(totals, key=totals.__getitem__)
