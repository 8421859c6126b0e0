"""The one way to write a file or a folder whole: aside, synced, moved into place, the move synced too.

Whatever happens meanwhile, a kill, a full disk or a power cut, there is the earlier one or the new one, and
never half of either.
"""

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lmtrain.errors import StorageError, UsageError

_ASIDE = ".writing"
"""Ends the name of what is not in its place yet."""
_SETTLING_SECONDS = 10
"""By then whoever makes a file has locked it."""


@contextmanager
def refusing_faults(target: Path, what: str = "cannot be written", advice: str = "") -> Iterator[None]:
    """Turns what the system says of a block into one clear error.

    Args:
        target: What the error names.
        what: Did not succeed.
        advice: What to do, or what was not lost.

    Raises:
        StorageError: The disk or the system refused.
    """
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        advice = f"; {advice}" if advice else ""
        raise StorageError(f"{target}: {what}: {reason}{advice}") from error


def write_file(path: Path, data: bytes) -> None:
    """Writes a file in place of an earlier one; its folder is made if it is not there.

    Raises:
        StorageError: The disk or the system refused.
    """
    with refusing_faults(path), writing(path) as file:
        file.write(data)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to be written, which takes the place of an earlier one when the block ends well.

    Several processes may do so at once: one of them is last. See also ``remove_abandoned``.

    Raises:
        OSError: The disk or the system refused.
    """
    make_directory(path.parent)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_ASIDE}")
    try:
        with aside.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # waits out another's glance in remove_abandoned
            yield file
            file.flush()
            os.fsync(file.fileno())
            aside.replace(path)
        sync_directory(path.parent)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> None:
    """Removes what killed processes left aside in a folder of this program; living ones lock theirs."""
    with suppress(OSError):
        for aside in folder.glob(f".*{_ASIDE}"):
            with suppress(OSError), aside.open("rb") as file:
                if time.time() - aside.stat().st_mtime > _SETTLING_SECONDS:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    aside.unlink()


def write_synced(path: Path, data: bytes) -> None:
    """Writes a new file of a folder that is not in its place yet, and waits until it is on the disk.

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


@contextmanager
def new_folder(target: Path, last: str) -> Iterator[Path]:
    """Gives a folder to write files into, which become those of ``target`` when the block ends well.

    They are written beside the target, or within it where it is there already and empty (it may be where a
    disk is mounted), and moved. When the block raises, nothing of it is left.

    Args:
        target: A folder that is empty, or not there; its parents are made.
        last: The file to be moved last where they are moved one by one, as a sign that all are there.

    Raises:
        UsageError: The target is a file, or holds files.
        StorageError: The disk or the system refused.
    """
    with refusing_faults(target, advice="nothing was left there"):
        path = target.absolute()
        is_there = path.is_dir()
        aside = path / _ASIDE if is_there else path.with_name(f".{path.name}{_ASIDE}")
        _refuse_what_is_there(target, path)
        with _making_parents(aside):
            shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
            try:
                aside.mkdir()
                yield aside
                sync_directory(aside)
                if is_there:
                    _move_files(aside, path, last)
                else:
                    aside.rename(path)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise
        sync_directory(path.parent)


def _refuse_what_is_there(target: Path, path: Path) -> None:
    if path.is_dir():
        if any(each.name != _ASIDE for each in path.iterdir()):
            raise UsageError(f"{target}: holds files already, and none is overwritten; name a new folder")
    elif path.exists() or path.is_symlink():
        raise UsageError(f"{target}: is there already and is no folder; name a new one")


@contextmanager
def _making_parents(path: Path) -> Iterator[None]:
    new = [parent for parent in path.parents if not parent.exists()]
    try:
        make_directory(path.parent)
        yield
    except BaseException:
        for parent in new:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def _move_files(source: Path, target: Path, last: str) -> None:
    moved: list[Path] = []
    try:
        for file in sorted(source.iterdir(), key=lambda file: file.name == last):
            moved.append(target / file.name)
            file.rename(moved[-1])
        source.rmdir()
        sync_directory(target)
    except BaseException:
        for file in moved:
            file.unlink(missing_ok=True)
        raise
