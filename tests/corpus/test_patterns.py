from pathlib import Path

import pytest

from lmtrain.corpus.patterns import expand_patterns, same_files
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


def test_a_file_counts_once(folder: Path) -> None:
    """Whatever the links to it, and to the folder that it is in."""
    (folder / "deep" / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "b-again.txt").symlink_to("b.txt")
    (folder / "b-hard.txt").hardlink_to(folder / "b.txt")
    names = ["[x].txt", "a.txt", "b-again.txt", "deep/er/d.txt", "x.txt"]
    found = expand_patterns([folder / "**" / "*.txt"])
    assert found == tuple(sorted(folder / name for name in names))
    assert expand_patterns([folder / "b.txt", folder / "b*.txt", folder / "b.txt"]) == (folder / "b.txt",) * 2


def test_files_that_are_the_same(folder: Path) -> None:
    (folder / "link.txt").symlink_to("b.txt")
    train, valid = [folder / "a.txt", folder / "b.txt"], [folder / "x.txt", folder / "link.txt"]
    assert same_files(valid, train) == [(folder / "link.txt", folder / "b.txt")]
    assert same_files([Path("missing")], [Path("missing")]) == [(Path("missing"), Path("missing"))]


def test_a_link_to_nowhere_is_left_to_be_told_of(folder: Path) -> None:
    (folder / "link.zst").symlink_to("nowhere")
    assert expand_patterns([folder / "*.zst"]) == (folder / "link.zst",)
