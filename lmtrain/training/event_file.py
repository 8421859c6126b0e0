"""TensorBoard's event files, written so that the order of a run's files is certain.

TensorBoard reads the files of a directory in the order of their names, and forgets what an earlier file
says of the steps a later one begins with. Its own writer names files by the second and the process, which
leaves the order to chance when a run stops and goes on within a second or a clock is set back. These are
numbered.
"""

import os
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.summary.writer.record_writer import RecordWriter

from lmtrain.files.atomic import make_directory, sync_directory

_NAME = re.compile(r"events\.out\.tfevents\.(\d+)\..*")
_HEADER, _FOOTER = 12, 4
"""Bytes of a record around its content: length and its checksum, and the checksum of the content."""


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
        path = directory / f"events.out.tfevents.{_last_number(directory) + 1:010d}.lmtrain"
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


def shown_scalars(directory: Path) -> set[tuple[int, str]]:
    """Step and tag of each figure that TensorBoard shows of a directory, damaged files as it reads them.

    Raises:
        OSError: A file cannot be read.
    """
    shown: set[tuple[int, str]] = set()
    paths = sorted(path for path in directory.glob("*") if _NAME.fullmatch(path.name))
    for event in (event for path in paths for event in _events(path.read_bytes())):
        if event.session_log.status == SessionLog.START:
            shown = {(step, tag) for step, tag in shown if step < event.step}
        shown |= {(event.step, value.tag) for value in event.summary.value if value.HasField("simple_value")}
    return shown


def _events(data: bytes) -> Iterator[Any]:
    """The events of a file, up to the first that is damaged."""
    position = 0
    while position + _HEADER <= len(data):
        length, checksum = struct.unpack_from("<QI", data, position)
        content = data[position + _HEADER : position + _HEADER + length]
        end = position + _HEADER + length + _FOOTER
        if masked_crc32c(data[position : position + 8]) != checksum or end > len(data):
            return
        if struct.pack("<I", masked_crc32c(content)) != data[end - _FOOTER : end]:
            return
        yield Event.FromString(content)
        position = end


def _last_number(directory: Path) -> int:
    numbers = [int(match[1]) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))]
    return max(numbers, default=0)
