"""Finished runs, to be read and not changed."""

from pathlib import Path

import pytest
from support import make_corpus, trained_in


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def run_dir(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_in(tmp_path_factory.mktemp("trained") / "run", corpus)


@pytest.fixture(scope="session")
def unvalidated(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unvalidated") / "run"
    return trained_in(folder, corpus, data__valid=None, data__test=None)
