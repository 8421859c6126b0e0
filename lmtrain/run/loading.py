"""A run directory or snapshot becomes a model."""

from pathlib import Path
from typing import Any

import torch

from lmtrain.config import config_from_dict
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import ConfigError, ModelError, UsageError, meant
from lmtrain.machine.device import resolve_device
from lmtrain.model.language_model import LanguageModel
from lmtrain.run.build import build_model, text_rules
from lmtrain.run.trained import TrainedModel
from lmtrain.training.snapshot import Snapshot, SnapshotStore, read_snapshot, weights_of


def load_model(path: Path, which: str | None = None, device: str = "auto") -> TrainedModel:
    """Loads a model.

    Args:
        path: A run directory or one snapshot directory.
        which: For a run directory: ``best``, ``last`` or a step; by default the best by validation, else
            the last.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ModelError: There is no such model, or it is damaged.
        UsageError: There is no such device, or ``which`` has no meaning here.
    """
    where = resolve_device(device)
    snapshot = find_snapshot(path, which)
    try:
        config = config_from_dict(snapshot.config, str(snapshot.path))
        vocab = _read_vocabulary(snapshot)
        with torch.device("meta"):  # sizes are compared before memory is taken
            refuse_other_shapes(snapshot, build_model(config.model, len(vocab)))
    except ConfigError as error:
        raise ModelError(str(error)) from error
    model = build_model(config.model, len(vocab))
    model.load_state_dict(snapshot.model_tensors(), strict=False)
    return TrainedModel(model.to(where).eval(), vocab, text_rules(config.data), config, snapshot)


def load_vocabulary(path: Path, which: str | None = None) -> tuple[Vocabulary, TextRules]:
    """The words of a model and how text becomes words for it; its weights are not read.

    Args:
        path: A run directory or one snapshot directory.
        which: As in ``load_model``.

    Raises:
        ModelError: There is no such model, or it is damaged.
        UsageError: ``which`` has no meaning here.
    """
    snapshot = find_snapshot(path, which)
    try:
        config = config_from_dict(snapshot.config, str(snapshot.path))
    except ConfigError as error:
        raise ModelError(str(error)) from error
    return _read_vocabulary(snapshot), text_rules(config.data)


def find_snapshot(path: Path, which: str | None = None) -> Snapshot:
    """The snapshot that ``MODEL`` and ``--snapshot`` name; see ``load_model``."""
    if (path / "snapshot.json").exists():
        if which is not None:
            raise UsageError(f"{path}: one snapshot; --snapshot {which} picks from a run directory")
        return read_snapshot(path)
    store = SnapshotStore(path / "snapshots")
    steps = store.steps()
    if not steps:
        raise ModelError(f"{path}: neither a run directory with a snapshot nor a snapshot{meant(path)}")
    if which is not None and which not in ("best", "last"):
        if not which.isdecimal():
            raise UsageError(f"--snapshot {which}: allowed: best, last or the number of a step")
        if int(which) not in steps:
            raise ModelError(
                f"{path}: there is no snapshot of step {which}, only of {', '.join(map(str, steps))}"
            )
        return store.read(int(which))
    newest = store.read(steps[-1])
    best_step = newest.provenance.best_step
    if which == "best" and best_step is None:
        raise ModelError(f"{path}: no snapshot is the best, since the run was not validated; use last")
    return newest if which == "last" or best_step is None else store.read(best_step)


def refuse_other_shapes(snapshot: Snapshot, model: LanguageModel) -> None:
    """Compares the weights of a snapshot with those of a model, without reading any.

    Raises:
        ModelError: They differ; names the first that does.
    """
    expected = {name: tuple(p.shape) for name, p in weights_of(model).items()}
    found = snapshot.model_shapes()
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ModelError(
                f"{snapshot.path}: its weights do not fit its config: {name} is "
                f"{found.get(name, 'missing')}, expected {expected.get(name, 'nothing')}"
            )


def refuse_other_state(state: Any, model: LanguageModel, batch_size: int) -> None:
    """Compares a training state with what it is to be used with, since fused kernels trust shapes blindly.

    Args:
        state: Of a trainer, as ``Trainer.state_dict`` gave it.
        model: Whose weights the moments are of.
        batch_size: Of the hidden state.

    Raises:
        ValueError: A moment or the hidden state has another shape or type.
    """
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for index, moments in state["optimizer"]["moments"].items():
        weight = weights[int(index)]
        for name, moment in moments.items():
            shape = () if name == "step" else weight.shape
            if moment is not None and (moment.shape != shape or moment.dtype != torch.float32):
                raise ValueError(f"{name} of weight {index} is {moment.dtype} of shape {tuple(moment.shape)}")
    if state["hidden"] is not None:
        found, expected = (
            [[(tensor.shape, tensor.dtype) for tensor in layer] for layer in hidden]
            for hidden in (state["hidden"], model.initial_state(batch_size))
        )
        if found != expected:
            raise ValueError("the hidden state is that of another model or batch")


def _read_vocabulary(snapshot: Snapshot) -> Vocabulary:
    data, name = snapshot.vocab_bytes(), str(snapshot.path / "vocab.txt")
    shape = snapshot.model_shapes().get("embedding.weight", ())
    num_words, num_rows = data.count(b"\n"), shape[0] if shape else 0
    if num_words > num_rows:  # counted before millions of lines become objects
        raise ModelError(f"{name}: {num_words:,} words, where its weights are for {num_rows:,}")
    return Vocabulary.from_bytes(data, name)
