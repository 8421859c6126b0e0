"""The tensors of a file that ``torch.save`` wrote, found without unpickling it.

Such a file tells how to make objects, in a pickle, by calls of whatever it names: it can do anything. Here
nothing is called. The instructions are read one by one; the few that a ``state_dict`` consists of are
understood, and all else is refused by its name. Tensors lie apart from the pickle, as bytes.

Source: ``torch/serialization.py``, the zip files since torch 1.6 and the earlier ones; ``pickletools``.
"""

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from lmtrain.errors import ModelError

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    f"torch.{name}Storage": dtype
    for name, dtype in {
        "Double": torch.float64,
        "Float": torch.float32,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
    }.items()
}
_MARK = object()
_OTHER_ORDER = "its bytes are in the order of another kind of machine"


class _Name(NamedTuple):
    """A class or function that the pickle names."""

    text: str


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: torch.dtype
    num_elements: int


@dataclass(frozen=True)
class _View:
    """A tensor that is still to be read."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self, data: bytes) -> Tensor:
        """A copy out of the bytes of its storage."""
        if len(data) != self.storage.num_elements * self.storage.dtype.itemsize:
            raise ValueError(f"the storage {self.storage.key} has {len(data):,} bytes")
        numbers = (self.offset, *self.size, *self.stride)
        if not all(type(n) is int and n >= 0 for n in numbers) or len(self.size) != len(self.stride):
            raise ValueError("a tensor of no shape")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if 0 in self.size:
            return torch.empty(self.size, dtype=self.storage.dtype)
        if last >= self.storage.num_elements or math.prod(self.size) > self.storage.num_elements:
            raise ValueError("a tensor that is larger than its storage")
        whole = torch.frombuffer(bytearray(data), dtype=self.storage.dtype)
        return whole.as_strided(self.size, self.stride, self.offset).clone(
            memory_format=torch.contiguous_format
        )


_DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, EOFError,
    struct.error, zipfile.BadZipFile,
)  # fmt: skip
"""What Python's readers of zip files and pickles, and torch, raise of bytes that make no sense."""


