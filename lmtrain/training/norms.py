"""The 2-norm of many numbers, to six digits however many there are."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

_ROW = 1 << 12
"""Numbers that are summed in float32. A sum of 20 million of them in one go has lost the fourth digit."""


def global_norm(tensors: Sequence[Tensor]) -> Tensor:
    """The 2-norm of all elements of float32 tensors together: a float64 scalar on their device.

    Short rows are summed in float32, at the speed of one pass over memory; their norms in float64.
    """
    rows = [torch.linalg.vector_norm(part, dim=-1).flatten() for t in tensors for part in _in_rows(t)]
    return torch.cat(rows).double().square().sum().sqrt()


def _in_rows(tensor: Tensor) -> Iterator[Tensor]:
    if tensor.dim() > 1 and tensor.shape[-1] <= _ROW:
        yield tensor
        return
    flat = tensor.flatten()
    whole = len(flat) // _ROW * _ROW
    yield flat[:whole].view(-1, _ROW)
    yield flat[whole:][None]
