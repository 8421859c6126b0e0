"""What TensorBoard shows of a run: the same figures as its log, each once, and the inside of a model."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support import settings
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmtrain.config import config_from_dict
from lmtrain.errors import StorageError
from lmtrain.run.build import build_trainer, load_corpora
from lmtrain.training import board
from lmtrain.training.board import Board, activations_on
from lmtrain.training.log import Event
from lmtrain.training.summaries import HyperParameter
from lmtrain.training.trainer import Trainer


def events_of(steps: Sequence[int], offset: float = 0.0) -> list[Event]:
    return [Event(step, {"epoch": step / 2, "elapsed": 9.0, "train/loss": offset + step}) for step in steps]


def show(folder: Path, step: int, logged: Sequence[Event], new: Sequence[Event] = ()) -> None:
    """Opens a board to go on from a step, and shows what happens from there."""
    shown = Board(folder)
    with shown.open(step, logged):
        for event in new:
            shown.show_figures(event.step, event.figures)
        shown.sync()


def losses(folder: Path, tag: str = "train/loss") -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in EventAccumulator(str(folder)).Reload().Scalars(tag)]


def test_figures_texts_and_settings(tmp_path: Path) -> None:
    shown = Board(tmp_path)
    with shown.open(0, []):
        shown.describe([HyperParameter("train.lr", float)], {"train.lr": 0.5})
        shown.show_figures(10, {"epoch": 0.5, "elapsed": 2.5, "train/loss": 1.25})
        shown.show_figures(10, {"epoch": 0.5, "valid/loss": math.inf, "valid/accuracy": None})
        shown.show_samples(10, ["a b"])
        shown.show_samples(20, [])
        shown.finish()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["scalars"] == ["train/loss"]  # of what else there is, no curve can be drawn
    assert events.Tensors("samples/text_summary")[0].tensor_proto.string_val == [b"    a b"]


def test_training_and_validation_share_a_tag_in_folders_of_their_own(tmp_path: Path) -> None:
    """A folder is what TensorBoard gives a name and a colour to, and a tag is a chart."""
    events = [Event(step, {"train/loss": 1.0, "train/perplexity": 10.0 - step}) for step in (1, 2, 3)]
    events.insert(2, Event(2, {"valid/loss": 2.0, "valid/perplexity": 12.0}))
    show(tmp_path, 0, [], events)
    show(
        tmp_path,
        2,
        events[:3],
        [Event(3, {"train/perplexity": 5.0}), Event(3, {"valid/perplexity": math.inf})],
    )
    for name, expected in (("train", [(1, 9.0), (2, 8.0), (3, 5.0)]), ("valid", [(2, 12.0)])):
        assert EventAccumulator(str(tmp_path / name)).Reload().Tags()["scalars"] == ["perplexity"]
        assert losses(tmp_path / name, "perplexity") == losses(tmp_path, f"{name}/perplexity") == expected


def test_without_validations_there_is_no_folder_for_them(tmp_path: Path) -> None:
    """TensorBoard lists a folder for its file alone."""
    events = [Event(step, {"train/perplexity": 10.0 - step}) for step in (1, 2, 3)]
    show(tmp_path, 0, [], events)
    show(tmp_path, 3, events)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"train"}
    with Board(tmp_path / "new").open(0, []):
        pass
    assert not any(path.is_dir() for path in (tmp_path / "new").iterdir())


def test_going_on_with_nothing_drops_what_the_log_has_not(tmp_path: Path) -> None:
    valid = [Event(step, {"valid/perplexity": 10.0 - step}) for step in (1, 2, 3)]
    show(tmp_path, 0, [], valid)
    show(tmp_path, 2, valid[:2])
    assert losses(tmp_path / "valid", "perplexity") == [(1, 9.0), (2, 8.0)]


def test_a_run_from_before_these_folders_gets_them_whole(tmp_path: Path) -> None:
    events = [Event(step, {"train/perplexity": 10.0 - step}) for step in (1, 2, 3)]
    show(tmp_path, 0, [], events)
    with Board(tmp_path).open(3, events):
        pass
    shutil.rmtree(tmp_path / "train")
    texts_before = len(list(tmp_path.iterdir()))
    show(tmp_path, 3, events, [Event(4, {"train/perplexity": 1.0})])
    assert losses(tmp_path / "train", "perplexity") == [(1, 9.0), (2, 8.0), (3, 7.0), (4, 1.0)]
    newest = max(tmp_path.glob("events*"))
    assert len(list(tmp_path.iterdir())) == texts_before + 2
    assert [step for step, _ in losses(newest, "train/perplexity")] == [3, 4]  # what was there stays there


def test_going_on_drops_what_will_be_written_again(tmp_path: Path) -> None:
    show(tmp_path, 0, [], events_of([1, 2, 3, 4]))
    show(tmp_path, 3, events_of([1, 2, 3]), events_of([4, 5], offset=10.0))
    assert losses(tmp_path) == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 14.0), (5, 15.0)]


def test_a_step_of_several_events_is_shown_as_far_as_the_log_goes(tmp_path: Path) -> None:
    valid = Event(3, {"epoch": 1.5, "valid/loss": 7.0})
    show(tmp_path, 0, [], [*events_of([2, 3]), valid])
    show(tmp_path, 3, events_of([2, 3]))
    assert losses(tmp_path) == [(2, 2.0), (3, 3.0)]
    assert losses(tmp_path, "valid/loss") == []
    show(tmp_path, 3, events_of([2, 3]), [valid])
    assert losses(tmp_path) == [(2, 2.0), (3, 3.0)]
    assert losses(tmp_path, "valid/loss") == [(3, 7.0)]


@pytest.mark.parametrize("harm", ["removed", "flipped", "cut", "zeroed"])
def test_figures_that_files_have_lost_come_from_the_log(harm: str, tmp_path: Path) -> None:
    show(tmp_path, 0, [], events_of(range(1, 9)))
    show(tmp_path, 8, events_of(range(1, 9)), events_of(range(9, 12)))
    first = min(tmp_path.iterdir())
    data = bytearray(first.read_bytes())
    match harm:
        case "removed":
            first.unlink()
        case "flipped":
            data[len(data) // 2] ^= 4
            first.write_bytes(data)
        case "cut":
            first.write_bytes(data[: len(data) // 2])
        case "zeroed":
            first.write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
    assert losses(tmp_path)[:8] != [(step, float(step)) for step in range(1, 9)]
    show(tmp_path, 11, events_of(range(1, 12)), events_of([12]))
    assert losses(tmp_path) == [(step, float(step)) for step in range(1, 13)]


def test_going_on_drops_texts_and_histograms_too(tmp_path: Path) -> None:
    for first_step, value in ((0, 0.0), (3, 1.0)):
        shown = Board(tmp_path)
        with shown.open(first_step, []):
            for step in range(max(1, first_step), 5):
                shown.show_samples(step, [f"{value}"])
                shown.show_distributions(step, {"hidden": torch.full((2, 3), value)})
    events = EventAccumulator(str(tmp_path), {"histograms": 0}).Reload()
    shown_events = plugin_event_accumulator.EventAccumulator(str(tmp_path))
    shown_events.Reload()
    texts = shown_events.Tensors("samples/text_summary")
    assert [(e.step, e.tensor_proto.string_val[0]) for e in texts] == [
        *((step, b"    0.0") for step in (1, 2)),
        *((step, b"    1.0") for step in (3, 4)),
    ]
    histograms = [
        (e.step, e.histogram_value.sum, e.histogram_value.num) for e in events.Histograms("units/hidden")
    ]
    assert histograms == [(1, 0, 6), (2, 0, 6), (3, 6, 6), (4, 6, 6)]


def test_what_is_not_finite_has_no_histogram(tmp_path: Path) -> None:
    shown = Board(tmp_path)
    with shown.open(0, []):
        numbers = {"one": torch.tensor([1.0, math.nan, math.inf]), "none": torch.tensor([math.nan])}
        shown.show_distributions(1, numbers)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["histograms"] == ["units/one"]
    assert events.Histograms("units/one")[0].histogram_value.num == 1


def test_a_refusing_system_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file where a folder should be")
    shown = Board(tmp_path / "tensorboard")
    with pytest.raises(StorageError, match="tensorboard: cannot be written"), shown.open(0, []):
        pass


def activations_of(corpus: Path, **changes: Any) -> tuple[Trainer, dict[str, torch.Tensor]]:
    config = config_from_dict(settings(corpus, **changes), "test")
    corpora = load_corpora(config)
    trainer = build_trainer(config, corpora, torch.device("cpu"))
    assert corpora.valid
    return trainer, activations_on(trainer.model, corpora.valid, config.data.context)


def test_the_start_of_the_text_in_stream_context(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = activations_of(corpus)
    assert {values.shape for values in whole.values()} == {(200, 7)}  # all there are
    monkeypatch.setattr(board, "_MAX_STEPS", 12)
    trainer, start = activations_of(corpus)
    assert {values.shape for values in start.values()} == {(12, 7)}
    torch.testing.assert_close(start["layers.1/cell"], whole["layers.1/cell"][:12])
    assert trainer.model.training


def test_lines_on_their_own_without_padding(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = activations_of(corpus, data__context="line")
    first_lines = (corpus / "valid.txt").read_text().splitlines()[:16]
    num_tokens = sum(len(line.split()) + 1 for line in first_lines)
    assert {values.shape for values in found.values()} == {(num_tokens, 7)}
    monkeypatch.setattr(board, "_MAX_STEPS", 1)
    _, firsts = activations_of(corpus, data__context="line")
    # All lines start from <eos> and no context.
    assert firsts["layers.0/hidden"].shape == (16, 7)
    torch.testing.assert_close(firsts["layers.0/hidden"], firsts["layers.0/hidden"][:1].expand(16, 7))
