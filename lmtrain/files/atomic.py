"""Files that are whole after a power cut: written aside, synced, moved into place, the move synced too."""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Writes a file in place of an earlier one, so that there is always the one or the other.

    Raises:
        OSError: The disk or the system refused.
    """
    temporary = path.with_name(f".{path.name}.writing")
    temporary.unlink(missing_ok=True)
    write_synced(temporary, data)
    temporary.replace(path)
    sync_directory(path.parent)


def write_synced(path: Path, data: bytes) -> None:
    """Writes a new file and waits until it is on the disk.

    Raises:
        OSError: The disk or the system refused.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Makes a directory and its parents, and waits until those that are new are on the disk.

    Raises:
        OSError: The disk or the system refused.
    """
    new = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in new:
        sync_directory(each.parent)


def sync_directory(path: Path) -> None:
    """Waits until the entries of a directory are on the disk.

    Raises:
        OSError: The system refused.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
