"""Pictures are drawn with few dots, which takes a tenth of the time."""

from collections.abc import Iterator

import pytest

from lmtrain.report import style


@pytest.fixture(scope="module", autouse=True)
def _few_dots() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(style._SETTINGS, "savefig.dpi", 50)
        yield
