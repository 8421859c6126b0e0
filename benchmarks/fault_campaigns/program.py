"""The whole program in forked processes: real processes and signals, without the interpreter's start-up."""

import json
import mmap
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from lmtrain.cli import main
from lmtrain.run.train import Run
from lmtrain.training.store import SnapshotStore
from lmtrain.training.trainer import Trainer

START_UP, LOOP, STEP, VALIDATION, WRITING, TESTING = PHASES = range(6)
PHASE_NAMES = ("start-up", "between steps", "a step", "validation", "a snapshot", "the test")
_HUNG = 60.0
_POLL = 0.0002


def settle() -> None:
    """Makes forking safe: torch has no threads of its own."""
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    with torch.device("meta"):  # loads what torch loads late, once for all children
        torch.nn.Embedding(1, 1)


class Watch:
    """What a process is doing and has done, in memory that its parent sees, even after a kill."""

    def __init__(self) -> None:
        # The phase, a mark, and how often each phase was entered.
        self._slots = memoryview(mmap.mmap(-1, 8 * (2 + len(PHASES)))).cast("q")

    @property
    def phase(self) -> int:
        """One of ``PHASES``."""
        return self._slots[0]

    @property
    def mark(self) -> int:
        """A number the process left."""
        return self._slots[1]

    @mark.setter
    def mark(self, value: int) -> None:
        self._slots[1] = value

    def entries(self, phase: int) -> int:
        """How often the process has entered a phase."""
        return self._slots[2 + phase]

    def reset(self) -> None:
        """Forgets everything."""
        for slot in range(len(self._slots)):
            self._slots[slot] = 0

    def spy(self) -> None:
        """From here on, this process says what it is doing."""
        self._follow(Run, "_train_to_the_end", LOOP)
        self._follow(Trainer, "step", STEP)
        self._follow(Run, "_evaluate", VALIDATION)
        self._follow(SnapshotStore, "write", WRITING)
        self._follow(Run, "_finish", TESTING)

    def _follow(self, owner: type, name: str, phase: int) -> None:
        original = getattr(owner, name)

        def followed(*arguments: Any, **options: Any) -> Any:
            before, self._slots[0] = self.phase, phase
            self._slots[2 + phase] += 1
            try:
                return original(*arguments, **options)
            finally:
                self._slots[0] = before

        patch.object(owner, name, followed).start()


@dataclass(frozen=True)
class Ending:
    """How a process ended."""

    code: int
    """Negative: killed by that signal, as ``subprocess`` has it."""
    grown_bytes: int
    """Peak of its memory above what it had when it began."""
    seconds: float
    """From its start."""
    log: Path
    """What it wrote, both streams."""

    def __str__(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f"exit {self.code}, {lines[-1][:200] if lines else 'nothing said'}"


class Process:
    """A process that may be killed. To be waited for in any case."""

    def __init__(self, pid: int, log: Path, first_bytes: mmap.mmap) -> None:
        self.pid = pid
        self._log = log
        self._first_bytes = first_bytes
        self._started = time.perf_counter()
        self._descriptor = os.pidfd_open(pid)

    def signal(self, number: int) -> None:
        """Sends a signal; a process that has ended does not mind."""
        signal.pidfd_send_signal(self._descriptor, number)

    def has_ended(self, seconds: float = 0.0) -> bool:
        """Whether it ends within so many seconds."""
        return bool(select.select([self._descriptor], [], [], seconds)[0])

    def wait(self, seconds: float = _HUNG) -> Ending:
        """Waits for its end, which comes by SIGKILL if it takes longer."""
        if not self.has_ended(seconds):
            self.signal(signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self._descriptor)
        duration = time.perf_counter() - self._started
        grown = usage.ru_maxrss * 1024 - int.from_bytes(self._first_bytes, "little")
        return Ending(os.waitstatus_to_exitcode(status), grown, duration, self._log)


def start(arguments: Sequence[object], folder: Path, prepare: Callable[[], object] = lambda: None) -> Process:
    """Starts ``lmtrain`` with these arguments.

    Args:
        arguments: Of the command line.
        folder: The current directory of the process, where ``log.txt`` takes all that it says.
        prepare: Done in the process before the program starts.
    """
    log = folder / "log.txt"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    first_bytes = mmap.mmap(-1, 8)
    pid = os.fork()
    if pid:
        os.close(descriptor)
        return Process(pid, log, first_bytes)
    code = 1
    try:
        first_bytes[:] = _resident_bytes().to_bytes(8, "little")
        become(descriptor)
        prepare()
        code = run_here(arguments, folder)
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001  (the process must end here, whatever it is)
        traceback.print_exc()
    finally:
        os._exit(code)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def become(output: int) -> None:
    """Turns a fork into a process like any other: its streams, its signals."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def run_here(arguments: Sequence[object], folder: Path) -> int:
    """Runs ``lmtrain`` in this process, to its exit code."""
    os.chdir(folder)
    sys.argv = ["lmtrain", *map(str, arguments)]
    try:
        main()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 0
    return 0


def wait_for(process: Process, watch: Watch, phase: int, times: int) -> None:
    """Waits until the process has come to a phase so many times, or ends."""
    while watch.entries(phase) < times and not process.has_ended():
        time.sleep(_POLL)


def in_a_child(action: Callable[[], Any]) -> Any:
    """Does something in a process of its own; what it returns comes back through JSON."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with os.fdopen(writer, "w") as pipe:
                json.dump(action(), pipe)
        except BaseException:  # noqa: BLE001  (the process must end here, whatever it is)
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(answer)


def limit_memory(num_bytes: int) -> None:
    """A wall far away: this process must not harm the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (num_bytes, num_bytes))
