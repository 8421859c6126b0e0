"""Processes that train one model together: each reads some streams of the batch, and they add up gradients.

Everything else belongs to the whole batch: position, random draws, counts. So the number of processes changes
nothing but rounding, and never enters a snapshot.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lmtrain.errors import LostProcessError
from lmtrain.model.noise import Columns

_BUCKET = 1 << 20
"""Numbers that travel in one message, or a parameter that has more: of the first, half is left to compute."""

Votes = list[int]


class Ranks:
    """One process on its own: it reads all streams, and there is nobody to add up with."""

    rank = 0
    """Of this process, from 0."""
    size = 1
    """How many there are."""

    @property
    def is_first(self) -> bool:
        """Whether this process owns the run directory and the terminal."""
        return self.rank == 0

    def columns(self, batch_size: int) -> slice:
        """Which of so many streams, or other parts of the work, this process reads."""
        return slice(0, batch_size)

    def follow(self, parameters: Iterable[nn.Parameter]) -> "GradientSum":
        """What will add up the gradients of these."""
        return GradientSum(parameters)

    def gather(self, columns: Tensor) -> Tensor:
        """A tensor (B, …) of all streams, from those of each process."""
        return columns

    def total(self, values: Tensor) -> Tensor:
        """The sums of a vector, in its type, on the CPU, over all processes."""
        return values

    def take_first(self, tensors: Iterable[Tensor]) -> None:
        """Fills tensors with what they are in the first process."""

    def say(self, value: Any) -> Any:
        """What the first process says: any JSON value."""
        return value

    def ask(self, votes: Callable[[], Votes]) -> Callable[[], Votes]:
        """Adds up the votes of all processes, while other work goes on until the result is asked for."""
        return votes


class GradientSum:
    """Gradients of one process, which are all there is.

    Args:
        parameters: Of which they are.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]

    @contextmanager
    def during_backward(self) -> Iterator[None]:
        """While the last gradients of a step are computed, those that are complete are on their way."""
        yield

    def finish(self, sums: Tensor) -> Tensor:
        """Replaces gradients by their sums over all processes, and returns those of ``sums``, a vector."""
        return sums


