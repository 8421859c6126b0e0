"""One process owns a run directory, for as long as it lives."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmtrain.errors import StorageError
from lmtrain.run.layout import owning


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with owning(run_dir):
            os.write(writing, b"x")
            time.sleep(60)
        os._exit(0)
    os.read(reading, 1)
    with pytest.raises(StorageError, match="another process is training here"), owning(run_dir):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with owning(run_dir):
        pass
    os.close(reading)
    os.close(writing)


def test_a_process_may_own_what_it_owns(tmp_path: Path) -> None:
    with owning(tmp_path / "run"):
        with owning(tmp_path / "run"):
            pass
        assert (tmp_path / "run").is_dir()
    assert not (tmp_path / "run").exists()


def test_only_what_was_made_and_stayed_empty_is_removed(tmp_path: Path) -> None:
    with owning(tmp_path / "a" / "b" / "run"):
        pass
    assert list(tmp_path.iterdir()) == []
    with owning(tmp_path / "a" / "run"):
        (tmp_path / "a" / "run" / "config.yaml").touch()
    assert (tmp_path / "a" / "run" / "config.yaml").exists()
    (tmp_path / "mine").mkdir()
    with owning(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()


def test_a_file_in_the_way_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match="cannot be used as run directory"),
        owning(tmp_path / "file" / "run"),
    ):
        pass


def test_asking_needs_no_torch() -> None:
    code = "import sys, lmtrain.run.layout; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
