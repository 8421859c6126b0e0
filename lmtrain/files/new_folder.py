"""A folder that is there with all of its files, or not at all."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lmtrain.errors import StorageError, UsageError
from lmtrain.files.atomic import make_directory, sync_directory

_TEMPORARY = ".writing"


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
    try:
        path = target.absolute()
        is_there = path.is_dir()
        temporary = path / _TEMPORARY if is_there else path.with_name(f".{path.name}{_TEMPORARY}")
        _refuse_what_is_there(target, path)
        with _making_parents(temporary):
            shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
            try:
                temporary.mkdir()
                yield temporary
                sync_directory(temporary)
                if is_there:
                    _move_files(temporary, path, last)
                else:
                    temporary.rename(path)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
        sync_directory(path.parent)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise StorageError(f"{target}: cannot be written: {reason}; nothing was left there") from error


def _refuse_what_is_there(target: Path, path: Path) -> None:
    if path.is_dir():
        if any(each.name != _TEMPORARY for each in path.iterdir()):
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
