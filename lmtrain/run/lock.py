"""One process owns a run directory. This module imports nothing slow, so that a second is refused at once."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lmtrain.errors import StorageError

_PATIENCE = 0.2
"""Seconds: ``is_owned`` holds a lock for an instant."""


@contextmanager
def owning(run_dir: Path) -> Iterator[None]:
    """Holds the lock of a run directory, made if missing; the lock dies with the process.

    A directory that was made and stayed empty is removed again. Within a process it may be owned twice.

    Raises:
        StorageError: Another process holds it, or the system refused.
    """
    made = [path for path in (run_dir, *run_dir.parents) if not path.exists()]
    path = _lock_of(run_dir)
    lock = FileLock(path, is_singleton=True)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=_PATIENCE, poll_interval=0.02)
    except Timeout as error:
        raise StorageError(f"{run_dir}: another process is training here; wait for it or stop it") from error
    except OSError as error:
        raise StorageError(f"{run_dir}: cannot be used as run directory: {error.strerror}") from error
    try:
        yield
    finally:
        if made and [entry.name for entry in run_dir.iterdir()] == [path.name]:
            path.unlink()
            for empty in made:
                empty.rmdir()
        lock.release()


def is_owned(run_dir: Path) -> bool:
    """Whether a process holds the lock of a run directory; also where that cannot be written to."""
    try:
        descriptor = os.open(_lock_of(run_dir), os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _lock_of(run_dir: Path) -> Path:
    return run_dir / ".lock"
