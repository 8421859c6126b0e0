"""Projects to run commands in."""

from pathlib import Path

import pytest
from program import Trained, lmtrain, make_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a corpus and a config."""
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = make_project(tmp_path_factory.mktemp("trained"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("LMTRAIN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        outcome = lmtrain("train", "--config", "config.yaml", folder=folder)
    return Trained(folder, folder / "runs" / "tiny", outcome)
