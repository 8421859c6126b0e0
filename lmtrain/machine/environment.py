"""What a run or an issue report needs to know about the machine it is made on."""

import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from lmtrain import __version__

_PACKAGES = ("torch", "numpy", "pydantic", "safetensors", "tensorboard", "typer")


def describe_environment() -> dict[str, Any]:
    """Versions, processor, threads and devices, as JSON values."""
    import torch

    from lmtrain.machine.device import has_fast_bfloat16

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "lmtrain": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_bfloat16": "in hardware" if has_fast_bfloat16(torch.device("cpu")) else "slower than float32",
        "cuda": torch.version.cuda,
        "cuda_devices": cuda,
    }


def git_revision(directory: Path) -> str | None:
    """The commit a directory stands at, ``+`` after it where files differ; None outside a repository."""
    try:
        revision = _git(directory, "rev-parse", "HEAD")
        return revision + ("+" if _git(directory, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def command_line() -> str:
    """The command as it was typed, near enough, to be typed again."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    return shlex.join([name, *sys.argv[1:]])


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    return result.stdout.strip()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
