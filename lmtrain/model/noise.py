"""Every random draw of training: one generator, and for the streams of the whole batch.

A snapshot holds the generator, so that a run that is resumed draws what it would have drawn. Where several
processes share out the streams of a batch, each draws for all of them and keeps its own columns, so that one
process or four see the same masks.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_STATE_BYTES = {5056, 16}
"""Of a generator on the CPU and of one on a CUDA device."""
_BITS = 16
"""Drawn for each one or zero of a mask, on the CPU."""


@dataclass(frozen=True)
class Columns:
    """Which streams of the global batch this process reads.

    Attributes:
        mine: Theirs, ascending.
        batch_size: The streams of all processes together.
    """

    mine: slice
    batch_size: int

    @property
    def size(self) -> int:
        """How many are read."""
        return int(self.mine.stop - self.mine.start)


class Noise:
    """The source of all random draws of training.

    Args:
        generator: On the device that is trained on; by default torch's own, of each device.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self._generator = generator
        self.columns: Columns | None = None
        """Of the windows that are read; None where this process reads all of the batch."""

    def mask_like(self, activations: Tensor, keep: float) -> Tensor:
        """Ones with probability ``keep`` > 0, else zeros: as ``activations`` (T, B, …) in shape and type."""
        if self.columns is None:
            return self._ones_and_zeros(activations, activations.shape, keep)
        num_steps, _, *rest = activations.shape
        whole = torch.Size((num_steps, self.columns.batch_size, *rest))
        return self._ones_and_zeros(activations, whole, keep)[:, self.columns.mine]

    def shared_mask_like(self, weight: Tensor, keep: float) -> Tensor:
        """The same of any shape, for what all streams have in common: alike in all processes."""
        return self._ones_and_zeros(weight, weight.shape, keep)

    def _ones_and_zeros(self, like: Tensor, shape: torch.Size, keep: float) -> Tensor:
        if like.device.type != "cpu":
            return like.new_empty(shape).bernoulli_(keep, generator=self._generator)
        # torch draws 64 bits for each one or zero, on one thread. Here they serve four: a fifth of the time,
        # and ``keep`` in steps of 1/65,536.
        last_kept = max(1, round(keep * 2**_BITS)) - 1 - 2 ** (_BITS - 1)
        size = shape.numel()
        drawn = torch.empty(-(-size * _BITS // 64), dtype=torch.int64)
        drawn.random_(-(2**63), None, generator=self._generator)
        return drawn.view(torch.int16)[:size].view(shape).le(last_kept).to(like.dtype)

    def uniform(self, device: torch.device) -> Tensor:
        """A number from 0 to 1, the same in all processes: a float64 scalar."""
        return torch.rand((), dtype=torch.float64, device=device, generator=self._generator)

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator, bytes on the CPU."""
        return {"generator": (self._generator or torch.default_generator).get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state that ``state_dict`` gave.

        Draws of one kind of device cannot be continued on another: there, they begin anew from a seed that
        the state alone decides.
        """
        generator, found = self._generator or torch.default_generator, state["generator"].cpu()
        if {found.numel(), generator.get_state().numel()} == _STATE_BYTES:
            digest = hashlib.sha256(found.numpy().tobytes()).digest()
            generator.manual_seed(int.from_bytes(digest[:7]))
        else:
            generator.set_state(found)
