"""How many threads compute."""

import os
from functools import cache

import torch

MOST_THREADS = 1024
_WORK_OF_A_THREAD = 300_000_000
"""Multiplications of a step that one more thread is worth: some milliseconds. The threads of a small model
wait for each other at each time step; where other programs run, that takes far longer than the work."""


@cache
def available_threads() -> int:
    """As many as the processor has cores, or ``OMP_NUM_THREADS`` says."""
    return torch.get_num_threads()


def threads_of_process(num_processes: int) -> int:
    """As many as one of so many processes of a training gets on this machine.

    ``torchrun`` sets ``OMP_NUM_THREADS`` to 1 where nobody else has, which says nothing.
    """
    if num_processes == 1 or os.environ.get("OMP_NUM_THREADS", "1") != "1":
        return available_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // num_processes)


def threads_for(multiplications: int, at_most: int) -> int:
    """How many threads a training step of so many multiplications gets, the same at every start."""
    return max(1, min(at_most, multiplications // _WORK_OF_A_THREAD))


def use_threads(number: int) -> None:
    """Computes with so many threads from now on."""
    available_threads()  # known only before
    torch.set_num_threads(number)
