"""Patterns such as ``data/part-*.txt.zst`` as the files they stand for."""

from collections.abc import Iterable
from glob import glob
from pathlib import Path

from lmtrain.errors import DataError


def expand_patterns(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The files that paths name: a path with ``*``, ``?`` or ``[…]`` stands for all that match, sorted.

    ``**`` matches any number of folders. A file that is named just so wins over the pattern. What has no
    such character is handed on as it is, whether it exists or not.

    Raises:
        DataError: No file matches a pattern.
    """
    return tuple(file for path in paths for file in _expand(path))


def _expand(path: Path) -> list[Path]:
    if not any(character in str(path) for character in "*?[") or path.exists():
        return [path]
    # Unlike Path.glob, this leaves hidden files alone, as shells do.
    matches = map(Path, glob(str(path), recursive=True))  # noqa: PTH207
    files = sorted(match for match in matches if not match.is_dir())
    if not files:
        raise DataError(f"{path}: no file matches this pattern")
    return files
