"""How processes that train together meet, and how they end together whatever happens to one of them.

They speak through the key-value store of ``torch.distributed``, which a process asks and never waits in: so
it can be interrupted, and learns of another's end. Who fails says so in the store before it leaves, and no
collective operation is called after that. One process tells the user.
"""

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from itertools import count
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Generic, Self, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from lmtrain.errors import ConfigError, EndedElsewhere, LostProcessError
from lmtrain.machine.place import Place
from lmtrain.training.distributed import ProcessGroup, Ranks, speaking

T = TypeVar("T")

_ASK_AGAIN = 0.05
_PATIENCE = 3.0
"""Seconds: until a process that fails has said so, or is known to be gone."""
_STORE_TIMEOUT = timedelta(seconds=10)
_trainings = count()


class Alone:
    """A process that trains on its own, and never needs to wait for another."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the training for all."""

    def meet(self, what: str) -> None:
        """Waits until all processes have come so far."""

    @contextmanager
    def one_a_machine_first(self, what: str) -> Iterator[None]:  # noqa: ARG002
        """Lets one process of each machine do a thing before the others, which then find it done."""
        yield

    def refuse_differences(self, facts: Mapping[str, str]) -> None:
        """Makes sure that all processes have the same before them as the first.

        Raises:
            ConfigError: They differ; names what.
        """

    @contextmanager
    def group(self, device: torch.device, *, compress: bool = False) -> Iterator[Ranks]:  # noqa: ARG002
        """What adds up gradients, over the block."""
        yield Ranks()


