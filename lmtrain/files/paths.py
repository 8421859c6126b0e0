"""What a path that is not there may have been meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from lmtrain.errors import DataError


def missing(path: Path) -> str:
    """Why there is no file at a path, with a hint if there is one: ``no such file; did you mean X?``."""
    if path.is_symlink():
        return f"a link to {path.readlink()}, which does not exist"
    return f"no such file{meant(path)}"


def refuse_misplaced(paths: Iterable[Path], folder: Path) -> None:
    """Refuses paths that are not there, but would be from another folder, such as that of the config.

    Raises:
        DataError: One of the paths is such.
    """
    for path in paths:
        if not path.exists() and (folder / path).exists():
            hint = f"paths are relative to the current folder; did you mean {folder / path}?"
            raise DataError(f"{path}: no such file; {hint}")


def meant(path: Path) -> str:
    """``; did you mean X?`` where a path is not there but one of nearly its name; else nothing."""
    if path.exists() or path.is_symlink():
        return ""
    if path.parts[:1] == ("~",):
        return f"; ~ is left to shells: name {Path.home().joinpath(*path.parts[1:])}"
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return ""
    near = get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.with_name(near[0])}?" if near else ""
