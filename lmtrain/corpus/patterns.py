"""Patterns such as ``data/part-*.txt.zst`` as the files they stand for."""

import os
from collections.abc import Iterable
from glob import glob
from pathlib import Path

from lmtrain.errors import DataError


def expand_patterns(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The files that paths name: a path with ``*``, ``?`` or ``[…]`` stands for all that match, sorted.

    ``**`` matches any number of folders. A file that is named just so wins over the pattern. What has no
    such character is handed on as it is, whether it exists or not. A file that patterns find under several
    names, through links for one, or that was named before them, counts once.

    Raises:
        DataError: No file matches a pattern.
    """
    files: list[Path] = []
    for path in paths:
        if not any(character in str(path) for character in "*?[") or path.exists():
            files.append(path)
        else:
            known = set(map(_identity, files))
            files += sorted(file for file in _matches(path) if _identity(file) not in known)
    return tuple(files)


def same_files(paths: Iterable[Path], others: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Those of some paths that are a file of other paths too, with that one."""
    named = {_identity(path): path for path in reversed(tuple(others))}
    return [(path, named[identity]) for path in paths if (identity := _identity(path)) in named]


def _matches(pattern: Path) -> Iterable[Path]:
    """Each file that matches by the shortest of its names."""
    # Unlike Path.glob, this leaves hidden files alone, as shells do.
    matches = map(Path, glob(str(pattern), recursive=True))  # noqa: PTH207
    names = sorted(
        (match for match in matches if not match.is_dir()), key=lambda name: (len(name.parts), name)
    )
    if not names:
        raise DataError(f"{pattern}: no file matches this pattern")
    return {_identity(name): name for name in reversed(names)}.values()


def _identity(path: Path) -> object:
    """The same for all names of a file."""
    try:
        status = Path(os.path.realpath(path)).stat()  # which, unlike the system, follows any number of links
    except (OSError, ValueError):
        return path
    return status.st_dev, status.st_ino
