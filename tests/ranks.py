"""Several processes that train together, each the whole program, as ``torchrun`` would start them."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from unittest.mock import patch

import torch
from torch.distributed import TCPStore

_HUNG = 120.0


def forking() -> ForkServerContext:
    """What starts processes that have all of torch and lmtrain loaded, and no threads of another's."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["loaded"])
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):  # which preloading does not take over
        forkserver.ensure_running()
    return context


@dataclass(frozen=True)
class Ending:
    """How a process ended."""

    code: int
    """Negative: killed by that signal."""
    said: str
    """What it wrote, both streams."""


class Group:
    """Processes that run one command, and the store they meet at, which outlives them.

    Args:
        size: How many.
        folder: Where they run, and keep what they write in ``said-N.txt``.
        arguments: Of ``lmtrain``.
        prepare: Done in a process before the program starts, with its rank. To be found by its name.
        restarts: How often they have been started before.
    """

    def __init__(
        self,
        size: int,
        folder: Path,
        arguments: Sequence[object],
        prepare: Callable[[int], object] | None = None,
        restarts: int = 0,
    ) -> None:
        self._store = TCPStore("127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=60))
        self._files = [folder / f"said-{rank}.txt" for rank in range(size)]
        for path in self._files:  # of a group before this one
            path.unlink(missing_ok=True)
        context = forking()
        self.processes = [
            context.Process(
                target=_work,
                args=(rank, size, self._store.port, restarts, folder, list(map(str, arguments)), prepare),
            )
            for rank in range(size)
        ]
        for process in self.processes:
            process.start()

    def signal(self, rank: int, number: int) -> None:
        """Sends a signal to a process; one that has ended does not mind."""
        process = self.processes[rank]
        if process.is_alive() and process.pid:
            os.kill(process.pid, number)

    def keep(self, seconds: float) -> None:
        """Watches over them for so long, as torchrun does: when one fails, the others are told to stop."""
        until = time.monotonic() + seconds
        while any(process.is_alive() for process in self.processes) and time.monotonic() < until:
            if any(process.exitcode for process in self.processes):
                for rank in range(len(self.processes)):
                    self.signal(rank, signal.SIGTERM)
                return
            time.sleep(0.1)

    def wait(self, seconds: float = _HUNG) -> list[Ending]:
        """Waits for all; kills those that take longer."""
        until = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, until - time.monotonic()))
        for rank in range(len(self.processes)):
            self.signal(rank, signal.SIGKILL)
        for process in self.processes:
            process.join()
        texts = [path.read_text(errors="replace") if path.exists() else "" for path in self._files]
        return [Ending(p.exitcode or 0, text) for p, text in zip(self.processes, texts, strict=True)]


def train_together(
    size: int, folder: Path, *options: object, prepare: Callable[[int], object] | None = None
) -> list[Ending]:
    """Trains ``config.yaml`` of a folder to the end."""
    return Group(size, folder, ["train", "--config", "config.yaml", *options], prepare).wait()


def _work(
    rank: int,
    size: int,
    port: int,
    restarts: int,
    folder: Path,
    words: list[str],
    prepare: Callable[[int], object] | None,
) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), LOCAL_WORLD_SIZE=str(size),
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1",
        TORCHELASTIC_USE_AGENT_STORE="True", TORCHELASTIC_RESTART_COUNT=str(restarts),
    )  # fmt: skip
    output = os.open(folder / f"said-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    torch.set_num_threads(1)
    os.chdir(folder)
    sys.argv = ["lmtrain", *words]
    if prepare:
        prepare(rank)
    from lmtrain.cli import main

    main()
