"""How a model adapts to the text it reads: the options that ``eval`` and ``score`` share."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lmtrain.cli.progress import watched
from lmtrain.cli.text import note
from lmtrain.errors import UsageError

if TYPE_CHECKING:
    from lmtrain.inference.adapt import Adaptation
    from lmtrain.inference.mixture import Interpolation
    from lmtrain.inference.windows import HeldOutWindow
    from lmtrain.run.trained import TrainedModel

AdaptOption = Annotated[
    Literal["none", "cache", "dynamic", "both"],
    typer.Option(
        metavar="none|cache|dynamic|both",
        help="Adaptation to the text while it is read. cache: to the words read last. dynamic: by steps of "
        "gradient descent on what was read; the model itself stays as it is.",
    ),
]
AdaptSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--adapt-set",
        metavar="KEY=VALUE",
        help="A value of the adaptation: cache.window, cache.theta, cache.weight, dynamic.lr, dynamic.every "
        "(words a step), dynamic.rule (sgd or rms), dynamic.decay; repeatable.",
        show_default=False,
    ),
]
TemperatureOption = Annotated[
    float | None,
    typer.Option(
        metavar="X", help="What logits are divided by; above 1, the model is less sure.", show_default=False
    ),
]
TuningOption = Annotated[
    Path | None,
    typer.Option(
        "--tuning", metavar="FILE", help="Takes the values that --save-tuning kept.", show_default=False
    ),
]


@dataclass(frozen=True)
class AdaptOptions:
    """What was asked for on the command line."""

    adapt: str
    values: list[str] | None
    temperature: float | None
    tuning: Path | None

    def adaptation(self) -> "Adaptation":
        """What they mean.

        Raises:
            UsageError: A value is none, or belongs to nothing that takes part.
        """
        from lmtrain.inference.adapt import Adaptation, Cache, Dynamic

        if self.tuning is not None:
            return self._kept()
        kinds = {"cache": Cache, "dynamic": Dynamic}
        wanted = kinds if self.adapt == "both" else {k: v for k, v in kinds.items() if k == self.adapt}
        found: dict[str, dict[str, Any]] = {name: {} for name in wanted}
        for assignment in self.values or ():
            key, _, text = assignment.partition("=")
            name, _, field = key.partition(".")
            fields = getattr(kinds.get(name), "__annotations__", {})
            if field not in fields:
                known = [f"{k}.{f}" for k, kind in kinds.items() for f in kind.__annotations__]
                raise UsageError(f"--adapt-set {assignment}: unknown; there are {', '.join(known)}")
            if name not in wanted:
                raise UsageError(f"--adapt-set {assignment}: has no part in --adapt {self.adapt}")
            try:
                found[name][field] = fields[field](text)
            except ValueError:
                raise UsageError(f"--adapt-set {assignment}: {text or 'nothing'} is no such value") from None
        try:
            parts = {name: wanted[name](**values) for name, values in found.items()}
            return Adaptation(**parts, temperature=1.0 if self.temperature is None else self.temperature)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def _kept(self) -> "Adaptation":
        from lmtrain.inference.adapt import Adaptation

        if self.adapt != "none" or self.values or self.temperature is not None:
            raise UsageError("--tuning says all of the adaptation; leave the other options of it out")
        try:
            return Adaptation.from_dict(_read(self.tuning)["adaptation"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(f"{self.tuning}: not what --save-tuning wrote ({error})") from None


def kept_weight(tuning: Path | None) -> float | None:
    """The weight of the n-gram model in a file of ``--save-tuning``, if there is one."""
    value = None if tuning is None else _read(tuning).get("ngram_weight")
    return float(value) if isinstance(value, int | float) else None


def tuned(
    model: "TrainedModel",
    start: "Adaptation",
    interpolation: "Interpolation | None",
    tune_on: Path,
    *,
    context: str | None,
    precision: Literal["float32", "bfloat16"],
    save: Path | None,
) -> "tuple[Adaptation, Interpolation | None]":
    """What suits a text best; said, and kept in a file where one is named."""
    from lmtrain.files.atomic import write_file

    ngram = interpolation.ngram if interpolation else None
    note(f"tuning on {tune_on} …")
    adaptation, interpolation = model.tune_adaptation(
        start, tune_on, ngram=ngram, context=context, precision=precision, watch=watched_windows
    )
    weight = None if interpolation is None else interpolation.weight
    beside = "" if weight is None else f", n-gram weight {weight:g}"
    note(f"tuned: {adaptation}, temperature {adaptation.temperature:g}{beside}")
    if save is not None:
        content = {
            "adaptation": adaptation.to_dict(),
            "ngram_weight": weight,
            "tuned_on": str(tune_on),
            "snapshot": str(model.snapshot.path),
            "vocab": model.vocab.sha256,
        }
        write_file(save, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    return adaptation, interpolation


def watched_windows(windows: Iterable["HeldOutWindow"], num_tokens: int) -> Iterator["HeldOutWindow"]:
    """Hands windows on, and shows how far the text is read."""
    return watched(windows, num_tokens, "tokens", size=lambda window: len(window.positions))


def _read(path: Path | None) -> dict[str, Any]:
    assert path is not None  # noqa: S101
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not what --save-tuning wrote ({error})") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: not what --save-tuning wrote")
    return content
