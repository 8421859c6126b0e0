"""TensorBoard's event files, written so that the order of a run's files is certain.

TensorBoard reads the files of a directory in the order of their names, and forgets what an earlier file
says of the steps a later one begins with. Its own writer names files by the second and the process, which
leaves the order to chance when a run stops and goes on within a second or a clock is set back. These are
numbered.
"""

import os
import re
import time
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter

from lmtrain.files.atomic import make_directory, sync_directory

_NAME = re.compile(r"events\.out\.tfevents\.(\d+)\..*")


class EventFile:
    """A new event file after those that are there.

    Args:
        directory: Made if it is not there.
        first_step: What earlier files say of this step and later ones is void.

    Raises:
        OSError: The disk or the system refused (in all methods).
    """

    def __init__(self, directory: Path, first_step: int) -> None:
        make_directory(directory)
        numbers = [int(match[1]) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))]
        path = directory / f"events.out.tfevents.{max(numbers, default=0) + 1:010d}.lmtrain"
        self._file = path.open("xb")
        self._records = RecordWriter(self._file)
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))
        self.sync()
        sync_directory(directory)

    def add(self, summary: Any, step: int = 0) -> None:
        """Writes a summary, as ``lmtrain.training.summaries`` makes them."""
        self._write(Event(step=step, summary=summary))
        self._file.flush()

    def sync(self) -> None:
        """Waits until all is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