def read_pt(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``state_dict`` by name.

    Raises:
        ModelError: The file cannot be read, or holds anything but tensors by name; says what.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _read_zip(archive)
        return _read_earlier(io.BytesIO(path.read_bytes()))  # which gives no more than there is
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise ModelError(
            f"{path}: not converted, since it holds more than tensors or is damaged: {reason}. Where it was "
            "made, torch.save(model.state_dict(), FILE) writes tensors alone"
        ) from error


def _read_zip(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
    if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
        raise ValueError("it is compressed, as torch.save never does")
    if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
        raise ValueError(_OTHER_ORDER)
    with archive.open(members["data.pkl"]) as pickle:
        views = _views(_Reader().read(pickle))
    return {
        name: view.tensor(archive.read(members[f"data/{view.storage.key}"])) for name, view in views.items()
    }


def _read_earlier(file: IO[bytes]) -> dict[str, Tensor]:
    """Five pickles, the fourth of which is the object and the fifth the order of the storages after them."""
    if (magic := _Reader().read(file)) != _MAGIC:
        raise ValueError(f"it begins with {type(magic).__name__}, as no file of torch.save does")
    _Reader().read(file)
    about = _Reader().read(file)
    if not about["little_endian"]:
        raise ValueError(_OTHER_ORDER)
    views = _views(_Reader().read(file))
    sizes = {view.storage.key: view.storage.dtype.itemsize for view in views.values()}
    storages = {}
    for key in _Reader().read(file):
        (number,) = struct.unpack("<q", file.read(8))
        storages[key] = file.read(max(0, number) * sizes[key])
    return {name: view.tensor(storages[view.storage.key]) for name, view in views.items()}


def _views(found: object) -> dict[str, _View]:
    if not isinstance(found, dict):
        raise TypeError(f"what it holds is {_described(found)}, and not tensors by name")
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, _View):
            raise TypeError(f"{key!r} is {_described(value)}, and no tensor")
    return found


def _described(value: object) -> str:
    if isinstance(value, _View):
        return "a tensor"
    return value.text if isinstance(value, _Name) else f"of type {type(value).__name__}"


class _Reader:
    """Follows the instructions of a pickle, as far as tensors by name need them."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self, file: IO[bytes]) -> Any:
        """What the next pickle of a file describes; the file is then right behind it."""
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                return self._stack.pop()
            follow = _INSTRUCTIONS.get(opcode.name)
            if follow is None:
                raise ValueError(f"the instruction {opcode.name} is none that tensors need")
            follow(self, argument)
        raise ValueError("it ends within a pickle")

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def since_mark(self) -> list[Any]:
        at = max(i for i, value in enumerate(self._stack) if value is _MARK)
        found = self._stack[at + 1 :]
        del self._stack[at:]
        return found

    def tuple_of(self, number: int) -> None:
        found = tuple(self._stack[-number:])
        del self._stack[-number:]
        self.push(found)

    def put(self, index: int | None) -> None:
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]

    def get(self, index: int) -> None:
        self.push(self._memo[index])

    def set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise TypeError(f"what gets items by name is {_described(target)}")
        target.update(zip(values[::2], values[1::2], strict=True))

    def append(self, values: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise TypeError(f"what gets items is {_described(self._stack[-1])}")
        self._stack[-1].extend(values)

    def pop(self, number: int) -> list[Any]:
        found = self._stack[-number:]
        del self._stack[-number:]
        return found

    def stack_name(self) -> None:
        self.push(_Name(".".join(self.pop(2))))

    def persistent(self) -> None:
        match self._stack.pop():
            case "storage", _Name(text), key, _, int(number), *_ if text in _DTYPES:
                self.push(_Storage(str(key), _DTYPES[text], number))
            case _, _Name(text), *_:
                raise ValueError(f"it holds a {text}")
            case _:
                raise ValueError("it refers to what is no storage")

    def reduce(self) -> None:
        called, arguments = self.pop(2)
        match called.text if isinstance(called, _Name) else None, arguments:
            case "collections.OrderedDict", ():
                self.push({})
            case "torch._utils._rebuild_tensor_v2", (_Storage() as storage, offset, size, stride, *_):
                self.push(_View(storage, offset, size, stride))
            case "torch._utils._rebuild_parameter", (_View() as view, *_):
                self.push(view)
            case _:
                raise ValueError(f"it calls what is {_described(called)}")

    def refuse_object(self) -> None:
        called, _ = self.pop(2)
        raise ValueError(f"it makes what is {_described(called)}")

    def build(self) -> None:
        """Of an ordered dictionary of torch, whose attributes are versions of modules."""
        target, _ = self.pop(2)
        if not isinstance(target, dict):
            raise TypeError(f"what gets attributes is {_described(target)}")
        self.push(target)


def _pushing(make: Callable[[], Any]) -> Callable[[_Reader, Any], None]:
    return lambda reader, _: reader.push(make())


def _constants() -> Iterator[tuple[str, Callable[[_Reader, Any], None]]]:
    makes: dict[str, Callable[[], Any]] = {
        "EMPTY_DICT": dict,
        "EMPTY_TUPLE": tuple,
        "EMPTY_LIST": list,
        "NONE": lambda: None,
        "NEWTRUE": lambda: True,
        "NEWFALSE": lambda: False,
        "MARK": lambda: _MARK,
    }
    for name, make in makes.items():
        yield name, _pushing(make)
    for name in ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"):
        yield name, _Reader.push


_INSTRUCTIONS: Mapping[str, Callable[[_Reader, Any], None]] = {
    **dict(_constants()),
    "PROTO": lambda _, __: None,
    "FRAME": lambda _, __: None,
    "BINPUT": _Reader.put,
    "LONG_BINPUT": _Reader.put,
    "MEMOIZE": _Reader.put,
    "BINGET": _Reader.get,
    "LONG_BINGET": _Reader.get,
    "TUPLE": lambda reader, _: reader.push(tuple(reader.since_mark())),
    "TUPLE1": lambda reader, _: reader.tuple_of(1),
    "TUPLE2": lambda reader, _: reader.tuple_of(2),
    "TUPLE3": lambda reader, _: reader.tuple_of(3),
    "APPEND": lambda reader, _: reader.append(reader.pop(1)),
    "APPENDS": lambda reader, _: reader.append(reader.since_mark()),
    "SETITEM": lambda reader, _: reader.set_items(reader.pop(2)),
    "SETITEMS": lambda reader, _: reader.set_items(reader.since_mark()),
    "GLOBAL": lambda reader, name: reader.push(_Name(name.replace(" ", "."))),
    "STACK_GLOBAL": lambda reader, _: reader.stack_name(),
    "BINPERSID": lambda reader, _: reader.persistent(),
    "NEWOBJ": lambda reader, _: reader.refuse_object(),
    "REDUCE": lambda reader, _: reader.reduce(),
    "BUILD": lambda reader, _: reader.build(),
}
