"""How far back a loss sends its gradient: ‖∂loss_t / ∂state_{t-k}‖ against k.

The state of step t - k is all that is carried from there into the next step, of all layers (h, for an LSTM h
and c): whatever the words up to then contribute to loss_t passes through it. A gradient that shrinks with k
vanishes, one that grows explodes. A few words have gradients many times those of others and would rule a
mean: what stands for k is the median, loss by loss, of the norm at k over that at 1.

Source: Pascanu, Mikolov and Bengio (2013), "On the difficulty of training recurrent neural networks",
section 2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmtrain.inference.windows import HeldOutWindow, Positions
from lmtrain.model.language_model import LanguageModel, ModelState
from lmtrain.report.measure.held_out import HeldOutText, Watch, unwatched

THRESHOLD = 0.01
"""Of the gradient one step back: below it, a step counts as out of reach."""
_STEPS = 200
_MIN_POSITIONS = 20
"""That have k steps behind them: a median of fewer says nothing."""
_BATCH = 64
_WASTED = 4
"""A window so many times as long as the gradient reaches is longer than it need be."""

Norms = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GradientReach:
    """Norms of gradients by the number of steps back, k = 1, 2, …, K.

    Attributes:
        num_positions: Losses that were followed back.
        whole: Of the state of all layers: median of the norm at k over that at 1, loss by loss; (K).
        low: Tenth percentile; (K).
        high: Ninetieth percentile; (K).
        mean: The mean norm at k over the mean norm at 1 of the same losses, which the largest rule; (K).
        parts: The same as ``whole`` for each layer and each tensor of its state, over the norm of the whole
            state at 1; by a name such as ``layer 1 h``.
        bptt_len: Steps that gradients were followed back in training; None if to the start of the line.
    """

    num_positions: int
    whole: Norms
    low: Norms
    high: Norms
    mean: Norms
    parts: dict[str, Norms]
    bptt_len: int | None

    @property
    def max_steps(self) -> int:
        """K."""
        return len(self.whole)

    @property
    def reach(self) -> int | None:
        """The k from which on half of the losses have below 1 % of theirs at 1 left; None beyond K."""
        above = np.flatnonzero(~(self.whole < THRESHOLD))
        first = int(above[-1]) + 2 if len(above) else 1
        return first if first <= self.max_steps else None

    @property
    def peak(self) -> float:
        """The largest relative norm; 1 if the gradient never grows on its way back."""
        return float(self.whole.max())

    @property
    def verdict(self) -> str:
        """Of ``bptt_len``: ``too short``, ``about right``, ``wasted``; ``whole lines`` or ``unknown``."""
        if self.bptt_len is None:
            return "whole lines"
        if self.reach is None:
            return "too short" if self.max_steps > self.bptt_len else "unknown"
        if self.reach > self.bptt_len:
            return "too short"
        return "wasted" if self.bptt_len > _WASTED * self.reach else "about right"

    def to_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return {
            "num_positions": self.num_positions,
            "reach": self.reach,
            "peak": self.peak,
            "bptt_len": self.bptt_len,
            "verdict": self.verdict,
            "relative_norm": self.whole.tolist(),
            "mean_relative_norm": self.mean.tolist(),
            "tenth_percentile": self.low.tolist(),
            "ninetieth_percentile": self.high.tolist(),
            "parts": {name: norms.tolist() for name, norms in self.parts.items()},
        }


def gradient_reach(
    model: LanguageModel,
    text: HeldOutText,
    *,
    bptt_len: int | None,
    num_positions: int = 512,
    max_steps: int | None = None,
    seed: int = 1,
    watch: Watch = unwatched,
) -> GradientReach:
    """Follows the losses of sampled tokens back through the steps before them.

    Args:
        model: In any mode; dropout is off meanwhile.
        text: Held-out.
        bptt_len: Of the training; None in line context.
        num_positions: Losses to follow.
        max_steps: K; by default 200 or twice ``bptt_len``, whichever is more, as far as the text goes.
        seed: Of the sample.
        watch: Shows how far it has come.

    Returns:
        The norms, for as many steps as enough of the losses have behind them. The states were reached by
        reading up to K more words before them, in line context from the start of the line.
    """
    steps = max_steps or max(_STEPS, 2 * (bptt_len or 0))
    positions = text.sample(text.num_tokens, seed)
    # At least one step back; in a stream as many as can be had, with as many words again read before them.
    limit = 2 * steps
    least = 2
    if text.context == "stream":
        limit = least = min(limit, text.num_tokens // 2 + 1)
    chosen = _draw(positions[text.context_lengths(positions) >= least], num_positions, seed)
    norms = np.concatenate(list(_norms(model, text, chosen, steps, limit, watch)))  # (N, 1 + parts, K)
    return _summary(norms, _part_names(model), bptt_len)


def _draw(positions: Positions, number: int, seed: int) -> Positions:
    if number >= len(positions):
        return positions
    return np.sort(np.random.default_rng(seed).choice(positions, number, replace=False))


def _part_names(model: LanguageModel) -> list[str]:
    """Those of an LSTM are h and c; what a cell carries beside them has a number."""
    return [
        f"layer {i} {'hc'[j] if j < 2 else f'state {j + 1}'}"
        for i, layer in enumerate(model.recurrent_layers(), 1)
        for j in range(layer.num_states)
    ]


def _norms(
    model: LanguageModel, text: HeldOutText, positions: Positions, steps: int, limit: int, watch: Watch
) -> Iterator[Norms]:
    groups = [
        group[start : start + _BATCH]
        for group in text.batches(positions, limit)
        for start in range(0, len(group), _BATCH)
    ]
    with model.evaluating(), torch.enable_grad():
        for group in watch(groups, "gradient reach", len(groups)):
            yield batch_norms(model, text.window(group, limit), steps)


def batch_norms(model: LanguageModel, window: HeldOutWindow, steps: int) -> Norms:
    """Norms of the gradients of each loss of a window by the states before it.

    Args:
        model: In evaluation mode, with gradients enabled.
        window: The T tokens before B targets, which stand at its last step.
        steps: K. The first T - K tokens are read without a gradient.

    Returns:
        float64, shape (B, 1 + parts, K): first of the whole state, then of its tensors; NaN where k >= T, at
        the start of the context.
    """
    device = model.device
    input_ids, targets = window.input_ids.to(device), window.targets[-1].to(device)
    lead = max(1, len(input_ids) - steps)
    state = model.initial_state(len(targets))
    with torch.no_grad():
        reading = model(input_ids[:lead], state)
    carried: list[list[Tensor]] = []
    for word in input_ids[lead:]:
        state, cut = _cut(reading.state)
        carried.append(cut)
        reading = model(word[None], state)
    norms = np.full((len(targets), 1 + len(_flat(state)), steps), np.nan)
    if carried:
        loss = model.softmax.loss(reading.features[-1], targets)  # a sum: each row has its own gradient
        flat = [tensor for cut in carried for tensor in cut]
        gradients = torch.autograd.grad(loss, flat)
        squares = torch.stack([g.double().square().sum(dim=1) for g in gradients])
        squares = squares.view(len(carried), -1, len(targets)).flip(0).permute(2, 1, 0)  # (B, parts, k)
        norms[:, 1:, : len(carried)] = squares.sqrt().cpu().numpy()
        norms[:, 0, : len(carried)] = squares.sum(dim=1).sqrt().cpu().numpy()
    return norms


def _cut(state: ModelState) -> tuple[ModelState, list[Tensor]]:
    """The same state in tensors of its own, which nothing but the next step reads."""
    fresh: ModelState = []
    for layer in state:
        copies = tuple(tensor.clone() for tensor in layer)
        for copy in copies:
            if not copy.requires_grad:  # the first: nothing before it is differentiated
                copy.requires_grad_()
        fresh.append(copies)
    return fresh, _flat(fresh)


def _flat(state: ModelState) -> list[Tensor]:
    return [tensor for layer in state for tensor in layer]


def _summary(norms: Norms, names: list[str], bptt_len: int | None) -> GradientReach:
    """Of the losses that have k steps behind them; of the ratios, those of each to its own norm at 1."""
    whole = norms[:, 0]  # (N, K)
    known = (~np.isnan(whole)).sum(axis=0) >= min(_MIN_POSITIONS, len(whole))
    first = np.where(np.isnan(whole), np.nan, whole[:, :1])[:, None]  # (N, 1, K)
    has_any = whole[:, 0] > 0  # a word that was certain sends none back, of which no share can be left
    if has_any.any():
        norms, first = norms[has_any], first[has_any]
    ratios = (norms / np.where(first == 0, 1.0, first))[:, :, known]  # (N, 1 + parts, K)
    low, high = np.nanpercentile(ratios[:, 0], (10, 90), axis=0)
    medians = np.nanmedian(ratios, axis=0)
    base = np.nansum(first[:, 0], axis=0)[known]
    mean = np.nansum(norms[:, 0], axis=0)[known] / np.where(base > 0, base, 1.0)
    parts = dict(zip(names, medians[1:], strict=True))
    return GradientReach(len(whole), medians[0], low, high, mean, parts, bptt_len)
