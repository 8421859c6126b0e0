"""One process owns a run directory. This module imports nothing slow, so that a second is refused at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lmtrain.errors import StorageError


@contextmanager
def owning(run_dir: Path) -> Iterator[None]:
    """Holds the lock of a run directory, made if missing; the lock dies with the process.

    A directory that was made and stayed empty is removed again. Within a process it may be owned twice.

    Raises:
        StorageError: Another process holds it, or the system refused.
    """
    made = [path for path in (run_dir, *run_dir.parents) if not path.exists()]
    path = run_dir / ".lock"
    lock = FileLock(path, is_singleton=True)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
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
