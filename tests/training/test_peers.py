"""How processes meet at a store: who is waited for, and who is given up."""

import os
import subprocess
import sys
import threading

import pytest
import torch
from torch.distributed import HashStore, PrefixStore

from lmtrain.errors import EndedElsewhere, LostProcessError
from lmtrain.machine.place import Place
from lmtrain.training import peers
from lmtrain.training.peers import Peers

MEETING = "here, meeting 0"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> PrefixStore:
    """That of the first of two processes, as the second sees it too."""
    shared = HashStore()
    monkeypatch.setattr(peers, "_store", lambda *_: shared)
    monkeypatch.setattr(peers, "_trainings", iter([7]))
    return PrefixStore("lmtrain/7", shared)


@pytest.fixture
def pid_of_none() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def first(timeout: float = 60.0) -> Peers:
    return Peers(Place(0, 2, 0, 2), timeout)


def test_who_has_come_and_gone_on_to_its_end_is_not_missed(
    store: PrefixStore, pid_of_none: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for who has come, and that for who lives."""
    one = first()
    store.set("at/1", f"{peers._machine()} {pid_of_none}")
    look = Peers._gone

    def look_late(self: Peers, ranks: list[int]) -> list[int]:
        store.set(f"{MEETING}/1", "here")
        return look(self, ranks)

    monkeypatch.setattr(Peers, "_gone", look_late)
    one.meet("here")


def test_who_is_gone_is_named(store: PrefixStore, pid_of_none: int) -> None:
    one = first()
    store.set("at/1", f"{peers._machine()} {pid_of_none}")
    with pytest.raises(LostProcessError, match="process 1 is gone"):
        one.meet("here")


def test_who_is_elsewhere_is_given_up_after_a_while(store: PrefixStore) -> None:
    one = first(timeout=0.2)
    store.set("at/1", f"another machine {os.getpid()}")
    with pytest.raises(LostProcessError, match=r"process 1 is not heard of for 0\.2 seconds"):
        one.meet("here")


def test_who_has_failed_ends_the_others_with_its_code(store: PrefixStore) -> None:
    one = first()
    store.set("failed/1", "3")
    with pytest.raises(EndedElsewhere) as ended:
        one.meet("here")
    assert ended.value.exit_code == 3


def test_joining_a_group_does_not_wait_for_one_that_is_gone(
    store: PrefixStore, pid_of_none: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr("torch.distributed.init_process_group", lambda *_, **__: never.wait(60))
    one = first()
    store.set("at/1", f"{peers._machine()} {pid_of_none}")
    with pytest.raises(LostProcessError, match="process 1 is gone"), one.group(torch.device("cpu")):
        pytest.fail("it was joined")
    never.set()
