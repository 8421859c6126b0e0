"""Both libraries that products may go to."""

import pytest
import torch

from lmtrain.model import products

HAS_ONEDNN = torch.backends.mkldnn.is_available()


@pytest.fixture(params=["blas", *(["onednn"] if HAS_ONEDNN else [])])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both libraries, whatever this processor prefers, for products of any size."""
    monkeypatch.setattr(products, "_prefers_onednn", lambda: request.param == "onednn")
    monkeypatch.setattr(products, "_ONEDNN_MIN_OPERATIONS", 0)
