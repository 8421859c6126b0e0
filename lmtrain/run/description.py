"""A model by parts, and how its training went: what ``lmtrain info`` tells."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lmtrain.model.language_model import LanguageModel
from lmtrain.run.log import read_log


@dataclass(frozen=True)
class Part:
    """One part of a model, in the order in which a word passes through them."""

    name: str
    kind: str
    """Its class; of a dropout with the rate."""
    shapes: dict[str, tuple[int, ...]]
    """Of its weights by name."""
    shared: dict[str, str]
    """Its weights that belong to another part, by name the full name there. They are counted there alone."""
    num_parameters: int
    share: float
    """Of all parameters of the model, from 0 to 1."""


@dataclass(frozen=True)
class Validation:
    """How a run stood when it was validated."""

    step: int
    epoch: float | None
    train_perplexity: float | None
    """As last logged: over the words of some steps, with dropout."""
    valid_perplexity: float
    lr: float | None
    elapsed: float | None
    """Seconds of the run until then."""


def describe_parts(model: LanguageModel) -> list[Part]:
    """The embedding, the dropouts that drop anything, the layers, the softmax."""
    owners: dict[int, str] = {}
    total = sum(parameter.numel() for parameter in model.parameters())
    return [_describe_part(name, module, owners, total) for name, module in _in_order(model)]


def _in_order(model: LanguageModel) -> Iterator[tuple[str, nn.Module]]:
    yield "embedding", model.embedding
    places = [f"layers.{i}" for i in range(len(model.layers))] + ["softmax"]
    modules: list[nn.Module] = [*model.layers, model.softmax]
    for place, dropout, module in zip(places, model.dropouts, modules, strict=True):
        if getattr(dropout, "rate", 0.0):
            yield f"before {place}", dropout
        yield place, module


def _describe_part(name: str, module: nn.Module, owners: dict[int, str], total: int) -> Part:
    shapes, shared, number = {}, {}, 0
    for key, weight in module.named_parameters():
        if id(weight) in owners:
            shared[key] = owners[id(weight)]
        else:
            owners[id(weight)] = f"{name}.{key}"
            shapes[key] = tuple(weight.shape)
            number += weight.numel()
    rate = getattr(module, "rate", None)
    kind = type(module).__name__ + (f" {rate:g}" if rate is not None else "")
    return Part(name, kind, shapes, shared, number, number / total)


def read_history(snapshot: Path, last_step: int) -> list[Validation]:
    """The validations of a snapshot's run, up to a step; none where there is no log to tell."""
    if snapshot.parent.name != "snapshots":
        return []
    try:
        rows, _ = read_log(snapshot.parents[1] / "metrics.jsonl", lambda _: True)
    except (OSError, ValueError):
        return []
    history: list[Validation] = []
    train, lr = None, None
    for row in rows:
        if row.step > last_step:
            break
        train, lr = row.number("train/perplexity") or train, row.number("train/lr") or lr
        if (valid := row.number("valid/perplexity")) is not None:
            epoch, elapsed = row.number("epoch"), row.number("elapsed")
            history.append(Validation(row.step, epoch, train, valid, lr, elapsed))
    return history
