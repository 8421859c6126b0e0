from pathlib import Path

import pytest

from lmtrain.corpus.patterns import expand_patterns
from lmtrain.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (".hidden.txt", "b.txt", "a.txt", "c.gz", "deep/er/d.txt", "[x].txt", "x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a\n")
    (tmp_path / "folder.txt").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["?.txt"], ["a.txt", "b.txt", "x.txt"]),
        (["[ab].txt", "c.gz"], ["a.txt", "b.txt", "c.gz"]),
        (["c.gz", "a.*"], ["c.gz", "a.txt"]),
        (["**/d.txt"], ["deep/er/d.txt"]),
        (["[x].txt"], ["[x].txt"]),
        (["missing.txt"], ["missing.txt"]),
        (["fold*", "a.txt"], None),
        (["*.zst"], None),
        ([], []),
    ],
)
def test_patterns(folder: Path, patterns: list[str], names: list[str] | None) -> None:
    paths = [folder / pattern for pattern in patterns]
    if names is None:
        with pytest.raises(DataError, match=r"\*.*: no file matches this pattern"):
            expand_patterns(paths)
    else:
        assert expand_patterns(paths) == tuple(folder / name for name in names)
