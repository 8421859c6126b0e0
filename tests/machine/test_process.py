"""The set-up of the process."""

import os
import platform
import subprocess
import sys

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
