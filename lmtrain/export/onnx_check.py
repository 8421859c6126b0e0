"""What onnxruntime makes of an exported model, held against what the model says itself."""

import math
from collections.abc import Callable, Mapping, Sequence
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
        return self.run({"input_ids": input_ids})

    def run(self, given: Mapping[str, npt.NDArray[np.int64]]) -> FloatArray:
        """The first of what comes out, when this and the state go in."""
        first, *state = self._session.run(None, {**given, **self._state})
        self._state = dict(zip(self._state, state, strict=True))
        return first  # type: ignore[no-any-return]


def stepwise(model: OnnxModel, input_ids: npt.NDArray[np.int64]) -> FloatArray:
    """``log_probs`` of a file that takes ``x``, (B, L), and tells of the word after the last."""
    return np.stack([model.run({"x": ids[:, None]}) for ids in input_ids])


class Difference(NamedTuple):
    """Between the log-probabilities of an exported model and of the model itself, where it matters most."""

    nats: float
    """Infinite where those of onnxruntime alone are not finite, NaN where the model's own are not."""
    allowed: float
    """What rounding may make of it: more where scores are large, since float32 has but seven digits."""


@torch.inference_mode()
def greatest_difference(
    path: Path,
    model: LanguageModel,
    shapes: Sequence[tuple[int, int]],
    read: Callable[[OnnxModel, npt.NDArray[np.int64]], FloatArray] = OnnxModel.log_probs,
) -> Difference:
    """The difference that is the most, measured by what is allowed there.

    Args:
        path: The exported model.
        model: The model.
        shapes: (T, B) of random words. Two windows of each are read, the second from the state after the
            first.
        read: Gives the log-probabilities of a window.
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
                difference = np.nan_to_num(np.abs(read(exported, input_ids) - ours), nan=np.inf).max(-1)
                allowed = np.maximum(TOLERANCE, _RELATIVE * logits.abs().amax(-1).cpu().numpy())
                worst = np.unravel_index((difference / allowed).argmax(), allowed.shape)
                found = Difference(float(difference[worst]), float(allowed[worst]))
                greatest = max(greatest, found, key=lambda each: each.nats / each.allowed)
    return greatest


@torch.inference_mode()
def difference_of_sums(
    path: Path, model: LanguageModel, shapes: Sequence[tuple[int, int]], eos_id: int
) -> Difference:
    """The same of a file that takes ``x``, (B, T), and ``x_lens``, and gives what whole lines cost.

    Args:
        path: The exported model.
        model: The model.
        shapes: (T, B) of random words; lines are of all lengths up to T.
        eos_id: The id of ``<eos>``.
    """
    exported, draw = OnnxModel(path), np.random.default_rng(0)
    greatest = Difference(0.0, TOLERANCE)
    with model.evaluating():
        for time, batch in shapes:
            ids = draw.integers(model.vocab_size, size=(batch, time))
            lengths = draw.integers(time + 1, size=batch)
            found = exported.run({"x": ids, "x_lens": lengths})
            for row, length, cost in zip(ids, lengths, found, strict=True):
                line = torch.tensor([eos_id, *row[:length], eos_id], device=model.device)[:, None]
                features = model(line[:-1], model.initial_state(1)).features[:, 0]
                logits = model.softmax.logits(features)
                ours = -logits.log_softmax(dim=-1).gather(1, line[1:]).double().sum().item()
                if not math.isfinite(ours):
                    return Difference(math.nan, TOLERANCE)
                allowed = len(features) * max(TOLERANCE, _RELATIVE * logits.abs().max().item())
                nats = abs(float(cost) - ours)
                difference = Difference(nats if math.isfinite(nats) else math.inf, allowed)
                greatest = max(greatest, difference, key=lambda each: each.nats / each.allowed)
    return greatest
