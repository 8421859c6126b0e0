"""Tests in a browser: run when asked for, with ``pytest tests/browser``, where Chromium is installed.

On Debian: ``apt-get install chromium chromium-driver``. They are deselected otherwise, never skipped.
"""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked_for = [
        (config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args
    ]
    if any(path.is_relative_to(HERE) for path in asked_for):
        return
    unasked = [item for item in items if item.path.is_relative_to(HERE)]
    config.hook.pytest_deselected(items=unasked)
    items[:] = [item for item in items if item not in unasked]
