"""The rule for threads: by work and cores, whatever is in use at the moment."""

import pytest
import torch

from lmtrain.machine import threads
from lmtrain.machine.threads import available_threads, threads_for, threads_of_process, use_threads


@pytest.mark.parametrize(
    ("multiplications", "cores", "number"),
    [(0, 8, 1), (10**8, 8, 1), (7 * 10**8, 8, 2), (10**12, 8, 8), (10**12, 1, 1)],
)
def test_threads_follow_from_work_and_cores(multiplications: int, cores: int, number: int) -> None:
    assert threads_for(multiplications, cores) == number


@pytest.mark.parametrize(
    ("said", "processes", "number"),
    [(None, 1, 5), (None, 2, 4), (None, 8, 1), (None, 20, 1), ("1", 2, 4), ("3", 2, 5)],
)
def test_processes_share_the_cores_out(
    said: str | None, processes: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 1 that torchrun sets says nothing; what a person says holds, and torch has read it."""
    monkeypatch.setattr(threads, "available_threads", lambda: 5)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: range(8))
    if said is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads_of_process(processes) == number


def test_threads_in_use_do_not_change_the_rule() -> None:
    before, most = torch.get_num_threads(), threads_for(10**15, available_threads())
    try:
        use_threads(most + 2)
        assert torch.get_num_threads() == most + 2
        assert threads_for(10**15, available_threads()) == most
    finally:
        torch.set_num_threads(before)
