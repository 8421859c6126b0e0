"""Tensors at random, and how far two are from each other."""

import torch
from torch import Tensor


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def distance(a: Tensor, b: Tensor) -> float:
    """Of two tensors, relative to the second."""
    return float((a.float() - b).norm() / b.norm())
