"""TensorBoard's files: what is read back, in which order, and what a later file voids."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard.summary import scalar

from lmtrain.training.event_file import EventFile


def write(directory: Path, first_step: int, values: dict[int, float]) -> None:
    file = EventFile(directory, first_step)
    for step, value in values.items():
        file.add(scalar("loss", value), step)
    file.sync()
    file.close()


def read(directory: Path) -> dict[int, float]:
    events = EventAccumulator(str(directory)).Reload().Scalars("loss")
    assert len({event.step for event in events}) == len(events)
    return {event.step: event.value for event in events}


def test_a_later_file_voids_the_steps_it_begins_with(tmp_path: Path) -> None:
    write(tmp_path, 1, {1: 0.5, 2: 0.25, 3: 9.0, 4: 9.0})
    write(tmp_path, 3, {3: 0.75, 4: 9.0})
    write(tmp_path, 4, {4: 1.0, 5: 2.0})
    assert read(tmp_path) == {1: 0.5, 2: 0.25, 3: 0.75, 4: 1.0, 5: 2.0}


def test_files_are_read_in_the_order_they_were_written(tmp_path: Path) -> None:
    for step in range(1, 13):
        write(tmp_path, step, {step: float(step), step + 1: -1.0})
    assert read(tmp_path) == {**{float(step): float(step) for step in range(1, 13)}, 13: -1.0}


def test_a_record_cut_short_by_a_kill_does_no_harm(tmp_path: Path) -> None:
    write(tmp_path, 1, {1: 0.5, 2: 0.25})
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    write(tmp_path, 2, {2: 0.75})
    assert read(tmp_path) == {1: 0.5, 2: 0.75}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write(tmp_path, 1, {1: 0.5})
    (tmp_path / "notes.txt").write_text("mine")
    write(tmp_path, 2, {2: 0.5})
    assert len(list(tmp_path.iterdir())) == 3


def test_a_refusing_system_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        EventFile(tmp_path / "file" / "below", 1)
