"""Files that someone put where a snapshot, a run or a text is expected, to do harm."""

import gzip
import hashlib
import io
import json
import math
import os
import pickle
import re
import shutil
import socket
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

MANIFEST, MODEL, TRAINING, VOCAB = "snapshot.json", "model.safetensors", "training.safetensors", "vocab.txt"
HUGE = 600_000_000
"""Bytes: more memory than a refusal may take."""
TERA = 10**12

Writer = Callable[[Path], object]
"""Puts something at a path where nothing is."""
Change = Callable[[dict[str, Any]], object]
"""Changes the body of a manifest in place."""


class Trap:
    """An object that, unpickled, leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self._marker,)


def forge(whole: Path, target: Path, files: Mapping[str, Writer] | None = None, change: Change = id) -> Path:
    """A copy of a snapshot with other files or another manifest, all hashes right: forged, not damaged.

    Args:
        whole: The snapshot.
        target: Where the copy goes.
        files: What takes the place of a file, by name. Beyond a gigabyte its hash is left wrong.
        change: Changes the manifest, after it was made to fit the files.
    """
    shutil.copytree(whole, target)
    body = json.loads((target / MANIFEST).read_bytes())
    del body["sha256"]
    for name, write in (files or {}).items():
        (target / name).unlink()
        write(target / name)
        if (target / name).is_file() and name != MANIFEST:
            size = (target / name).stat().st_size
            with (target / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest() if size < 2 * HUGE else "0" * 64
            body["files"][name] = {"size": size, "sha256": digest}
    change(body)
    if MANIFEST not in (files or {}):
        digest = hashlib.sha256(_serialise(body)).hexdigest()
        (target / MANIFEST).write_bytes(_serialise({**body, "sha256": digest}))
    return target


def _serialise(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, indent=1) + "\n").encode()


def content(data: bytes) -> Writer:
    """Writes these bytes."""
    return lambda path: path.write_bytes(data)


def sparse(size: int, start: bytes = b"", end: bytes = b"") -> Writer:
    """A file of that size which takes no room: zeros between a start and an end."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(start)
            file.truncate(size)
            file.seek(size - len(end))
            file.write(end)

    return write


def link(goal: Path | str) -> Writer:
    """A symbolic link."""
    return lambda path: path.symlink_to(goal)


def fifo(path: Path) -> None:
    """A pipe nobody ever writes into."""
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    """A socket; bound by a short name, since long ones are not allowed."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"/proc/self/fd/{descriptor}/{path.name}")
    finally:
        os.close(descriptor)


def safetensors_file(header: object) -> Writer:
    """A safetensors file with this header, bytes or a JSON value, before eight zeros."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return content(struct.pack("<Q", len(raw)) + raw + bytes(8))


