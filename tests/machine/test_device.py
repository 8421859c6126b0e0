"""What CUDA is told, as far as that can be seen without one."""

import os
from collections.abc import Iterator

import pytest
import torch

from lmtrain.machine.device import compute_reproducibly, resolve_device, sent

KEY = "CUBLAS_WORKSPACE_CONFIG"


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(KEY, raising=False)
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.allow_tf32
    yield
    torch.use_deterministic_algorithms(False)
    cudnn.benchmark, cudnn.allow_tf32 = before


@pytest.mark.parametrize(
    ("given", "kept"), [(None, ":4096:8"), (":16:8", ":16:8"), (":4096:8", ":4096:8"), (":0:0", ":4096:8")]
)
def test_a_workspace_that_repeats_is_kept(
    given: str | None, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given:
        monkeypatch.setenv(KEY, given)
    compute_reproducibly(torch.device("cuda"))
    assert os.environ[KEY] == kept
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.allow_tf32


def test_naming_a_device_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto") == torch.device("cuda")
    assert not torch.are_deterministic_algorithms_enabled()
    assert KEY not in os.environ


def test_the_cpu_needs_nothing() -> None:
    compute_reproducibly(torch.device("cpu"))
    assert not torch.are_deterministic_algorithms_enabled()
    tensor = torch.ones(3)
    assert sent(tensor, torch.device("cpu")) is tensor
    assert sent(tensor, torch.device("meta")).device.type == "meta"
