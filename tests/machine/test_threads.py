"""The rule for threads: by work and cores, whatever is in use at the moment."""

import pytest
import torch

from lmtrain.machine import threads
from lmtrain.machine.threads import available_threads, threads_for, use_threads


@pytest.mark.parametrize(
    ("multiplications", "cores", "number"),
    [(0, 8, 1), (10**8, 8, 1), (7 * 10**8, 8, 2), (10**12, 8, 8), (10**12, 1, 1)],
)
def test_threads_follow_from_work_and_cores(
    multiplications: int, cores: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "available_threads", lambda: cores)
    assert threads_for(multiplications, available_threads()) == number


def test_threads_in_use_do_not_change_the_rule() -> None:
    before, most = torch.get_num_threads(), threads_for(10**15, available_threads())
    try:
        use_threads(most + 2)
        assert torch.get_num_threads() == most + 2
        assert threads_for(10**15, available_threads()) == most
    finally:
        torch.set_num_threads(before)
