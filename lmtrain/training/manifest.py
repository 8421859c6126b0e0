"""The manifest of a snapshot, ``snapshot.json``. Reading it takes neither torch nor the weights."""

import hashlib
import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT_VERSION = 2
"""1, of lmtrain 0.1.0, has no ``finished``; see ``lmtrain.run.layout.is_finished``."""
MANIFEST, MODEL, TRAINING, VOCAB = "snapshot.json", "model.safetensors", "training.safetensors", "vocab.txt"
STEP_NAME = re.compile(r"step-(\d{8,})")
"""Of the directory of a snapshot."""

# Beyond any real one of a thousand layers; what a file may claim before anything is believed.
MAX_TABLE_BYTES = 4 << 20
_MAX_DEPTH = 32


def manifest_bytes(body: dict[str, Any], files: Mapping[str, bytes]) -> bytes:
    """A manifest of these values, and of the size and SHA-256 of each file."""
    listed = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
    }
    return sealed({**body, "files": listed})


def sealed(body: dict[str, Any]) -> bytes:
    """A manifest of these values, with the SHA-256 of itself."""
    return _serialise({**body, "sha256": hashlib.sha256(_serialise(body)).hexdigest()})


def read_manifest(path: Path) -> dict[str, Any]:
    """Its values as they were written, the files not looked at.

    Raises:
        ValueError: It is not as it was written; or whatever else a damaged one raises when it is taken
            apart: LookupError, TypeError, AttributeError, RecursionError.
        OSError: It cannot be read.
    """
    data = read_regular(path, MAX_TABLE_BYTES)
    try:
        body: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise ValueError(f"{path.name} is no JSON: {error}") from error
    if _serialise(body) != data:
        raise ValueError(f"{path.name} was changed after it was written")
    if b"\n" + b" " * _MAX_DEPTH in data:
        raise ValueError(f"{path.name} is nested deeper than any real one")
    digest = body.pop("sha256")
    if hashlib.sha256(_serialise(body)).hexdigest() != digest:
        raise ValueError(f"{path.name} does not match its own SHA-256")
    return body


def read_regular(path: Path, max_bytes: int) -> bytes:
    """A file that is no link, pipe or device, and no larger than any real one.

    Raises:
        ValueError: It is.
        OSError: It cannot be read.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path.name} is not a regular file")
    if status.st_size > max_bytes:
        raise ValueError(f"{path.name} is larger than any real one")
    return path.read_bytes()


def _serialise(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, indent=1, allow_nan=False) + "\n").encode()
