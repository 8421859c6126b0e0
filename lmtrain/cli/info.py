"""``lmtrain info`` and ``lmtrain env``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmtrain.cli.options import JsonOption, ModelArgument, SnapshotOption
from lmtrain.cli.text import duration, note, print_json, print_pairs, print_table, write_result

if TYPE_CHECKING:
    from lmtrain.run.result import Part, Validation

_MAX_ROWS = 12
"""Of the history."""


def info(model: ModelArgument, snapshot: SnapshotOption = None, as_json: JsonOption = False) -> None:
    """Says what a model is and how it was trained.

    Its parts with their weights and dropout, its vocabulary, its validations, and where it comes from.

    Example: lmtrain info runs/quickstart

    Example: lmtrain info runs/quickstart --snapshot last --json
    """
    from lmtrain.run.trained import load_model

    about = load_model(model, snapshot, "cpu", note).describe()
    if as_json:
        print_json(about.to_dict())
        return
    texts, environment, trained = about.sha256, about.environment, about.provenance
    best = f"{about.best_perplexity:.2f} at step {about.best_step:,}" if about.best_step else "-"
    rules = "words between spaces" + (", in lower case" if about.config.data.lowercase else "")
    print_pairs(
        [
            ("name", about.config.name),
            ("snapshot", about.snapshot),
            ("model", about.about),
            ("parameters", f"{about.num_parameters:,}"),
            ("vocabulary", f"{about.vocab_size:,} {rules}, SHA-256 {about.vocab_sha256[:8]}"),
            ("trained", f"{about.step:,} steps, {trained.epoch:.2f} epochs, {duration(trained.elapsed)}"),
            ("best validation perplexity", best),
            *(
                (f"{name} text", f"SHA-256 {texts[name]}")
                for name in ("train", "valid", "test")
                if texts[name]
            ),
            *([("began from", environment["from"]["snapshot"])] if "from" in environment else []),
            ("written by", f"lmtrain {environment['lmtrain']}, {environment['platform']}"),
            *(
                (name.replace("_", " "), environment[name])
                for name in ("command", "git_revision")
                if environment.get(name)
            ),
        ]
    )
    _print_parts(about.parts)
    if about.history:
        is_estimate = about.config.model.softmax == "sampled"
        _print_history(about.history, about.best_step, "~train ppl" if is_estimate else "train ppl")


def _print_parts(parts: "Sequence[Part]") -> None:
    rows = []
    for part in parts:
        weights = [f"{name} {' × '.join(f'{n:,}' for n in shape)}" for name, shape in part.shapes.items()]
        weights += [f"{name} of {owner.rpartition('.')[0]}" for name, owner in part.shared.items()]
        numbers = [f"{part.num_parameters:,}", f"{part.share:.1%}"] if part.num_parameters else ["", ""]
        rows.append([part.name, part.kind, ", ".join(weights), *numbers])
    write_result()
    print_table(("part", "kind", "weights", "parameters", "share"), rows, left=("part", "kind", "weights"))


def _print_history(history: "Sequence[Validation]", best_step: int | None, train: str) -> None:
    """At most so many validations, evenly spread, the best and the last among them."""
    stride = -(-len(history) // _MAX_ROWS)
    shown = [each for i, each in enumerate(reversed(history)) if i % stride == 0 or each.step == best_step]
    rows = [
        [
            f"{each.step:,}",
            _figure(each.epoch, ".2f"),
            _figure(each.train_perplexity, ".2f"),
            f"{each.valid_perplexity:.2f}{'*' if each.step == best_step else ' '}",
            _figure(each.lr, ".3g"),
            "-" if each.elapsed is None else duration(each.elapsed),
        ]
        for each in reversed(shown)
    ]
    write_result()
    print_table(("step", "epoch", train, "valid ppl ", "lr", "elapsed"), rows, left=())


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def env(as_json: JsonOption = False) -> None:
    """Prints what an issue report needs: versions, devices.

    Example: lmtrain env
    """
    from lmtrain.machine.environment import describe_environment

    about = describe_environment()
    if as_json:
        print_json(about)
        return
    packages = about.pop("packages")
    flat = {**about, **packages, "cuda_devices": ", ".join(about["cuda_devices"]) or "none"}
    print_pairs([(name, value if value is not None else "none") for name, value in flat.items()])
