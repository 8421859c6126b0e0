"""Files of ``torch.save``: tensors are read, all else is refused, and nothing is ever called."""

import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lmtrain.errors import ModelError
from lmtrain.export.pt_file import read_pt

IS_ZIP = pytest.mark.parametrize("is_zip", [True, False])


def save(value: Any, path: Path, is_zip: bool = True, **options: Any) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=is_zip, **options)
    return path


def a_state_dict() -> dict[str, torch.Tensor]:
    model = nn.ModuleDict({"encoder": nn.Embedding(7, 5), "rnn": nn.LSTM(5, 6, 2)})
    return model.state_dict()


@IS_ZIP
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_state_dict_is_read(is_zip: bool, protocol: int, tmp_path: Path) -> None:
    weights = a_state_dict()
    found = read_pt(save(weights, tmp_path / "a.pt", is_zip, pickle_protocol=protocol))
    assert list(found) == list(weights)
    for name, weight in weights.items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=0)


@IS_ZIP
def test_tensors_of_all_kinds(is_zip: bool, tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    dtypes = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool)
    values = {
        "view": whole[1:, 1:],
        "transposed": whole.t(),
        "parameter": nn.Parameter(whole),
        "none": torch.empty(0, 3),
        "scalar": torch.tensor(3.0),
        **{str(dtype): whole.to(dtype) for dtype in dtypes},
    }
    found = read_pt(save(values, tmp_path / "a.pt", is_zip))
    for name, value in values.items():
        assert found[name].is_contiguous()
        torch.testing.assert_close(found[name], value.detach(), rtol=0, atol=0)


@IS_ZIP
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(2, 3), "it (makes what is|holds a) torch.nn.modules.linear.Linear"),
        (lambda: {"model": a_state_dict()}, "'model' is of type dict, and no tensor"),
        (lambda: {"weight": torch.zeros(2), "epoch": 3}, "'epoch' is of type int"),
        (lambda: [torch.zeros(2)], "is of type list, and not tensors by name"),
        (lambda: torch.zeros(2), "is a tensor, and not tensors by name"),
        (lambda: {3: torch.zeros(2)}, "3 is a tensor"),
        (lambda: {"x": torch.zeros(2).to_sparse()}, "it calls what is torch.serialization._get_layout"),
        (lambda: {"x": Path("x")}, "it calls what is pathlib"),
    ],
)
def test_more_than_tensors_is_refused(
    make: Callable[[], Any], message: str, is_zip: bool, tmp_path: Path
) -> None:
    path = save(make(), tmp_path / "a.pt", is_zip)
    with pytest.raises(ModelError, match=message) as refused:
        read_pt(path)
    assert str(refused.value).startswith(f"{path}: not converted")


class Command:
    """What runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


class Process(Command):
    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.check_call, (["touch", str(self.marker)],)


@IS_ZIP
@pytest.mark.parametrize("kind", [Command, Process])
def test_nothing_is_called(kind: type[Command], is_zip: bool, tmp_path: Path) -> None:
    marker = tmp_path / "called"
    path = save({"weight": kind(marker)}, tmp_path / "a.pt", is_zip)
    with pytest.raises(ModelError, match=r"it calls what is (posix\.system|commands\.check_call)"):
        read_pt(path)
    (tmp_path / "b.pt").write_bytes(pickle.dumps(kind(marker)))
    with pytest.raises(ModelError, match="it calls what is"):
        read_pt(tmp_path / "b.pt")
    assert not marker.exists()


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path) -> None:
    path = save({"weight": torch.zeros(1).expand(1 << 40)}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match="larger than its storage"):
        read_pt(path)


def test_a_compressed_file_is_refused(tmp_path: Path) -> None:
    source = save(a_state_dict(), tmp_path / "a.pt")
    with (
        zipfile.ZipFile(source) as archive,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as other,
    ):
        for name in archive.namelist():
            other.writestr(name, archive.read(name))
    with pytest.raises(ModelError, match="compressed"):
        read_pt(tmp_path / "b.pt")


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(3), b"PK\x03\x04"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ModelError, match="not converted"):
        read_pt(tmp_path / "a.pt")
    with pytest.raises(ModelError, match="cannot be read"):
        read_pt(tmp_path / "none.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.floats(0, 1, exclude_max=True), st.integers(0, 255) | st.none())
def test_a_damaged_file_is_read_or_refused(
    folder: Path, is_zip: bool, place: float, byte: int | None
) -> None:
    whole = save(a_state_dict(), folder / "a.pt", is_zip).read_bytes()
    at = int(place * len(whole))
    (folder / "b.pt").write_bytes(whole[:at] + (b"" if byte is None else bytes([byte]) + whole[at + 1 :]))
    try:
        found = read_pt(folder / "b.pt")
    except ModelError:
        return
    assert all(isinstance(tensor, torch.Tensor) for tensor in found.values())
