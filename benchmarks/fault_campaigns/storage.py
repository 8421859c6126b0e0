"""Snapshots that are damaged or forged, and disks that fill up."""

import atexit
import contextlib
import hashlib
import json
import operator
import os
import random
import shutil
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from crashing import disk_with
from fault_campaigns.program import STEP, Watch, start, wait_for
from fault_campaigns.small_run import SmallRun, Tally, unless
from fault_campaigns.visible import visible_writes
from hostile_files import MANIFEST, MODEL, TRAINING, VOCAB, content, forge

from lmtrain.errors import ModelError
from lmtrain.run.trained import load_model
from lmtrain.training.snapshot import read_snapshot
from lmtrain.training.store import SnapshotStore

_FILES = (MANIFEST, MODEL, TRAINING, VOCAB)
_PAGE = 4096


def damage(folder: Path, scale: float) -> Tally:
    """A real snapshot cut off, with one bit changed, with a file removed: never loaded."""
    run = SmallRun(folder / "small")
    draws = random.Random(5)
    snapshot = max((run.whole / "snapshots").glob("step-*"))
    tally = Tally(0)
    through_the_program = 0
    for what, name, change in _damages(snapshot, draws, scale):
        path = snapshot / name
        whole = path.read_bytes()
        damaged = change(whole)
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        problem = _unless_refused(read_snapshot, snapshot)
        if tally.asked % 50 == 0:
            through_the_program += 1
            problem = problem or unless(start(["info", snapshot], run.folder).wait(), 4)
        tally.asked += 1
        tally.count(f"{name} {what}", problem)
        path.write_bytes(whole)
    tally.count("repaired", None if read_snapshot(snapshot) else "not whole")
    tally.asked += 1
    tally.notes.append(f"{through_the_program} of them through the program: exit 4")
    return tally


def _damages(
    snapshot: Path, draws: random.Random, scale: float
) -> Iterator[tuple[str, str, Callable[[bytes], bytes | None]]]:
    sizes = {name: (snapshot / name).stat().st_size for name in _FILES}
    for name in _FILES:
        yield "removed", name, lambda _: None
    for _ in range(round(500 * scale)):
        name = draws.choice(_FILES)
        offset = draws.randrange(sizes[name])
        yield f"cut off at {offset}", name, operator.itemgetter(slice(offset))
    for _ in range(round(1000 * scale)):
        name = draws.choice(_FILES)
        bit = draws.randrange(8 * sizes[name])
        yield f"with bit {bit} changed", name, partial(_flipped, bit=bit)


def _flipped(whole: bytes, bit: int) -> bytes:
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _unless_refused(load: Callable[[Path], object], path: Path) -> str | None:
    try:
        load(path)
    except ModelError:
        return None
    except Exception as error:  # noqa: BLE001  (what else comes up is the question)
        return f"{type(error).__name__}: {error}"
    return "loaded"


