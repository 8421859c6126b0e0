"""What a run would take: read, built, measured for a few steps, and not run."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from lmtrain.config import Config
from lmtrain.corpus.batching import Window
from lmtrain.model.language_model import LanguageModel
from lmtrain.run.build import build_trainer, count_steps, load_corpora, resolve_device

_MEASURED_STEPS = 5


@dataclass(frozen=True)
class Estimate:
    """What a run would take."""

    num_parameters: int
    vocab_size: int
    num_tokens: int
    repeated_tokens: int
    """Tokens of the last time step of an epoch that a stream reads a second time."""
    num_steps: int
    """Of the whole training."""
    memory_bytes: int
    """Parameters, gradients, optimizer state and the activations of one window."""
    disk_bytes: int
    """Of the snapshots that are kept, the best one and one being written."""
    disk_free_bytes: int
    seconds_per_step: float
    words_per_second: float

    @property
    def seconds(self) -> float:
        """Of the whole training, validation left out."""
        return self.num_steps * self.seconds_per_step


def dry_run(config: Config, run_dir: Path | None = None, device: str = "auto") -> Estimate:
    """Builds what a config says and makes a few steps in memory.

    Args:
        config: What would be trained.
        run_dir: Where, which is not touched; by default ``runs/NAME``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        LmtrainError: As training itself would.
    """
    corpora = load_corpora(config)
    trainer = build_trainer(config, corpora, resolve_device(device))
    window: Window = next(trainer.windows)
    trainer.step()  # the first one warms caches up
    trainer.check_finite()  # waits for the device
    started, epochs = time.perf_counter(), trainer.windows.epoch_detail
    for _ in range(_MEASURED_STEPS):
        trainer.step()
    trainer.check_finite()
    seconds = time.perf_counter() - started
    num_tokens = (trainer.windows.epoch_detail - epochs) * corpora.train.num_tokens
    model = trainer.model
    moments = trainer.optimizer.state_dict()["moments"]
    state_bytes = sum(t.nbytes for tensors in moments.values() for t in tensors.values() if t is not None)
    weights = sum(p.nbytes for p in model.parameters())
    on_disk = weights + state_bytes + len(corpora.vocab.to_bytes())
    return Estimate(
        num_parameters=sum(p.numel() for p in model.parameters()),
        vocab_size=len(corpora.vocab),
        num_tokens=corpora.train.num_tokens,
        repeated_tokens=_repeated(config, corpora.train.num_tokens),
        num_steps=count_steps(config, trainer.windows),
        memory_bytes=2 * weights + state_bytes + _activation_bytes(model, window),
        disk_bytes=on_disk * (config.snapshots.keep + 2),
        disk_free_bytes=shutil.disk_usage(_existing(run_dir or Path("runs") / config.name)).free,
        seconds_per_step=seconds / _MEASURED_STEPS,
        words_per_second=num_tokens / seconds,
    )


def _repeated(config: Config, num_tokens: int) -> int:
    if config.data.context == "line":
        return 0
    return -num_tokens % config.train.batch_size


def _activation_bytes(model: LanguageModel, window: Window) -> int:
    """What autograd keeps of one window, without counting a tensor twice."""
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    input_ids, targets = (tensor.to(model.device) for tensor in window)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.loss(input_ids, targets, model.initial_state(input_ids.shape[1]))
    return sum(size for pointer, size in kept.items() if pointer not in weights)


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that there is."""
    return next(p for p in (path, *path.absolute().parents) if p.exists())
