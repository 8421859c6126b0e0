"""Processes that die at a chosen file operation, and disks that are full after a chosen byte."""

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

_OPERATIONS = ("open", "write", "fsync", "rename", "replace", "unlink", "rmdir", "mkdir")
DIED = 99


def dies_at(operation: int, moment: str, action: Callable[[], object]) -> bool:
    """Runs ``action`` in a child process that dies, as if killed, at its n-th file operation.

    Args:
        operation: Counted from 0.
        moment: ``before`` the operation, ``after`` it, or ``within`` (a write is cut in half).
        action: What the child does.

    Returns:
        Whether it died; False if the action ended before it came to that operation.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with _dying(operation, moment):
                action()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, DIED), f"the child ended with {code}"
    return code == DIED


@contextmanager
def _dying(operation: int, moment: str) -> Iterator[None]:
    count = -1

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count != operation:
                return original(*arguments, **options)
            try:
                if moment == "within" and original is real_write:
                    original(arguments[0], arguments[1][: len(arguments[1]) // 2])
                elif moment != "before":
                    original(*arguments, **options)
            finally:  # also where the operation itself failed
                os._exit(DIED)

        return wrapped

    real_write = os.write
    patches = [patch.object(os, name, wrap(getattr(os, name))) for name in _OPERATIONS]
    opening = wrap(io.open)
    patches += [patch.object(io, "open", opening), patch.object(builtins, "open", opening)]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


@contextmanager
def disk_with(free_bytes: int) -> Iterator[None]:
    """A disk that takes so many more bytes, the last write in part, and then says that it is full."""
    left = free_bytes
    real_write = os.write

    def write(descriptor: int, data: Any) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = min(left, len(data))
        left -= taken
        return real_write(descriptor, data[:taken])

    with patch.object(os, "write", write):
        yield
