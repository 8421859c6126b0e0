"""``lmtrain info`` and ``lmtrain env``."""

from lmtrain.cli.options import JsonOption, ModelArgument, SnapshotOption
from lmtrain.cli.text import duration, print_json, print_pairs


def info(model: ModelArgument, snapshot: SnapshotOption = None, as_json: JsonOption = False) -> None:
    """Says what a model is and how it was trained.

    Its parts and their parameters, its vocabulary, steps, epochs and time, the hashes of its texts.
    """
    from lmtrain.run.loading import load_model

    about = load_model(model, snapshot, "cpu").describe()
    if as_json:
        print_json(about)
        return
    best = f"{about['best_perplexity']:.2f} at step {about['best_step']:,}" if about["best_step"] else "-"
    texts = {name: about["sha256"][name] for name in ("train", "valid", "test")}
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
            *((f"{name} text", f"SHA-256 {digest}") for name, digest in texts.items() if digest),
            ("written by", f"lmtrain {about['environment']['lmtrain']}, {about['environment']['platform']}"),
        ]
    )


def env(as_json: JsonOption = False) -> None:
    """Prints what an issue report needs: versions, threads, devices."""
    from lmtrain.run.environment import describe_environment

    about = describe_environment()
    if as_json:
        print_json(about)
        return
    packages = about.pop("packages")
    flat = {**about, **packages, "cuda_devices": ", ".join(about["cuda_devices"]) or "none"}
    print_pairs([(name, value if value is not None else "none") for name, value in flat.items()])
