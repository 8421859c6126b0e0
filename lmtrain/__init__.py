"""Word-level recurrent language models: trained, evaluated, sampled and resumed."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from lmtrain.run.trained import TrainedModel

__version__ = "0.1.0"


def load(model: "str | Path", snapshot: str | None = None, device: str = "auto") -> "TrainedModel":
    """Loads a trained model, which scores, generates and evaluates; the commands use the same object.

    Args:
        model: A run directory or one snapshot directory.
        snapshot: For a run directory: ``best``, ``last`` or the number of a step; by default the best by
            validation perplexity, else the last.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ModelError: There is no such model, or it is damaged.
        UsageError: There is no such device or snapshot.
    """
    from pathlib import Path

    from lmtrain.run.trained import load_model

    return load_model(Path(model), snapshot, device)
