"""What ``eval``, ``score`` and ``rescore`` share where an n-gram model is mixed in."""

from pathlib import Path
from typing import TYPE_CHECKING

from lmtrain.cli.text import note
from lmtrain.errors import UsageError

if TYPE_CHECKING:
    from lmtrain.inference.mixture import Interpolation
    from lmtrain.run.ensemble import Ensemble
    from lmtrain.run.trained import TrainedModel

_DEFAULT_WEIGHT = 0.5


def refuse_weight_alone(ngram: Path | None, weight: float | None) -> None:
    """Refuses a weight of nothing, before anything is loaded."""
    if weight is not None and ngram is None:
        raise UsageError("--weight is that of an n-gram model; name one with --ngram")


def interpolation_of(
    model: "TrainedModel | Ensemble", path: Path | None, weight: float | None
) -> "Interpolation | None":
    """The mixture that ``--ngram`` and ``--weight`` ask for; says how many words the n-gram model lacks."""
    from lmtrain.inference.mixture import Interpolation

    if path is None:
        if weight is not None:  # of --tuning: on its own, --weight is refused
            note("the values were tuned beside an n-gram model, and none takes part; --ngram names it")
        return None
    ngram = model.ngram(path)
    if ngram.num_unknown_words:
        note(
            f"{path}: does not know {ngram.num_unknown_words:,} of the model's {len(model.vocab):,} words; "
            "they share its probability of unknown words"
        )
    return Interpolation(ngram, _DEFAULT_WEIGHT if weight is None else weight)
