"""The snapshot store: what it keeps, what it refuses, and that every byte is checked."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmtrain.errors import ModelError, StorageError
from lmtrain.training.manifest import MANIFEST, MODEL, TRAINING, VOCAB
from lmtrain.training.snapshot import Provenance, read_snapshot
from lmtrain.training.store import SnapshotStore

STATE = {
    "steps": 7,
    "lr": 0.1,
    "none": None,
    "flag": True,
    "nested": [{"moment": torch.arange(6.0).reshape(2, 3)}, [1, 2.5, "drei"]],
    "generator": torch.Generator().manual_seed(3).get_state(),
}
WEIGHTS = {"embedding.weight": torch.randn(5, 4), "softmax.bias": torch.randn(5)}


def provenance(best_step: int | None = None) -> Provenance:
    return Provenance(
        environment={"lmtrain": "0"},
        sha256={"vocab": "ab", "test": None},
        num_tokens=9,
        epoch=0.5,
        best_step=best_step,
        best_loss=None,
        elapsed=1.5,
    )


def write(store: SnapshotStore, step: int, best_step: int | None = None, **changes: Any) -> Path:
    state = {**STATE, **changes}
    return store.write(
        step, WEIGHTS, state, b"<eos>\n<unk>\n", config={"name": "x"}, provenance=provenance(best_step)
    )


def assert_same(a: Any, b: Any) -> None:
    if isinstance(b, torch.Tensor):
        assert torch.equal(a, b)
        assert a.dtype == b.dtype
    elif isinstance(b, dict):
        assert list(a) == list(b)
        for key in b:
            assert_same(a[key], b[key])
    elif isinstance(b, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b
        assert type(a) is type(b)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = write(SnapshotStore(tmp_path / "snapshots"), 1234)
    assert path.name == "step-00001234"
    assert sorted(p.name for p in path.iterdir()) == sorted([MANIFEST, MODEL, TRAINING, VOCAB])
    snapshot = read_snapshot(path)
    assert (snapshot.step, snapshot.config, snapshot.provenance) == (1234, {"name": "x"}, provenance())
    assert snapshot.vocab_bytes() == b"<eos>\n<unk>\n"
    assert snapshot.model_shapes() == {"embedding.weight": (5, 4), "softmax.bias": (5,)}
    assert_same(dict(sorted(snapshot.model_tensors().items())), WEIGHTS)
    assert_same(snapshot.training_state(), STATE)


def test_the_newest_are_kept_and_the_best(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path, keep=2)
    for step in range(1, 8):
        write(store, step, best_step=3 if step >= 3 else None)
    assert store.steps() == [3, 6, 7]


def test_steps_beyond_eight_digits_are_still_in_order(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path, keep=5)
    for step in (99_999_999, 100_000_000, 3):
        write(store, step)
    assert store.steps() == [3, 99_999_999, 100_000_000]


def test_a_step_can_be_written_again(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    write(store, 5, lr=0.1)
    write(store, 5, lr=0.2)
    assert store.read(5).training_state()["lr"] == 0.2
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000005"]


def test_the_newest_whole_one_wins(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    for step in (1, 2, 3):
        write(store, step)
    (tmp_path / "step-00000003" / MODEL).unlink()
    with (tmp_path / "step-00000002" / TRAINING).open("ab") as file:
        file.write(b"x")
    newest, damaged = store.newest()
    assert newest is not None
    assert newest.step == 1
    assert sorted(damaged) == [2, 3]
    assert "model.safetensors is missing" in str(damaged[3])
    assert "training.safetensors has" in str(damaged[2])
    aside = [store.set_aside(step).name for step in damaged]
    assert aside == ["damaged-step-00000003.1", "damaged-step-00000002.1"]
    assert store.steps() == [1]


def test_none_whole_is_an_error_and_none_at_all_is_not(tmp_path: Path) -> None:
    assert SnapshotStore(tmp_path / "nowhere").newest() == (None, {})
    store = SnapshotStore(tmp_path)
    (write(store, 1) / VOCAB).unlink()
    with pytest.raises(ModelError, match="no snapshot is whole"):
        store.newest()
    assert store.steps() == [1]


def test_what_an_interrupted_write_left_is_cleaned_up(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    write(store, 1)
    (tmp_path / ".writing-step-00000002").mkdir()
    (tmp_path / ".writing-step-00000002" / MODEL).write_bytes(b"half")
    shutil.copytree(tmp_path / "step-00000001", tmp_path / ".replaced-step-00000001")
    (tmp_path / "step-00000001").rename(tmp_path / ".replaced-step-00000003")
    store.recover()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000001", "step-00000003"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(SnapshotStore(tmp_path_factory.mktemp("whole")), 1)


def damaged_by(whole: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    """Damages one file of the snapshot, expects it to be refused, and mends it again."""
    path = whole / name
    content = path.read_bytes()
    path.write_bytes(damage(content))
    try:
        with pytest.raises(ModelError, match=whole.name):
            read_snapshot(whole)
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("name", [MANIFEST, MODEL, TRAINING, VOCAB])
def test_every_truncation_is_detected(name: str, whole: Path) -> None:
    size = (whole / name).stat().st_size
    for offset in sorted({0, 1, size - 1, *random.Random(0).choices(range(size), k=130)}):
        damaged_by(whole, name, lambda content, offset=offset: content[:offset])


@pytest.mark.parametrize("name", [MANIFEST, MODEL, TRAINING, VOCAB])
def test_every_flipped_bit_is_detected(name: str, whole: Path) -> None:
    size = (whole / name).stat().st_size
    for bit in random.Random(0).choices(range(8 * size), k=260):

        def flip(content: bytes, bit: int = bit) -> bytes:
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            return bytes(changed)

        damaged_by(whole, name, flip)
    assert read_snapshot(whole).step == 1


@pytest.mark.parametrize("name", [MANIFEST, MODEL, TRAINING, VOCAB])
def test_every_missing_file_is_detected(name: str, whole: Path) -> None:
    content = (whole / name).read_bytes()
    (whole / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        read_snapshot(whole)
    (whole / name).write_bytes(content)


@given(content=st.binary(max_size=300), name=st.sampled_from([MANIFEST, MODEL, TRAINING]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_are_refused(content: bytes, name: str, whole: Path) -> None:
    damaged_by(whole, name, lambda _: content)


def rewritten(whole: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy whose manifest says something else and whose hash is right: made by hand, not by damage."""
    import hashlib

    copy = tmp_path / whole.name
    shutil.copytree(whole, copy)
    body = json.loads((copy / MANIFEST).read_bytes())
    del body["sha256"]
    change(body)
    digest = hashlib.sha256((json.dumps(body, indent=1) + "\n").encode()).hexdigest()
    (copy / MANIFEST).write_text(json.dumps({**body, "sha256": digest}, indent=1) + "\n")
    return copy


