"""``lmtrain info`` and ``lmtrain env``."""

from typing import Annotated

import typer

from lmtrain.cli.evaluate import ModelArgument, SnapshotOption
from lmtrain.cli.text import duration, print_json, print_pairs

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def info(model: ModelArgument, snapshot: SnapshotOption = None, as_json: JsonOption = False) -> None:
    """Says what a model is: its parts, its vocabulary, how it was trained and from what."""
    from lmtrain.run.trained import load_model

    about = load_model(model, snapshot, "cpu").describe()
    if as_json:
        print_json(about)
        return
    best = f"{about['best_perplexity']:.2f} at step {about['best_step']:,}" if about["best_step"] else "-"
    print_pairs(
        [
            ("name", about["name"]),
            ("snapshot", about["snapshot"]),
            ("model", about["model"]),
            ("parameters", f"{about['num_parameters']:,}"),
            *((f"  {part}", f"{number:,}") for part, number in about["parameters"].items()),
            ("vocabulary", f"{about['vocab_size']:,} words, SHA-256 {about['sha256']['vocab'][:8]}"),
            (
                "trained",
                f"{about['step']:,} steps, {about['epoch']:.2f} epochs, {duration(about['elapsed'])}",
            ),
            ("best validation perplexity", best),
            *((f"{text} text", f"SHA-256 {about['sha256'][text]}") for text in ("train", "valid")),
            ("written by", f"lmtrain {about['environment']['lmtrain']}, {about['environment']['platform']}"),
        ]
    )


def env(as_json: JsonOption = False) -> None:
    """Says what an issue report needs: versions, processor, threads, devices."""
    from lmtrain.run.environment import describe_environment

    about = describe_environment()
    if as_json:
        print_json(about)
        return
    packages = about.pop("packages")
    flat = {**about, **packages, "cuda_devices": ", ".join(about["cuda_devices"]) or "none"}
    print_pairs([(name, value if value is not None else "none") for name, value in flat.items()])