class Peers(Alone):
    """The processes of a training, as one of them sees them while it is entered.

    Args:
        place: Of this process.
        timeout: Seconds after which one that cannot be heard is given up.

    Raises:
        LostProcessError: Another process is gone; names it.
        EndedElsewhere: Another process has failed, and told why.
    """

    def __init__(self, place: Place, timeout: float) -> None:
        self._place = place
        self._timeout = timeout
        self._meetings = count()
        self._answer_within = timeout
        with speaking():
            self._store = PrefixStore(f"lmtrain/{next(_trainings)}", _store(place, timeout))
            self._store.set_timeout(_STORE_TIMEOUT)
        self._say("at", f"{_machine()} {os.getpid()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, EndedElsewhere):
            return
        told, code = error, getattr(error, "exit_code", 1)
        self._answer_within = min(self._timeout, _PATIENCE)
        try:
            if isinstance(error, LostProcessError):
                told = self._explain(error)
            self._say("failed", str(code))
            if not self._is_to_tell():
                raise EndedElsewhere(code)
        except LostProcessError as lost:  # without the store, everybody tells
            told = lost if isinstance(error, LostProcessError) else error
        if told is not error:
            raise told from error

    @property
    def _others(self) -> list[int]:
        return [rank for rank in range(self._place.size) if rank != self._place.rank]

    def meet(self, what: str) -> None:
        """See ``Alone``. A process of this machine is waited for as long as it lives."""
        what = f"{what}, meeting {next(self._meetings)}"
        self._say(what, "here")
        since = time.monotonic()
        while missing := [rank for rank in range(self._place.size) if not self._has_said(what, rank)]:
            self._end_with_others()
            # Who has come meanwhile may have gone on to its end.
            if gone := [rank for rank in self._gone(missing) if not self._has_said(what, rank)]:
                raise LostProcessError(f"{_names(gone)} gone")
            if time.monotonic() - since > self._timeout and not self._alive_here(missing):
                raise LostProcessError(
                    f"{_names(missing)} not heard of for {self._timeout:g} seconds (distributed.timeout)"
                )
            time.sleep(_ASK_AGAIN)

    @contextmanager
    def one_a_machine_first(self, what: str) -> Iterator[None]:
        """See ``Alone``."""
        if self._place.local_rank == 0:
            yield
            self.meet(f"{what} done")
        else:
            self.meet(f"{what} done")
            yield

    def refuse_differences(self, facts: Mapping[str, str]) -> None:
        """See ``Alone``."""
        for name, value in facts.items():
            self._say(f"fact {name}", value)
        self.meet("facts")
        problems = [
            f"{name}: other in process {rank} than in process 0"
            for name, value in facts.items()
            for rank in range(self._place.size)
            if self._heard(f"fact {name}", rank) != self._heard(f"fact {name}", 0)
        ]
        if problems:
            raise ConfigError(problems, "the processes do not train the same")

    def _explain(self, error: LostProcessError) -> LostProcessError:
        """Waits a moment, for a process that is gone has perhaps said why, and names it."""
        self._say("alone", "yes")
        others = self._others
        since, gone = time.monotonic(), list[int]()
        while not gone and time.monotonic() - since < _PATIENCE:
            self._end_with_others()
            gone = self._gone(others)
            time.sleep(_ASK_AGAIN)
        silent = [rank for rank in others if not self._has_said("alone", rank)]
        who = gone or [rank for rank in silent if not self._alive_here([rank])] or silent
        if not who:
            return LostProcessError(f"the processes have lost each other ({error})")
        return LostProcessError(f"{_names(who)} gone, or cannot be reached ({error})")

    def _is_to_tell(self) -> bool:
        """Whether it is this process that tells the user: the first, if it knows too."""
        if not self._place.is_first:
            since = time.monotonic()
            while time.monotonic() - since < 1.0:
                if self._has_said("failed", 0):
                    return False
                time.sleep(_ASK_AGAIN)
        return self._answer(lambda: bool(self._store.add("told", 1) == 1))

    def _end_with_others(self) -> None:
        for rank in self._others:
            if self._has_said("failed", rank):
                raise EndedElsewhere(int(self._heard("failed", rank)))

    def _alive_here(self, ranks: list[int]) -> bool:
        """Whether one of these is on this machine, and lives."""
        return any(self._pid(rank) is not None for rank in ranks) and not self._gone(ranks)

    def _gone(self, ranks: list[int]) -> list[int]:
        """Those of this machine whose process is no more."""
        return [rank for rank in ranks if (pid := self._pid(rank)) is not None and not _is_alive(pid)]

    def _pid(self, rank: int) -> int | None:
        """None of a process on another machine, or one that has not come yet."""
        if not self._has_said("at", rank):
            return None
        machine, pid = self._heard("at", rank).rsplit(" ", 1)
        return int(pid) if machine == _machine() else None

    def _say(self, what: str, value: str) -> None:
        self._answer(lambda: self._store.set(f"{what}/{self._place.rank}", value))

    def _has_said(self, what: str, rank: int) -> bool:
        return self._answer(lambda: bool(self._store.check([f"{what}/{rank}"])))

    def _heard(self, what: str, rank: int) -> str:
        return self._answer(lambda: bytes(self._store.get(f"{what}/{rank}")).decode())

    def _answer(self, question: Callable[[], T]) -> T:
        """What the store says. Where the network is cut, it would be waited for without end."""
        asked = _Aside(question)
        asked.join(self._answer_within)
        if asked.is_alive():
            raise LostProcessError("the other processes cannot be reached")
        return asked.result()

    @contextmanager
    def group(self, device: torch.device, *, compress: bool = False) -> Iterator[Ranks]:
        """See ``Alone``: by gloo on CPUs, and by NCCL on CUDA devices, where gloo does what is on the CPU."""
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
        joined = _Aside(
            lambda: dist.init_process_group(
                backend,
                store=PrefixStore("group", self._store),
                rank=self._place.rank,
                world_size=self._place.size,
                timeout=timedelta(seconds=self._timeout),
            )
        )
        while joined.is_alive():  # which hears of no signal, and not of a process that is gone
            joined.join(_ASK_AGAIN)
            self._end_with_others()
            if gone := self._gone(self._others):
                raise LostProcessError(f"{_names(gone)} gone")
        joined.result()
        yield ProcessGroup(compress=compress)
        self.meet("end")
        dist.destroy_process_group()  # not after an error: it would wait for those that are gone


class _Aside(Thread, Generic[T]):
    """What may never come back, done beside the main thread, so that this one hears of signals.

    Args:
        action: Speaks to other processes.
    """

    def __init__(self, action: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._action = action
        self._outcome: T
        self._fault: Exception | None = None
        self.start()

    def run(self) -> None:
        """Does it."""
        try:
            with speaking():
                self._outcome = self._action()
        except Exception as error:  # noqa: BLE001  (raised where the result is taken)
            self._fault = error

    def result(self) -> T:
        """What came of it, once it is done.

        Raises:
            LostProcessError: Another process is gone.
        """
        if self._fault:
            raise self._fault
        return self._outcome


def peers_of(place: Place, timeout: float) -> Alone:
    """The processes that a process trains with; arguments as of ``Peers``."""
    return Peers(place, timeout) if place.size > 1 else Alone()


@cache
def _store(place: Place, timeout: float) -> Store:
    found = rendezvous("env://", place.rank, place.size, timeout=timedelta(seconds=timeout))
    store: Store = next(iter(found))[0]
    return store


@cache
def _machine() -> str:
    """Where numbers of processes mean the same; names of machines are not always their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode()}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _names(ranks: list[int]) -> str:
    if len(ranks) == 1:
        return f"process {ranks[0]} is"
    return f"processes {', '.join(map(str, ranks))} are"
