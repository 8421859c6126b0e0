"""A new folder is whole or not there, whatever happens."""

import errno
import os
import re
import threading
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import BinaryIO
from unittest.mock import DEFAULT, patch

import pytest
from crashing import dies_at
from program import files_in

from lmtrain.errors import Interrupted, StorageError, UsageError
from lmtrain.files.atomic import new_folder, remove_abandoned, writing

FILES = {"a.txt": b"a", "last.txt": b"l", "z.txt": b"z"}


def write(target: Path) -> None:
    with new_folder(target, last="last.txt") as folder:
        for name, data in FILES.items():
            (folder / name).write_bytes(data)


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("target", ["new", "parents/of/new"])
def test_a_folder_that_is_not_there(target: str, tmp_path: Path) -> None:
    write(tmp_path / target)
    assert files_in(tmp_path / target) == FILES
    assert everything_in((tmp_path / target).parent) == [
        tmp_path.joinpath(target).name,
        *(f"new/{name}" for name in FILES),
    ]


def test_an_empty_folder_is_filled_and_stays_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a shell stands in it
    inode = tmp_path.stat().st_ino
    write(Path())
    assert tmp_path.stat().st_ino == inode
    assert files_in(Path()) == files_in(tmp_path) == FILES


@pytest.mark.parametrize("name", ["full", "file", "dangling"])
def test_what_is_there_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_bytes(b"mine")
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    before = everything_in(tmp_path)
    with pytest.raises(UsageError, match=rf"{name}: .*; name a new"):
        write(tmp_path / name)
    assert everything_in(tmp_path) == before
    assert files_in(tmp_path) == {"full/mine.txt": b"mine", "file": b"mine"}


@pytest.mark.parametrize("error", [ValueError("x"), Interrupted("stopped", 15), OSError(errno.ENOSPC, "")])
@pytest.mark.parametrize("target", ["new", "parents/of/new", "empty"])
def test_nothing_is_left_of_a_block_that_raises(error: BaseException, target: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    expected = StorageError if isinstance(error, OSError) else type(error)

    def write_half() -> None:
        with new_folder(tmp_path / target, last="last.txt") as folder:
            (folder / "a.txt").write_bytes(b"a")
            raise error

    with pytest.raises(expected):
        write_half()
    assert everything_in(tmp_path) == ["empty"]


@pytest.mark.parametrize(("is_there", "failing_move"), [(False, 1), (True, 1), (True, 3)])
def test_nothing_is_left_when_the_disk_refuses(is_there: bool, failing_move: int, tmp_path: Path) -> None:
    target = tmp_path / "parent" / "new"
    if is_there:
        target.mkdir(parents=True)
    before = everything_in(tmp_path)
    moves = [DEFAULT] * (failing_move - 1) + [OSError(errno.EIO, "Input/output error")]
    message = f"{target}: cannot be written: Input/output error; nothing was left there"
    with (
        patch.object(Path, "rename", autospec=True, side_effect=moves, wraps=Path.rename) as rename,
        pytest.raises(StorageError, match=re.escape(message)),
    ):
        write(target)
    assert rename.call_count == failing_move
    assert everything_in(tmp_path) == before


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/new: cannot be written: (Not a directory|File exists)"):
        write(tmp_path / "file" / "new")


@pytest.mark.parametrize("is_there", [False, True])
def test_a_process_killed_at_any_operation_leaves_no_half_of_a_new_folder(
    is_there: bool, tmp_path: Path
) -> None:
    for operation in range(100):
        target = tmp_path / str(operation) / "new"
        if is_there:
            target.mkdir(parents=True)
        if not dies_at(operation, "before", lambda target=target: write(target)):  # type: ignore[misc]
            break
        files = files_in(target) if target.is_dir() else {}
        whole = {name: data for name, data in files.items() if not name.startswith(".writing")}
        assert all(data == FILES[name] for name, data in whole.items())
        # Where files move one by one, the last says that all are there.
        assert whole == FILES if "last.txt" in whole else is_there or not whole
        if not whole:  # the same command goes through, and tidies up
            write(target)
            assert everything_in(target) == sorted(FILES)
            assert [path.name for path in target.parent.iterdir()] == ["new"]
    else:
        pytest.fail("the writing never came to an end")
    assert operation > 5


def test_a_writer_waits_out_anothers_glance_at_its_lock(tmp_path: Path) -> None:
    """What is written aside may be looked at, for its lock, in the moment before its writer locks it."""
    glance: list[threading.Timer] = []

    def lock_after_another(file: BinaryIO, operation: int) -> None:
        if not glance:
            other = Path(file.name).open("rb")  # noqa: SIM115  # closed by the timer
            flock(other, LOCK_EX)
            glance.append(threading.Timer(0.05, other.close))
            glance[0].start()
        flock(file, operation)

    with patch("lmtrain.files.atomic.fcntl.flock", lock_after_another), writing(tmp_path / "new") as file:
        file.write(b"whole")
    assert files_in(tmp_path) == {"new": b"whole"}


def test_only_what_nobody_writes_any_more_is_removed(tmp_path: Path) -> None:
    with writing(tmp_path / "new") as file:
        aside = Path(file.name)
        os.utime(aside, (0, 0))  # slow, but alive
        abandoned = aside.with_name(aside.name.replace(".new.", ".old."))
        young = aside.with_name(aside.name.replace(".new.", ".young."))
        for path in (abandoned, young):
            path.touch()
        os.utime(abandoned, (0, 0))
        remove_abandoned(tmp_path)
        assert set(tmp_path.iterdir()) == {aside, young}
