"""What a run would take, estimated without a trace."""

from pathlib import Path
from typing import Any

import pytest
from support import last_snapshot, make_corpus, run, settings

from lmtrain.config import config_from_dict
from lmtrain.errors import ConfigError, DataError, UsageError
from lmtrain.run.dry_run import Estimate, dry_run


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def estimate(corpus: Path, run_dir: Path | None = None, **changes: Any) -> Estimate:
    return dry_run(config_from_dict(settings(corpus, **changes), "test"), run_dir, "cpu")


LARGE: dict[str, Any] = {"model__hidden_size": 200, "model__embedding_dim": 200}


def test_counts(corpus: Path) -> None:
    found = estimate(corpus, train__batch_size=7)
    num_tokens = len((corpus / "train.txt").read_text().split()) + 50
    assert found.num_tokens == num_tokens
    assert found.repeated_tokens == -num_tokens % 7 > 0
    assert found.num_steps == 14
    assert found.words_per_second > 0
    assert found.seconds == found.num_steps * found.seconds_per_step > 0


def test_nothing_is_read_twice_where_it_need_not_be(corpus: Path) -> None:
    assert estimate(corpus, train__batch_size=4).repeated_tokens == 0
    assert estimate(corpus, train__batch_size=7, data__context="line").repeated_tokens == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_disk_is_what_snapshots_take(optimizer: str, corpus: Path, tmp_path: Path) -> None:
    changes = {**LARGE, "train__optimizer": {"name": optimizer, "lr": 0.01}, "train__max_steps": 1}
    changes["snapshots__keep"] = 3
    found = estimate(corpus, **changes)
    run(settings(corpus, **changes), tmp_path / "run")
    one = sum(path.stat().st_size for path in last_snapshot(tmp_path / "run").iterdir())
    assert found.disk_bytes == pytest.approx((3 + 2) * one, rel=0.05)
    assert found.disk_free_bytes > found.disk_bytes


def test_memory_grows_with_the_window_and_the_optimizer(corpus: Path) -> None:
    small, long = (estimate(corpus, **LARGE, train__bptt_len=n) for n in (5, 20))
    weights = 4 * small.num_parameters
    assert small.memory_bytes > 2 * weights
    assert long.memory_bytes > small.memory_bytes + 15 * 4 * 200 * 4  # hidden states of 15 steps more
    adam = estimate(corpus, **LARGE, train__bptt_len=5, train__optimizer={"name": "adam", "lr": 0.01})
    assert adam.memory_bytes == pytest.approx(small.memory_bytes + 2 * weights, rel=1e-3)


def test_nothing_is_written(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    estimate(corpus)
    estimate(corpus, tmp_path / "a" / "b" / "run")
    assert list(tmp_path.iterdir()) == []


def test_what_training_would_refuse_is_refused(corpus: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        estimate(corpus, data__train="missing.txt")
    with pytest.raises(DataError, match=r"fewer than train\.batch_size"):
        estimate(corpus, train__batch_size=100_000)
    with pytest.raises(
        ConfigError, match=r"model\.adaptive\.cutoffs: .* a vocabulary of 11 words \(got \[11\]\)"
    ):
        estimate(corpus, model__softmax="adaptive", model__adaptive={"cutoffs": [11]})
    with pytest.raises(UsageError, match="--device tpu"):
        dry_run(config_from_dict(settings(corpus), "test"), device="tpu")
