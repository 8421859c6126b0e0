"""What onnxruntime makes of an exported model, held against what the model says itself."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]
import torch

from lmtrain.model.language_model import LanguageModel

TOLERANCE = 1e-4
"""Nats by which log-probabilities may differ."""
_RELATIVE = 5e-6
"""The same as a share of the largest score, where that is more."""

FloatArray = npt.NDArray[np.float32]


class OnnxModel:
    """An exported model in onnxruntime, on the CPU, whose state goes on from window to window.

    Args:
        path: The file, as ``lmtrain.export.onnx_graph`` describes it.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._state: dict[str, FloatArray] = {}

    def reset(self, batch_size: int) -> None:
        """Goes back to the state before any word, zeros, of so many streams."""
        _, *states = self._session.get_inputs()
        self._state = {s.name: np.zeros((s.shape[0], batch_size, s.shape[2]), np.float32) for s in states}

    def log_probs(self, input_ids: npt.NDArray[np.int64]) -> FloatArray:
        """Log-probabilities, (T, B, V), of the words after each of a window (T, B)."""
        log_probs, *state = self._session.run(None, {"input_ids": input_ids, **self._state})
        self._state = dict(zip(self._state, state, strict=True))
        return log_probs  # type: ignore[no-any-return]


class Difference(NamedTuple):
    """Between the log-probabilities of an exported model and of the model itself, where it matters most."""

    nats: float
    """Infinite where those of onnxruntime alone are not finite, NaN where the model's own are not."""
    allowed: float
    """What rounding may make of it: more where scores are large, since float32 has but seven digits."""


@torch.inference_mode()
def greatest_difference(path: Path, model: LanguageModel, shapes: Sequence[tuple[int, int]]) -> Difference:
    """The difference that is the most, measured by what is allowed there.

    Args:
        path: The exported model.
        model: The model.
        shapes: (T, B) of random words. Two windows of each are read, the second from the state after the
            first.
    """
    exported, draw = OnnxModel(path), np.random.default_rng(0)
    greatest = Difference(0.0, TOLERANCE)
    with model.evaluating():
        for shape in shapes:
            exported.reset(shape[1])
            state = model.initial_state(shape[1])
            for _ in range(2):
                input_ids = draw.integers(model.vocab_size, size=shape)
                reading = model(torch.from_numpy(input_ids).to(model.device), state)
                state = reading.state
                logits = model.softmax.logits(reading.features)
                ours = logits.log_softmax(dim=-1).cpu().numpy()
                if not np.isfinite(ours).all():
                    return Difference(math.nan, TOLERANCE)
                difference = np.nan_to_num(np.abs(exported.log_probs(input_ids) - ours), nan=np.inf).max(-1)
                allowed = np.maximum(TOLERANCE, _RELATIVE * logits.abs().amax(-1).cpu().numpy())
                worst = np.unravel_index((difference / allowed).argmax(), allowed.shape)
                found = Difference(float(difference[worst]), float(allowed[worst]))
                greatest = max(greatest, found, key=lambda each: each.nats / each.allowed)
    return greatest
