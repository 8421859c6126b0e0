"""What a process takes, on the CPU and, as far as that can be told without one, on a CUDA device."""

import pytest
import torch

from lmtrain.machine.memory import PeakMemory


def test_the_peak_on_a_cuda_device_is_what_torch_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 7 << 20)
    peak = PeakMemory(torch.device("cuda"))
    assert (peak.base, peak.bytes()) == (0, 7 << 20)


def test_the_peak_on_the_cpu_counts_from_the_start() -> None:
    peak = PeakMemory(torch.device("cpu"))
    if peak.bytes() is None:
        pytest.skip("the system does not say")
    # Larger than 32 MiB, from where on the C library never fills gaps that other tests have left.
    kept = torch.ones(64 << 20)
    assert peak.base > 0
    assert peak.bytes() > 0.9 * kept.nbytes
