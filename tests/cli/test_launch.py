"""Processes that the program starts itself: it ends as they do."""

import signal
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from lmtrain.cli.launch import launch


def _failing(*codes: int) -> ChildFailedError:
    failures = {i: ProcessFailure(i, 10 + i, code, "none") for i, code in enumerate(codes)}
    return ChildFailedError("lmtrain", failures)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (None, 0),
        (_failing(3), 3),
        (_failing(143, 143), 143),
        (_failing(-signal.SIGKILL), 6),
        (_failing(-signal.SIGKILL, 6), 6),
        (SignalException("stopped", signal.SIGINT), 130),
    ],
)
def test_it_ends_as_the_processes_do(end: BaseException | None, code: int) -> None:
    started: list[Any] = []

    def fake(plan: Any, _: str) -> Callable[..., None]:
        def run(*words: str) -> None:
            started.append((plan.nproc_per_node, words[:2]))
            if end:
                raise end

        return run

    with patch("torch.distributed.launcher.api.elastic_launch", fake), pytest.raises(SystemExit) as ending:
        launch(3)
    assert ending.value.code == code
    assert started == [(3, ("-m", "lmtrain"))]
