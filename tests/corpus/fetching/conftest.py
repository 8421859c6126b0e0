"""A web server for tests of fetching."""

from collections.abc import Iterator

import pytest
from web import Web, serving

from lmtrain.corpus.fetching import download


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server on this machine; what takes a while counts as stalled."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "_STALL_SECONDS", 0.3)
    with serving() as server:
        yield server
