"""The set-up of the process."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lmtrain.machine.process import prepare_process

# Blocks as large as a training step's, made and freed as often as in ten steps: how many pages are fetched?
FAULTS = """
import resource, torch
def step():
    for size in (12_000_000, 4_000_000, 2_000_000):
        torch.ones(size)
for _ in range(10):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PREPARE = "from lmtrain.machine.process import prepare_process; prepare_process()\n"


def page_faults(program: str) -> int:
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_used_again() -> None:
    assert page_faults(FAULTS) > 50_000
    assert page_faults(PREPARE + FAULTS) < 1_000


def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    prepare_process()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    prepare_process()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"


@pytest.mark.parametrize(("asked", "shown"), [("", False), ("default", True)])
def test_libraries_are_heard_where_they_are_asked_for(asked: str, shown: bool) -> None:
    program = PREPARE + "import warnings; warnings.warn('from a library')"
    environment = {**os.environ, "PYTHONWARNINGS": asked}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert ("from a library" in result.stderr) == shown


@pytest.fixture
def eight_bits(tmp_path: Path) -> dict[str, str]:
    """The environment of a locale of 8 bits."""
    if shutil.which("localedef") is None:
        pytest.skip("no localedef")
    (tmp_path / "locales").mkdir()
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "locales" / "en_US")]
    if subprocess.run(command, capture_output=True, check=False).returncode > 1:
        pytest.skip("no sources of locales")
    return {**os.environ, "LOCPATH": str(tmp_path / "locales"), "LC_ALL": "en_US"}


@pytest.mark.parametrize("options", [(), ("-I",)])
def test_files_are_named_in_utf_8_in_any_locale(
    options: tuple[str, ...], eight_bits: dict[str, str], tmp_path: Path
) -> None:
    name = "t\u00e9\u65e5.txt"
    (tmp_path / name).write_text("a b\n", "utf-8")
    command = [
        sys.executable,
        *options,
        "-m",
        "lmtrain",
        "config",
        "new",
        "--corpus",
        name,
        "--out",
        "o.yaml",
    ]
    result = subprocess.run(command, cwd=tmp_path, env=eight_bits, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"train: {name}" in (tmp_path / "o.yaml").read_text("utf-8")
    check = [sys.executable, *options, "-m", "lmtrain", "data", "check", f"no-{name}"]
    result = subprocess.run(check, cwd=tmp_path, env=eight_bits, capture_output=True, check=False)
    assert result.returncode == 3
    assert f"no-{name}" in result.stderr.decode("utf-8")