def disk(folder: Path, scale: float) -> Tally:
    """A disk that is full after so many bytes, in the middle of a run; then space, and the same command."""
    run = SmallRun(folder / "small")
    tally = Tally(max(4, round(50 * scale)))
    half = _half_a_run(run, folder / "half")
    need = sum(path.stat().st_size for path in max((half / "snapshots").glob("step-*")).iterdir())
    draws = random.Random(6)
    few = tally.asked // 5  # where logs and descriptions find no room; else it is the next snapshot
    pages = [*range(few), *draws.sample(range(few, need // _PAGE), tally.asked - few)]
    with _small_disk(folder / "disk") as mounted:
        for budget in (page * _PAGE for page in pages):
            run_dir = folder / "disk" / "run"
            shutil.copytree(half, run_dir)
            before = _contents(run_dir)
            if mounted:
                filler = _fill(run_dir.with_name("filler"), budget)
                ending = run.start(run_dir).wait()
                filler.unlink()
            else:
                ending = run.start(run_dir, partial(_starve, budget)).wait()
            said = ending.log.read_text()
            problems = [
                unless(ending, 6),
                None if "full" in said or "No space left" in said else f"says something else: {ending}",
                "a traceback" if "Traceback" in said else None,
                None if _contents(run_dir) == before else "the old snapshots are not what they were",
                run.continued(run_dir),
                _leftovers(run_dir),
            ]
            tally.count(f"{budget} bytes", *problems)
            shutil.rmtree(run_dir)
    tally.notes.append("on a tmpfs" if mounted else "no tmpfs could be mounted: os.write was made to fail")
    return tally


def _half_a_run(run: SmallRun, run_dir: Path) -> Path:
    watch = Watch()
    process = run.start(run_dir, watch.spy)
    wait_for(process, watch, STEP, run.steps // 2)
    process.signal(signal.SIGTERM)
    process.wait()
    return run_dir


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """A file system of its own at a folder, if this user may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    mounted = (
        shutil.which("mount") is not None and not subprocess.run(command, capture_output=True).returncode
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


def _fill(path: Path, free_bytes: int) -> Path:
    """Takes all space of a file system but so much."""
    status = os.statvfs(path.parent)
    path.write_bytes(bytes(status.f_bavail * status.f_frsize - free_bytes))
    return path


def _starve(free_bytes: int) -> None:
    patches = contextlib.ExitStack()
    patches.enter_context(disk_with(free_bytes))
    patches.enter_context(visible_writes())
    atexit.register(patches.close)  # for the rest of the process


def _contents(run_dir: Path) -> dict[str, str]:
    """The snapshots, each checked, with the hash of its manifest."""
    store = SnapshotStore(run_dir / "snapshots")
    manifests = {step: store.read(step).path / MANIFEST for step in store.steps()}
    return {str(step): hashlib.sha256(path.read_bytes()).hexdigest() for step, path in manifests.items()}


def _leftovers(run_dir: Path) -> str | None:
    names = [path.name for path in run_dir.rglob(".*") if path.name != ".lock"]
    return f"left behind: {', '.join(names)}" if names else None


def fuzz(folder: Path, scale: float) -> Tally:
    """Random changes of manifests and safetensors headers, with hashes wrong and right: ``ModelError``."""
    run = SmallRun(folder / "small", steps=4, evaluate_every=2, snapshot_every=2)
    whole = max((run.whole / "snapshots").glob("step-*"))
    draws = random.Random(7)
    tally = Tally(0)
    loaded = 0
    for number in range(round(10_000 * scale)):
        target = folder / "forged"
        kind = number % 3
        if kind == 0:
            what = _mutate_manifest(whole, target, draws)
        elif kind == 1:
            what = _forge_manifest(whole, target, draws)
        else:
            what = _forge_header(whole, target, draws)
        problem = _unless_refused(_load_all, target)
        # A change to a manifest whose hashes are right can be a harmless one.
        if problem == "loaded" and kind:
            loaded += 1
            problem = None
        tally.asked += 1
        tally.count(f"{number}: {what}", problem)
        shutil.rmtree(target)
    tally.notes.append(f"{loaded} forged ones hold together and were loaded as what they say")
    return tally


def _load_all(path: Path) -> None:
    snapshot = read_snapshot(path)
    load_model(path, device="cpu").describe()
    snapshot.training_state()


def _mutate_manifest(whole: Path, target: Path, draws: random.Random) -> str:
    shutil.copytree(whole, target)
    data = (whole / MANIFEST).read_bytes()
    while (changed := _mutated(data, draws)) == data:
        pass
    (target / MANIFEST).write_bytes(changed)
    return "bytes of the manifest"


def _forge_manifest(whole: Path, target: Path, draws: random.Random) -> str:
    said = ""

    def change(body: dict[str, Any]) -> None:
        nonlocal said
        place, key = draws.choice(list(_places(body)))
        value = draws.choice(_ODD_VALUES)
        said = f"{key} = {str(value)[:40]}"
        if draws.random() < 0.2:
            del place[key]
        else:
            place[key] = value

    forge(whole, target, change=change)
    return f"the manifest forged: {said}"


def _forge_header(whole: Path, target: Path, draws: random.Random) -> str:
    name = draws.choice((MODEL, TRAINING))
    data = (whole / name).read_bytes()
    start = 8 + struct.unpack_from("<Q", data)[0]
    header = data[8:start]
    if draws.random() < 0.5:
        table = json.loads(header)
        place, key = draws.choice(list(_places(table)))
        place[key] = draws.choice(_ODD_VALUES)
        header = json.dumps(table).encode()
    else:
        header = _mutated(header, draws)
    length = len(header) if draws.random() < 0.8 else draws.getrandbits(draws.choice((8, 16, 32, 64)))
    forge(whole, target, {name: content(struct.pack("<Q", length) + header + data[start:])})
    return f"the header of {name}"


_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, -0.0, 1e308, 2**31, 2**53, 2**63, 2**64, 10**30, -(10**30)),
    *("", "x", "\0", "é" * 100, "x" * 10_000, "../..", "F64", "I64", "BOOL", "U8", "1", "nan"),
    *([], {}, [[]], [1, 2], [-1], [2**62, 4], [0, 2**62], {"a": {}}, {"$tensor": "x"}, {"$tensor": 1}),
)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a nested value, as a container and a key or index of it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)


def _mutated(data: bytes, draws: random.Random) -> bytes:
    """Bytes with a few random changes."""
    changed = bytearray(data)
    for _ in range(draws.choice((1, 1, 2, 5, 20))):
        at = draws.randrange(len(changed) + 1)
        span = draws.choice((1, 1, 2, 8, 64, 1024))
        crumbs = [draws.randbytes(span), b"9" * span, bytes(span), data[at:][:span], b"", b'"', b"{", b"["]
        changed[at : at + draws.choice((0, 1, span))] = draws.choice(crumbs)
    return bytes(changed)
