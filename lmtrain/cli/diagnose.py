"""``lmtrain diagnose``."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lmtrain.cli.completion import complete_model
from lmtrain.cli.options import DeviceOption, JsonOption, ModelArgument, SnapshotOption
from lmtrain.cli.progress import watched
from lmtrain.cli.text import print_json, print_pairs, write_result

if TYPE_CHECKING:
    from lmtrain.report.measure.diagnose import Diagnosis

T = TypeVar("T")


def diagnose(
    model: ModelArgument,
    data: Annotated[
        Path, typer.Option(metavar="FILE", help="Held-out text; - is standard input.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the report, a new one.  [default: reports/NAME]",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="MODEL",
            help="Another model to stand beside it; repeatable.",
            show_default=False,
            autocompletion=complete_model,
        ),
    ] = None,
    positions: Annotated[
        int,
        typer.Option(
            metavar="N", min=2, help="Words predicted from cut contexts: more are slower and more exact."
        ),
    ] = 5000,
    words: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Words whose nearest ones to show.  [default: some]", show_default=False
        ),
    ] = "",
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Of all samples.")] = 1,
    snapshot: SnapshotOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Reports what a model has learnt and where it fails.

    How far gradients and memory reach, which words are hard, whether its probabilities can be trusted,
    whether verbs agree, which words it takes to be alike, what its gates do: report.md with pictures, and
    report.json.

    Example: lmtrain diagnose runs/quickstart --data data/toy-english/valid.txt
    """
    from lmtrain.jobs.diagnose import diagnose as examine

    report, folder = examine(
        [model, *(compare or ())],
        data,
        out,
        snapshot=snapshot,
        device=device,
        num_positions=positions,
        words=words,
        seed=seed,
        watch=_watched,
    )
    if as_json:
        print_json(report.to_dict())
        return
    for found in report.found:
        _print(found)
    write_result(f"\nthe report: {folder / 'report.md'}")


def _watched(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    return watched(items, total, "batches", what)


def _print(found: "Diagnosis") -> None:
    gradient, context = found.gradient_reach, found.context_reach
    verdict = gradient.verdict if found.has_learnt else "nothing was learnt"
    agreement = ", ".join(f"{score.accuracy:.1%}" for score in found.agreement)
    print_pairs(
        [
            ("model", f"{found.name} ({found.about})"),
            ("perplexity", f"{found.perplexity:.4f}"),
            ("  without <unk>", f"{found.perplexity_without_unk:.4f} ({found.oov_rate:.1%} are <unk>)"),
            ("gradient reaches", f"{gradient.reach or f'more than {gradient.max_steps}'} steps"),
            ("bptt_len", f"{gradient.bptt_len or '-'} ({verdict})"),
            ("context counts", f"{context.reach or f'more than {context.costs[-2].length}'} words"),
            ("calibration error", f"{found.calibration.expected_error:.2%}"),
            ("agreement", f"{agreement} over 0, 1, 2, 3 attractors" if agreement else "- (not toy-english)"),
        ]
    )
