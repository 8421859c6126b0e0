"""``lmtrain adapt-stats``."""

from pathlib import Path
from typing import Annotated

import typer

from lmtrain.cli.adapting import watched_windows
from lmtrain.cli.options import DeviceOption, ModelArgument, SnapshotOption
from lmtrain.cli.text import note


def adapt_stats(
    model: ModelArgument,
    data: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="The text that the model was trained on, or a part of it.",
            show_default=False,
        ),
    ],
    num_tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="So much of its beginning is read.")
    ] = 500_000,
    snapshot: SnapshotOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Measures gradients of a training text, for the rule rms.

    They are kept beside the weights, for --adapt dynamic --adapt-set dynamic.rule=rms of eval and score.

    Example: lmtrain adapt-stats runs/quickstart --data text/train.txt
    """
    from lmtrain.run.trained import load_model

    loaded = load_model(model, snapshot, device)
    file = loaded.collect_statistics(data, num_tokens=num_tokens, watch=watched_windows)
    note(f"{file}: written; now --adapt dynamic --adapt-set dynamic.rule=rms can be had")
