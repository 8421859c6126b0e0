"""How much memory this process takes and may take."""

import gc
from contextlib import suppress
from pathlib import Path

import torch

from lmtrain.machine.process import return_freed_memory


class PeakMemory:
    """The most memory taken since it was made, over what was taken then; of a CUDA device where one is used.

    Args:
        device: Where is computed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.base = 0
        """Bytes that the process had at the start: the libraries, as a rule; 0 of a CUDA device."""
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        gc.collect()
        return_freed_memory()
        with suppress(OSError):  # makes the peak start anew; Linux alone has it
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self.base = resident_memory() or 0

    def bytes(self) -> int | None:
        """The most since then, less what there was; None where the system does not say."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_reserved(self._device)
        peak = _status("VmHWM")
        return None if peak is None else peak - self.base


def resident_memory() -> int | None:
    """Bytes of the process that are in memory now; None where the system does not say."""
    return _status("VmRSS")


def available_memory(device: torch.device) -> int | None:
    """Bytes that can be had without swapping, or on a CUDA device; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return _field(Path("/proc/meminfo"), "MemAvailable")


def _status(name: str) -> int | None:
    # Not ru_maxrss, which in a fresh process starts from that of the process that started it.
    return _field(Path("/proc/self/status"), name)


def _field(path: Path, name: str) -> int | None:
    with suppress(OSError):
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return None
