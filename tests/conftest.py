"""What all tests share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import Trained, lmtrain, make_project

# One thread: the tensors of tests are small, and threads that wait for each other on a busy machine would
# make the suite many times slower. Set before torch is imported, and inherited by child processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A suite that runs in the background of a shell, or by nohup, has these ignored, and so have all programs
# that it starts.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _usual)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """A third of the time of a tiny run, and of use after a power failure alone, which no test sees.

    Which call comes when is still checked: ``crashing.py`` and the tests of full disks put their own there.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", os.fstat)  # it still refuses what is not an open file
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoded corpora go to a folder of the test session, not to the user's cache."""
    monkeypatch.setenv("LMTRAIN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def few_dots() -> Iterator[None]:
    """Pictures are drawn with few dots, which takes a tenth of the time."""
    from lmtrain.report import style

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(style._SETTINGS, "savefig.dpi", 50)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real corpora; skips where they do not lie beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real corpora are not in ../shared/data")
    return folder


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


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support import make_corpus

    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def run_dir(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to be read and not changed."""
    from support import trained_in

    return trained_in(tmp_path_factory.mktemp("trained") / "run", corpus)


@pytest.fixture(scope="session")
def unvalidated(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of one that nothing validated."""
    from support import trained_in

    folder = tmp_path_factory.mktemp("unvalidated") / "run"
    return trained_in(folder, corpus, data__valid=None, data__test=None)