def with_tensors(path: Path, changes: Mapping[str, tuple[str, tuple[int, ...]]]) -> Writer:
    """A safetensors file like one there is, but for tensors of these types and shapes, all zeros."""
    data = path.read_bytes()
    start = 8 + struct.unpack_from("<Q", data)[0]
    header: dict[str, Any] = {}
    kept = b""
    for name, entry in json.loads(data[8:start]).items():
        if name not in changes:
            begin, end = entry["data_offsets"]
            header[name] = {**entry, "data_offsets": [len(kept), len(kept) + end - begin]}
            kept += data[start + begin : start + end]
    end = len(kept)
    for name, (dtype, shape) in changes.items():
        begin, end = end, end + math.prod(shape) * {"U8": 1, "F32": 4, "F64": 8}[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    raw = json.dumps(header).encode()
    return sparse(8 + len(raw) + end, struct.pack("<Q", len(raw)) + raw + kept)


@cache
def zip_bomb() -> bytes:
    """A tenth of a megabyte that unpacks to a hundred."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(100_000_000))
    return packed.getvalue()


def torch_file(trap: Trap) -> bytes:
    """What ``torch.save`` makes of a trap."""
    packed = io.BytesIO()
    torch.save({"embedding.weight": trap}, packed)
    return packed.getvalue()


def setting(key: str, value: object) -> Change:
    """Sets one value of a manifest, by its dotted key."""

    def change(body: dict[str, Any]) -> None:
        *sections, last = key.split(".")
        section: Any = body
        for name in sections:
            section = section[int(name) if isinstance(section, list) else name]
        section[int(last) if isinstance(section, list) else last] = value

    return change


def nested(depth: int) -> Any:
    """A mapping in a mapping in a mapping …"""
    value: Any = 1
    for _ in range(depth):
        value = {"model": value}
    return value


def hostile_snapshots(whole: Path, folder: Path, marker: Path) -> Iterator[Path]:
    """Snapshots that no command may load; each is named after what is wrong with it.

    Args:
        whole: A snapshot to start from, of two layers.
        folder: Where they go.
        marker: A file that appears if anything is unpickled.
    """
    trap = Trap(marker)
    pickled = pickle.dumps(trap)
    num_words = len((whole / VOCAB).read_bytes().splitlines())
    one = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    many = {f"t{i}": {**one, "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}
    headers: dict[str, object] = {
        "a header of 90 MB of spaces": b"{" + b" " * 90_000_000 + b"}",
        "a header of 100,000 tensors": {"one": one, **many},
        "a header nested 100,000 deep": b"[" * 100_000,
        "a header that is a list": [one],
        "a header that is not UTF-8": b'{"\xff": 1}',
        "a shape that overflows": {"one": {**one, "shape": [2**40, 2**40]}},
        "a negative shape": {"one": {**one, "shape": [-1, -2]}},
        "an unknown type": {"one": {**one, "dtype": "Q7"}},
        "offsets below zero": {"one": {**one, "data_offsets": [-8, 0]}},
        "offsets beyond the end": {"one": {**one, "data_offsets": [8, 16]}},
        "tensors that overlap": {"one": one, "two": one},
        "a tensor of another model": {"one": one},
    }
    for name, header in headers.items():
        yield forge(whole, folder / name, {MODEL: safetensors_file(header)})
    contents: dict[str, dict[str, Writer]] = {
        "a pickle as model": {MODEL: content(pickled)},
        "a pickle as training state": {TRAINING: content(pickled)},
        "a pickle as manifest": {MANIFEST: content(pickled)},
        "what torch.save writes": {MODEL: content(torch_file(trap))},
        "a zip bomb as model": {MODEL: content(zip_bomb())},
        "a zip bomb as training state": {TRAINING: content(zip_bomb())},
        "a gzip bomb as manifest": {MANIFEST: content(gzip.compress(bytes(1_000_000)) * 100)},
        "a header of 2^63 bytes": {MODEL: content(struct.pack("<Q", 2**63) + b"{}")},
        "a header longer than the file": {MODEL: content(struct.pack("<Q", 10**9) + b"{}")},
        "a manifest with a number of 10,000 digits": {
            MANIFEST: content(re.sub(rb"\d+", b"9" * 10_000, (whole / MANIFEST).read_bytes(), count=1))
        },
        "a terabyte of zeros as model": {MODEL: sparse(TERA)},
        "a terabyte of zeros as training state": {TRAINING: sparse(TERA)},
        "a terabyte of zeros as manifest": {MANIFEST: sparse(TERA, (whole / MANIFEST).read_bytes())},
        "a model of a terabyte": {
            MODEL: with_tensors(whole / MODEL, {"embedding.weight": ("F32", (num_words, 10**9))})
        },
        "words without numbers": {MODEL: with_tensors(whole / MODEL, {"embedding.weight": ("F32", ())})},
        "weights of another type": {
            MODEL: with_tensors(whole / MODEL, {"softmax.bias": ("F64", (num_words,))})
        },
        "a weight too many": {MODEL: with_tensors(whole / MODEL, {"more": ("F32", (2,))})},
        "a model behind a link": {MODEL: link(whole / MODEL)},
        "a manifest behind a link": {MANIFEST: link(whole / MANIFEST)},
        "a model of random numbers": {MODEL: link("/dev/urandom")},
        "a manifest of zeros": {MANIFEST: link("/dev/zero")},
        "a link to itself": {MODEL: lambda path: path.symlink_to(path)},
        "a pipe as model": {MODEL: fifo},
        "a pipe as manifest": {MANIFEST: fifo},
        "a socket as manifest": {MANIFEST: unix_socket},
        "a folder as model": {MODEL: Path.mkdir},
        "a folder as manifest": {MANIFEST: Path.mkdir},
    }
    for name, files in contents.items():
        yield forge(whole, folder / name, files)
    manifests: dict[str, Change] = {
        "hidden_size 10^9": setting("config.model.hidden_size", 10**9),
        "hidden_size 2^62": setting("config.model.hidden_size", 2**62),
        "hidden_size of 4,000 digits": setting("config.model.hidden_size", 10**4000),
        "hidden_size below zero": setting("config.model.hidden_size", -1),
        "hidden_size as text": setting("config.model.hidden_size", "32"),
        "embedding_dim 2^62": setting("config.model.embedding_dim", 2**62),
        "1,000 layers": setting("config.model.num_layers", 1000),
        "10^9 layers": setting("config.model.num_layers", 10**9),
        "another cell": setting("config.model.cell", "gru"),
        "a config nested 200 deep": setting("config", nested(200)),
        "a config nested 400 deep": setting("config.model", nested(400)),
        "a state nested 400 deep": setting("state", nested(400)),
        "a config of 20,000 values": setting("config.model", {str(i): i for i in range(20_000)}),
        "no config": setting("config", {}),
        "a step below zero": setting("step", -1),
        "a format of the future": setting("format_version", 10**6),
        "a file from elsewhere": setting("files", {"../../../etc/passwd": {"size": 1, "sha256": "0"}}),
        "a file below zero": lambda body: body["files"][MODEL].update(size=-1),
        "not a number": setting("provenance.elapsed", float("nan")),
    }
    for name, change in manifests.items():
        yield forge(whole, folder / name, change=change)


def hostile_vocabularies(whole: Path, folder: Path, marker: Path) -> Iterator[Path]:
    """Snapshots with a vocabulary that none may be used with; training has its own."""
    vocab = (whole / VOCAB).read_bytes()
    writers: dict[str, Writer] = {
        "a pickle as vocabulary": content(pickle.dumps(Trap(marker))),
        "a gzip bomb as vocabulary": content(gzip.compress(bytes(1_000_000)) * 100),
        "a terabyte of zeros as vocabulary": sparse(TERA, vocab, b"\n"),
        "a vocabulary of 600 MB": sparse(HUGE, vocab, b"\n"),
        "a vocabulary of ten million lines": content(vocab + b"x\n" * 10**7),
        "a vocabulary of another length": content(vocab + b"xyzzy\n"),
        "a vocabulary without <unk>": content(vocab.replace(b"<unk>", b"<xyz>")),
        "a vocabulary with a word twice": content(vocab[:-1] + b"\n<unk>\n"),
        "a vocabulary that is not UTF-8": content(vocab.replace(b"<unk>", b"<\xff>")),
        "a vocabulary behind a link": link("/etc/passwd"),
        "a pipe as vocabulary": fifo,
    }
    for name, write in writers.items():
        yield forge(whole, folder / name, {VOCAB: write})


def hostile_states(whole: Path, folder: Path) -> Iterator[Path]:
    """Snapshots with a training state that does not fit; no run may continue from them."""
    with safe_open(whole / TRAINING, "pt") as file:
        names = list(file.keys())
        moment = next(name for name in names if name.endswith("exp_avg"))
        hidden = next(name for name in names if ".hidden." in name)
        batch_size, size = file.get_slice(hidden).get_shape()
    changes: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {
        "a moment of 600 MB": {moment: ("F32", (HUGE // 4,))},
        "a moment of another shape": {moment: ("F32", (3, 3))},
        "a hidden state of 600 MB": {hidden: ("F32", (batch_size, HUGE // (4 * batch_size)))},
        "a hidden state of another batch": {hidden: ("F32", (batch_size + 1, size))},
        "a hidden state of other numbers": {hidden: ("F64", (batch_size, size))},
        "a hidden state without axes": {hidden: ("F32", ())},
        "random numbers without state": {"state.trainer.generator": ("U8", (3,))},
        "random numbers of another kind": {"state.trainer.generator": ("F32", (3,))},
        "sums of another shape": {"state.trainer.meter.sums": ("F64", (2, 2))},
    }
    for name, change in changes.items():
        yield forge(whole, folder / name, {TRAINING: with_tensors(whole / TRAINING, change)})
    yield forge(
        whole,
        folder / "no training state",
        {TRAINING: safetensors_file({"one": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})},
    )
    values = {
        "a position below zero": ("windows.iteration", -5),
        "a position of 30 digits": ("windows.iteration", 10**30),
        "a position that is none": ("windows.iteration", "first"),
        "no windows": ("windows", None),
        "a step as text": ("steps", "many"),
        "a step below zero": ("steps", -3),
        "another number of steps": ("steps", 10**30),
        "no layers of hidden state": ("hidden", []),
        "a hidden state that is none": ("hidden", 7),
        "a hidden state of numbers": ("hidden", [[1, 2], [3, 4]]),
        "moments that are none": ("optimizer.moments", []),
        "moments of no weight": ("optimizer.moments", {"99": {}}),
        "moments in words": ("optimizer.moments", {"0": {"exp_avg": "x"}}),
        "a tensor that is not there": ("generator", {"$tensor": "nowhere"}),
        "a tensor that is none": ("generator", 5),
        "a schedule that is none": ("schedule", 3),
        "a factor that is none": ("schedule.factor", None),
        "a meter that is none": ("meter", []),
    }
    for name, (key, value) in values.items():
        yield forge(whole, folder / name, change=setting(f"state.trainer.{key}", value))
    for name, (key, value) in {
        "lines of a log that are none": ("log_lines", "many"),
        "a record that is none": ("record", 5),
        "an evaluation that is none": ("evaluated_step", None),
        "a time that is none": ("elapsed", "long"),
    }.items():
        yield forge(whole, folder / name, change=setting(f"state.{key}", value))


def hostile_models(folder: Path, marker: Path) -> Iterator[Path]:
    """What is no folder, or none with a snapshot in it, where a model is expected."""
    trap = Trap(marker)
    writers: dict[str, Writer] = {
        "model.pickle": content(pickle.dumps(trap)),
        "model.pt": content(torch_file(trap)),
        "model.zip": content(zip_bomb()),
        "model.zeros": sparse(TERA),
        "model.pipe": fifo,
        "model.socket": unix_socket,
        "model.link": lambda path: path.symlink_to(path),
        "model.device": link("/dev/zero"),
        "model.terminal": link("/dev/tty"),
        "model.memory": link("/proc/self/mem"),
    }
    for name, write in writers.items():
        write(folder / name)
        yield folder / name


def hostile_texts(folder: Path, marker: Path) -> Iterator[Path]:
    """What is no text where one is expected."""
    trap = Trap(marker)
    line = b"the cat sat on the mat\n"
    writers: dict[str, Writer] = {
        "a pickle": content(pickle.dumps(trap)),
        "a zip bomb": content(zip_bomb()),
        "a gzip bomb": content(gzip.compress(bytes(1_000_000)) * 100),
        "a terabyte of zeros": sparse(TERA),
        "a terabyte of zeros after a line": sparse(TERA, line),
        "zeros at the end": content(line * 1000 + b"\0"),
        "a word of 200 MB": content(b"a" * 200_000_000),
        "a pipe": fifo,
        "a socket": unix_socket,
        "a folder": Path.mkdir,
        "a link to itself": lambda path: path.symlink_to(path),
        "zeros without end": link("/dev/zero"),
        "random numbers without end": link("/dev/urandom"),
        "a terminal": link("/dev/tty"),
        "all memory": link("/proc/kcore"),
        "own memory": link("/proc/self/mem"),
        "half a character": content(line + "é".encode()[:1]),
        "UTF-16": content(line.decode().encode("utf-16")),
    }
    for name, write in writers.items():
        write(folder / name)
        yield folder / name


def hostile_sidecars(folder: Path, marker: Path, known: bytes) -> Iterator[Path]:
    """Texts beside which lies what is no list of log-probabilities.

    Args:
        folder: Where they go.
        marker: A file that appears if anything is unpickled.
        known: A line of words that the model knows.
    """
    sidecars: dict[str, Writer] = {
        "terabyte": sparse(TERA),
        "endless": link("/dev/zero"),
        "pipe": fifo,
        "pickle": content(pickle.dumps(Trap(marker))),
        "words": content(b"one two three four five six seven\n"),
    }
    for name, write in sidecars.items():
        (folder / f"{name}.txt").write_bytes(known)
        write(folder / f"{name}.logprobs.txt")
        yield folder / f"{name}.txt"
