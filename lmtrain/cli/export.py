"""``lmtrain export``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lmtrain.cli.options import JsonOption, ModelArgument, SnapshotOption
from lmtrain.cli.text import note, print_json, print_pairs, size
from lmtrain.errors import UsageError


def export(
    model: ModelArgument,
    to_format: Annotated[
        Literal["onnx", "safetensors"],
        typer.Option(
            "--format",
            metavar="onnx|safetensors",
            help="A graph for onnxruntime and others, or weights for torch's own modules.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder to write to.", show_default=False)],
    layout: Annotated[
        Literal["lmtrain", "sherpa", "icefall"],
        typer.Option(
            metavar="lmtrain|sherpa|icefall",
            help="onnx: what goes in and comes out is as here, or as those recognisers have it.",
        ),
    ] = "lmtrain",
    snapshot: SnapshotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Takes a model elsewhere, where it runs without lmtrain.

    Writes the model, config.json and vocab.txt. An ONNX file is checked: onnxruntime has to compute the
    model's own log-probabilities.

    Example: lmtrain export runs/quickstart --format onnx --out exported
    """
    from lmtrain.export.export import SHAPES, Original, export_onnx, export_safetensors
    from lmtrain.run.trained import load_model

    if layout != "lmtrain" and to_format != "onnx":
        raise UsageError(f"--layout {layout} is one of ONNX files: --format onnx")
    trained = load_model(model, snapshot, "cpu", note)
    original = Original(
        trained.model,
        trained.vocab,
        trained.rules,
        trained.config.name,
        trained.snapshot.step,
        trained.snapshot.path,
    )
    written = export_onnx(original, out, layout) if to_format == "onnx" else export_safetensors(original, out)
    if as_json:
        print_json(
            {
                "snapshot": str(trained.snapshot.path),
                "files": {str(out / name): num_bytes for name, num_bytes in written.files.items()},
                "greatest_difference": written.difference and written.difference.nats,
            }
        )
        return
    pairs: list[tuple[str, object]] = [("snapshot", trained.snapshot.path)]
    pairs += [(str(out / name), size(num_bytes)) for name, num_bytes in written.files.items()]
    if (difference := written.difference) is not None:
        windows = ", ".join(f"{time} × {batch}" for time, batch in SHAPES)
        found = f"{difference.nats:.1e} nats from lmtrain's own scores (allowed {difference.allowed:.0e})"
        pairs.append(("greatest difference", f"{found} on windows of {windows} words, by onnxruntime"))
    print_pairs(pairs)