class ProcessGroup(Ranks):
    """Processes of torch.distributed, which has been initialised.

    All of them call the methods that communicate, in the same order.

    Args:
        group: Which processes; by default all of them.
        compress: Whether gradients travel as bfloat16: half as many bytes, and sums that are rounded.

    Raises:
        LostProcessError: Of these methods: another process is gone, or has not answered in time.
    """

    def __init__(self, group: dist.ProcessGroup | None = None, *, compress: bool = False) -> None:
        self.rank = dist.get_rank(group)
        self.size = dist.get_world_size(group)
        self._group = group
        self._compress = compress

    def columns(self, batch_size: int) -> slice:
        """Neighbouring streams, as many for each process as for the others, or one more.

        Of fewer streams than processes, some get none.
        """
        first, end = (-(-rank * batch_size // self.size) for rank in (self.rank, self.rank + 1))
        return slice(first, end)

    def follow(self, parameters: Iterable[nn.Parameter]) -> "GradientSum":
        """See ``Ranks``."""
        return OverlappedSum(parameters, self._group, torch.bfloat16 if self._compress else torch.float32)

    def gather(self, columns: Tensor) -> Tensor:
        """See ``Ranks``; each process has as many streams as the others."""
        parts = [torch.empty_like(columns) for _ in range(self.size)]
        with speaking():
            dist.all_gather(parts, columns.contiguous(), group=self._group)
        return torch.cat(parts)

    def total(self, values: Tensor) -> Tensor:
        """See ``Ranks``; the same bits in each process."""
        total = values.clone()
        with speaking():
            dist.all_reduce(total, group=self._group)
        return total

    @torch.no_grad()
    def take_first(self, tensors: Iterable[Tensor]) -> None:
        """See ``Ranks``."""
        with speaking():
            for tensor in tensors:
                dist.broadcast(tensor, group_src=0, group=self._group)

    def say(self, value: Any) -> Any:
        """See ``Ranks``; nothing is unpickled."""
        data = json.dumps(value).encode() if self.is_first else b""
        size = torch.tensor([len(data)])
        self.take_first([size])
        message = torch.zeros(int(size), dtype=torch.uint8)
        if self.is_first:
            message.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        self.take_first([message])
        return json.loads(message.numpy().tobytes())

    def ask(self, votes: Callable[[], Votes]) -> Callable[[], Votes]:
        """See ``Ranks``; who has asked must take the result before it asks again."""
        total = torch.tensor(votes())
        with speaking():
            work: Any = dist.all_reduce(total, group=self._group, async_op=True)

        def result() -> Votes:
            with speaking():
                work.wait()
            counted: Votes = total.tolist()
            return counted

        return result


class OverlappedSum(GradientSum):
    """Adds up gradients in a few messages, each of which leaves when its gradients are complete.

    The last layers have theirs first, and while they travel, backpropagation goes on. Messages leave in the
    same order in all processes, though a process may have no gradient of a parameter (of a cluster of words
    that its streams do not have).

    Args:
        parameters: Of which they are, in the order of the model.
        group: The processes.
        dtype: What travels.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], group: dist.ProcessGroup | None, dtype: torch.dtype
    ) -> None:
        super().__init__(parameters)
        self._group = group
        self._dtype = dtype
        self._buckets = list(_buckets(self.parameters))
        self._is_followed = False
        self._done: set[int] = set()
        self._sent: list[tuple[Tensor, Any]] = []
        for p in self.parameters:
            p.register_post_accumulate_grad_hook(self._note)  # type: ignore[no-untyped-call]

    @contextmanager
    def during_backward(self) -> Iterator[None]:
        """See ``GradientSum``."""
        self._is_followed = True
        yield
        self._is_followed = False

    def _note(self, p: nn.Parameter) -> None:
        if not self._is_followed:
            return
        self._done.add(id(p))
        while len(self._sent) < len(self._buckets) and self._done.issuperset(
            map(id, self._buckets[len(self._sent)])
        ):
            self._send_next()

    @torch.no_grad()
    def _send_next(self) -> None:
        bucket = self._buckets[len(self._sent)]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
        message = torch.cat([gradient.flatten().to(self._dtype) for gradient in gradients])
        self._sent.append((message, self._sum(message)))

    def _sum(self, message: Tensor) -> Any:
        with speaking():
            return dist.all_reduce(message, group=self._group, async_op=True)

    @torch.no_grad()
    def finish(self, sums: Tensor) -> Tensor:
        """See ``GradientSum``. A gradient that no process has stays away.

        Where one is missing in this process, the device is waited for.

        What is not finite in one process is not finite in the sum, so that all decide alike.
        """
        is_there = [p.grad is not None for p in self.parameters]
        while len(self._sent) < len(self._buckets):
            self._send_next()
        header = torch.cat([sums.float(), torch.tensor(is_there, dtype=torch.float32).to(sums.device)])
        last = self._sum(header)
        with speaking():
            for _, work in (*self._sent, (header, last)):
                work.wait()
        for bucket, (message, _) in zip(self._buckets, self._sent, strict=True):
            parts = torch.split(message.float(), [p.numel() for p in bucket])
            for p, part in zip(bucket, parts, strict=True):
                p.grad = part.view_as(p)
        if not all(is_there):
            for p, count in zip(self.parameters, header[len(sums) :].tolist(), strict=True):
                p.grad = p.grad if count else None
        self._sent.clear()
        self._done.clear()
        return header[: len(sums)]


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Neighbours that travel together, those that backpropagation comes to first before the others."""
    bucket: list[nn.Parameter] = []
    for p in reversed(parameters):
        bucket.append(p)
        if sum(each.numel() for each in bucket) >= _BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


def columns_of(mine: slice, parts: int, batch_size: int) -> Iterator[Columns]:
    """Streams that a process reads one part after the other, for want of memory; none is left empty."""
    size = mine.stop - mine.start
    cuts = [mine.start + part * size // parts for part in range(parts + 1)]
    for first, end in pairwise(cuts):
        if first < end:
            yield Columns(slice(first, end), batch_size)


@contextmanager
def speaking() -> Iterator[None]:
    """While processes speak to each other, what breaks the connection is one clear error.

    Raises:
        LostProcessError: Another process is gone, or has not answered in time.
    """
    try:
        yield
    except RuntimeError as error:  # of gloo, of NCCL, and of the store
        raise LostProcessError(str(error).strip().split("\n")[0]) from error
