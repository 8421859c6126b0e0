"""Processes that train one model together: each reads some streams of the batch, and they add up gradients.

Everything else belongs to the whole batch: position, random draws, counts. So the number of processes changes
nothing but rounding, and never enters a snapshot.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lmtrain.model.noise import Columns


class Ranks:
    """One process on its own: it reads all streams, and there is nobody to add up with."""

    rank = 0
    """Of this process, from 0."""
    size = 1
    """How many there are."""

    def columns(self, batch_size: int) -> Columns | None:  # noqa: ARG002
        """Which of so many streams this process reads; None where it reads them all."""
        return None

    def add_up(self, parameters: Iterable[nn.Parameter], sums: Tensor) -> Tensor:  # noqa: ARG002
        """Replaces gradients by their sums over all processes, and returns those of ``sums``, a vector."""
        return sums

    def gather(self, columns: Tensor) -> Tensor:
        """A tensor (B, …) of all streams, from those of each process."""
        return columns


class ProcessGroup(Ranks):
    """Processes of torch.distributed, which has been initialised.

    All of them call the methods that communicate, in the same order.

    Args:
        group: Which processes; by default all of them.
        compress: Whether gradients travel as bfloat16: half as many bytes, and sums that are rounded.

    Raises:
        RuntimeError: Of these methods: another process is gone, or has not answered in time.
    """

    def __init__(self, group: dist.ProcessGroup | None = None, *, compress: bool = False) -> None:
        self.rank = dist.get_rank(group)
        self.size = dist.get_world_size(group)
        self._group = group
        self._compress = compress

    def columns(self, batch_size: int) -> Columns:
        """Neighbouring streams, as many for each process as for the others, or one more.

        Of fewer streams than processes, some get none.
        """
        first, end = (rank * batch_size // self.size for rank in (self.rank, self.rank + 1))
        return Columns(slice(first, end), batch_size)

    @torch.no_grad()
    def add_up(self, parameters: Iterable[nn.Parameter], sums: Tensor) -> Tensor:
        """See ``Ranks``. A gradient that no process has stays away.

        Where one is missing in this process, the device is waited for.

        What is not finite in one process is not finite in the sum, so that all decide alike.
        """
        trained = [p for p in parameters if p.requires_grad]
        is_there = [p.grad is not None for p in trained]
        header = torch.cat([sums.float(), torch.tensor(is_there, dtype=torch.float32).to(sums.device)])
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        if self._compress:
            self._sum([header])
            self._sum(gradients, torch.bfloat16)
        else:
            self._sum([header, *gradients])
        counts = [1.0] * len(trained) if all(is_there) else header[len(sums) :].tolist()
        for p, gradient, count in zip(trained, gradients, counts, strict=True):
            p.grad = gradient if count else None
        return header[: len(sums)]

    def _sum(self, tensors: Sequence[Tensor], dtype: torch.dtype = torch.float32) -> None:
        """Sums over the processes, in place and in one message."""
        message = torch.cat([tensor.flatten().to(dtype) for tensor in tensors])
        dist.all_reduce(message, group=self._group)
        totals = torch.split(message, [tensor.numel() for tensor in tensors])
        for tensor, total in zip(tensors, totals, strict=True):
            tensor.copy_(total.view_as(tensor))

    def gather(self, columns: Tensor) -> Tensor:
        """See ``Ranks``; each process has as many streams as the others."""
        parts = [torch.empty_like(columns) for _ in range(self.size)]
        dist.all_gather(parts, columns.contiguous(), group=self._group)
        return torch.cat(parts)
