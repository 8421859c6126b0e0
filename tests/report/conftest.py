"""No picture here has more dots than its test needs."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _few_dots(few_dots: None) -> None:
    pass
