"""What tests of whole runs share: a tiny run, an observer that says nothing, a fingerprint."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from lmtrain.config import config_from_dict
from lmtrain.run.observer import Observer, RunResult, RunStart
from lmtrain.run.train import train

STEPS = 14


class Silent(Observer):
    """Watches and says nothing; calls ``at_step`` after each step."""

    def __init__(self, at_step: Callable[[int], None] = lambda step: None) -> None:
        self.at_step = at_step
        self.first_step = -1
        self.notes: list[str] = []

    def on_start(self, start: RunStart) -> None:
        self.first_step = start.step

    def on_step(self, step: int) -> None:
        self.at_step(step)

    def on_note(self, text: str) -> None:
        self.notes.append(text)


def make_corpus(folder: Path) -> Path:
    """Writes train.txt, valid.txt and test.txt of 17 words and 50 lines."""
    words = [f"w{i * i % 17}" for i in range(260)]
    lines = [words[i : i + 3 + i % 5] for i in range(0, 250, 5)]
    for name in ("train", "valid", "test"):
        (folder / f"{name}.txt").write_text("".join(" ".join(line) + "\n" for line in lines))
    return folder


def settings(corpus: Path, **changes: Any) -> dict[str, Any]:
    """A config of 14 steps with dropout and a snapshot at each; ``section__key=value`` changes it."""
    values: dict[str, Any] = {
        "name": "tiny",
        "data": {split: str(corpus / f"{split}.txt") for split in ("train", "valid", "test")},
        "model": {"embedding_dim": 6, "hidden_size": 7, "num_layers": 2, "dropout": 0.3},
        "train": {
            "max_steps": STEPS,
            "batch_size": 4,
            "bptt_len": 9,
            "optimizer": {"name": "sgd", "lr": 0.5},
        },
        "evaluation": {"every": 3},
        "snapshots": {"every": 1, "keep": 100},
        "logging": {"every": 2, "samples": 1},
    }
    for path, value in changes.items():
        section, _, key = path.partition("__")
        if value is None:
            values[section].pop(key, None)
        else:
            values[section][key] = value
    return values


def run(values: dict[str, Any], run_dir: Path, observer: Silent | None = None, **options: Any) -> RunResult:
    """Trains in this process."""
    return train(config_from_dict(values, "test"), observer or Silent(), run_dir=run_dir, **options)


def trained_in(run_dir: Path, corpus: Path, **changes: Any) -> Path:
    """A finished run; the cache lies beside it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("LMTRAIN_CACHE", str(run_dir.parent / "cache"))
        run(settings(corpus, **changes), run_dir)
    return run_dir


def last_snapshot(run_dir: Path) -> Path:
    """The directory of the last step."""
    return max((run_dir / "snapshots").glob("step-*"))


def logged(run_dir: Path) -> list[tuple[int, str]]:
    """Step and kind of each event in the log: ``train``, ``valid`` or ``test``."""
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    kinds = ("train", "valid", "test")
    return [(row["step"], kind) for row in rows for kind in kinds if f"{kind}/loss" in row]


def every_event(logging: int, evaluation: int, end: int = STEPS) -> list[tuple[int, str]]:
    """What ``logged`` gives of a run in which each event happened once."""
    events = [
        (step, kind)
        for step in range(1, end + 1)
        for kind, every in (("train", logging), ("valid", evaluation))
        if step % every == 0 or step == end
    ]
    return [*events, (end, "test")]


def fingerprint(run_dir: Path) -> str:
    """SHA-256 over all that the last snapshot and the log hold, clock readings left out."""
    last = last_snapshot(run_dir)
    digest = hashlib.sha256()
    for name in ("model.safetensors", "training.safetensors"):
        for key, tensor in sorted(safetensors.torch.load_file(last / name).items()):
            digest.update(key.encode() + tensor.contiguous().view(-1).numpy().tobytes())
    manifest = json.loads((last / "snapshot.json").read_text())
    digest.update(json.dumps(_without_times([manifest["state"], manifest["provenance"]])).encode())
    rows = [_without_times(json.loads(line)) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    digest.update(json.dumps(rows).encode())
    return digest.hexdigest()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        clocks = ("elapsed", "seconds", "train/words_per_second", "environment")
        return {key: _without_times(item) for key, item in value.items() if key not in clocks}
    return [_without_times(item) for item in value] if isinstance(value, list) else value
