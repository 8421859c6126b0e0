"""Files put where a model or a text is expected, to do harm: refused, and nothing of them executed."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hostile_files import (
    hostile_models,
    hostile_sidecars,
    hostile_snapshots,
    hostile_states,
    hostile_texts,
    hostile_vocabularies,
)
from program import CONFIG, lmtrain, make_project

MOST_BYTES = 512 << 20


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of 25 steps in it, snapshots of 9, 17 and 25."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    changed = CONFIG.replace("{name: sgd, lr: 0.3}", "{name: adam, lr: 0.01}, schedule: {name: plateau}")
    (folder / "config.yaml").write_text(changed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("LMTRAIN_CACHE", str(folder / "cache"))
        outcome = lmtrain("train", "--config", "config.yaml", folder=folder)
    assert outcome.code == 0
    return folder


@pytest.fixture
def whole(project: Path) -> Path:
    return project / "runs" / "tiny" / "snapshots" / "step-00000017"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    """Peak memory, where Linux tells it."""
    if not Path("/proc/self/clear_refs").exists():
        yield
        return
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _peak_bytes()
    yield
    assert _peak_bytes() - before < MOST_BYTES


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def refused(paths: Iterable[Path], commands: Iterable[str], project: Path, marker: Path) -> None:
    """Checks that each command refuses each file, in one message, and leaves nothing behind."""
    num_refused = 0
    for path in paths:
        for command in commands:
            words = (word.format(path=path, project=project) for word in command.split())
            outcome = lmtrain(*words, folder=project)
            assert outcome.code in (2, 3, 4), f"{command} {path.name}: {outcome}"
            said = outcome.err.removeprefix("reading the texts; the next run finds them in the cache\n")
            assert said.startswith("lmtrain: "), f"{command} {path.name}: {outcome}"
            assert not marker.exists(), f"{command} {path.name}: it was executed"
            assert not (project / "fresh").exists()
        if path.is_dir():
            shutil.rmtree(path)
        num_refused += 1
    assert num_refused >= 5


INFO = "info {path}"
EVAL = "eval {path} --data test.txt"
GENERATE = "generate {path} --num-words 3"
RESUME = "train --config config.yaml --run-dir fresh --resume {path}"
READ = "eval {project}/runs/tiny --data {path}"
LEARN = "train --config config.yaml --run-dir fresh --set data.train={path}"


def test_hostile_snapshots(whole: Path, project: Path, tmp_path: Path, marker: Path) -> None:
    refused(hostile_snapshots(whole, tmp_path, marker), [INFO, RESUME], project, marker)


def test_hostile_vocabularies(whole: Path, project: Path, tmp_path: Path, marker: Path) -> None:
    refused(hostile_vocabularies(whole, tmp_path, marker), [EVAL, GENERATE], project, marker)


def test_hostile_training_states(whole: Path, project: Path, tmp_path: Path, marker: Path) -> None:
    refused(hostile_states(whole, tmp_path), [RESUME], project, marker)


def test_hostile_models(project: Path, tmp_path: Path, marker: Path) -> None:
    refused(hostile_models(tmp_path, marker), [INFO, EVAL, GENERATE, RESUME], project, marker)


def test_hostile_texts(project: Path, tmp_path: Path, marker: Path) -> None:
    refused(hostile_texts(tmp_path, marker), [READ, LEARN], project, marker)


def test_hostile_lists_of_log_probabilities(project: Path, tmp_path: Path, marker: Path) -> None:
    known = (project / "train.txt").read_bytes().splitlines(keepends=True)[0]
    refused(hostile_sidecars(tmp_path, marker, known), [READ], project, marker)


def test_what_is_whole_is_taken(whole: Path, project: Path) -> None:
    for command in (INFO, EVAL, GENERATE, RESUME):
        words = (word.format(path=whole) for word in command.split())
        assert lmtrain(*words, folder=project).code == 0
    shutil.rmtree(project / "fresh")
