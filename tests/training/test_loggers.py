"""The logs of a run: one line a step, the same in both, and none twice."""

import json
import math
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmtrain.errors import StorageError
from lmtrain.training.loggers import MetricsFile, RunLog, last_logged_step
from lmtrain.training.summaries import HyperParameter


def rows(run_dir: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def test_both_logs_say_the_same(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    assert log.last_step == -1
    with log.open(first_step=1):
        log.describe([HyperParameter("train.lr", float)], {"train.lr": 0.5})
        log.write(10, {"epoch": 0.5, "elapsed": 2.5, "train/loss": 1.25})
        log.write(20, {"epoch": 1.0, "train/loss": 1.0, "valid/perplexity": math.inf}, {"samples": "a b"})
        log.sync()
    assert rows(tmp_path) == [
        {"step": 10, "epoch": 0.5, "elapsed": 2.5, "train/loss": 1.25},
        {"step": 20, "epoch": 1.0, "train/loss": 1.0, "valid/perplexity": None},
    ]
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(10, 1.25), (20, 1.0)]
    assert events.Tags()["scalars"] == ["epoch", "train/loss"]  # it has an axis of time of its own
    assert events.Tensors("samples/text_summary")[0].tensor_proto.string_val == [b"a b"]
    assert log.last_step == 20


def test_going_on_drops_what_will_be_written_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    with log.open(first_step=1):
        for step in (1, 2, 3, 4):
            log.write(step, {"train/loss": float(step)})
    with log.open(first_step=3):
        for step in (3, 4, 5):
            log.write(step, {"train/loss": 10.0 + step})
    expected = [(1, 1.0), (2, 2.0), (3, 13.0), (4, 14.0), (5, 15.0)]
    assert [(row["step"], row["train/loss"]) for row in rows(tmp_path)] == expected
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == expected


@pytest.mark.parametrize("rest", ["", '{"step": 3, "tra', "\x00\x00\x00", '{"step": "x"}\n', "[3]\n"])
def test_a_line_cut_short_is_dropped(rest: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n' + rest)
    assert last_logged_step(path) == 2
    file = MetricsFile(path, first_step=9)
    file.write({"step": 9})
    file.close()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 9]


def test_going_on_drops_texts_and_histograms_too(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for first_step, value in ((1, 0.0), (3, 1.0)):
        with log.open(first_step):
            for step in range(first_step, 5):
                figures = {"train/loss": value}
                log.write(step, figures, {"samples": f"{value}"}, {"hidden": torch.full((2, 3), value)})
    events = EventAccumulator(str(tmp_path / "tensorboard"), {"histograms": 0}).Reload()
    shown_events = plugin_event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    shown_events.Reload()
    texts = shown_events.Tensors("samples/text_summary")
    assert [(e.step, e.tensor_proto.string_val[0]) for e in texts] == [
        *((step, b"0.0") for step in (1, 2)),
        *((step, b"1.0") for step in (3, 4)),
    ]
    shown = [(e.step, e.histogram_value.sum, e.histogram_value.num) for e in events.Histograms("hidden")]
    assert shown == [(1, 0, 6), (2, 0, 6), (3, 6, 6), (4, 6, 6)]


def test_what_is_not_finite_has_no_histogram(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    with log.open(first_step=1):
        log.write(
            1, {}, None, {"one": torch.tensor([1.0, math.nan, math.inf]), "none": torch.tensor([math.nan])}
        )
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["histograms"] == ["one"]
    assert events.Histograms("one")[0].histogram_value.num == 1


def test_a_refusing_system_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where a folder should be")
    log = RunLog(tmp_path)
    with pytest.raises(StorageError, match="the logs cannot be written"), log.open(first_step=1):
        pass