def test_a_newer_format_is_refused_by_name(whole: Path, tmp_path: Path) -> None:
    path = rewritten(whole, tmp_path, lambda body: body.update(format_version=99))
    with pytest.raises(ModelError, match="format 99, newer than"):
        read_snapshot(path)


@pytest.mark.parametrize("key", ["format_version", "step", "config", "provenance", "state", "files"])
@pytest.mark.parametrize("value", [None, "x", [], {}, -1])
def test_a_manifest_of_another_kind_is_refused(key: str, value: Any, whole: Path, tmp_path: Path) -> None:
    if key in ("config", "state") and value == {}:
        value = 1.5  # an empty mapping is one of the right kind
    path = rewritten(whole, tmp_path, lambda body: body.update({key: value}))
    with pytest.raises(ModelError, match=whole.name):
        read_snapshot(path)


def test_links_are_refused(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / whole.name
    shutil.copytree(whole, copy)
    (copy / MODEL).unlink()
    (copy / MODEL).symlink_to(whole / MODEL)
    with pytest.raises(ModelError, match="not a regular file"):
        read_snapshot(copy)


def test_a_refusing_disk_is_reported_and_leaves_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SnapshotStore(tmp_path)
    write(store, 1)

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StorageError, match=r"step-00000002: .*the disk is full"):
        write(store, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]
    assert store.read(1).step == 1


def test_a_newer_format_is_not_damage(whole: Path, tmp_path: Path) -> None:
    """It must not be set aside, and nothing older be trained on instead."""
    path = rewritten(whole, tmp_path, lambda body: body.update(format_version=99, step=9))
    path.rename(tmp_path / "step-00000009")
    shutil.copytree(whole, tmp_path / whole.name)
    with pytest.raises(ModelError, match="install a newer lmtrain"):
        SnapshotStore(tmp_path).newest()


def test_what_cannot_be_read_is_not_damage(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hashlib.file_digest", refuse)
    with pytest.raises(StorageError, match="cannot be read: Permission denied"):
        SnapshotStore(whole.parent).newest()


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    write(store, 1)
    with pytest.raises(StorageError, match="too large to be read again"):
        write(store, 2, texts="x" * (5 << 20))
    assert store.steps() == [1]
