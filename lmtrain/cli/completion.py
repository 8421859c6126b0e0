"""What a shell offers on Tab beyond the names of commands and options. Nothing heavy is imported.

Where nothing is offered the shell completes file names.
"""

from pathlib import Path

import typer

_DEVICES = ("auto", "cpu", "cuda")
_RESUME = ("auto", "never")


def complete_model(incomplete: str) -> list[str]:
    """Run directories below ``runs``, or below the folder typed so far."""
    from lmtrain.run.runs import find_runs

    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    roots = [folder] if folder != Path() else [Path("runs")]
    try:
        found = [str(path) for root in roots for path in find_runs(root)]
    except OSError:
        return []
    return [path for path in found if path.startswith(incomplete) and path != incomplete.rstrip("/")]


def complete_snapshot(ctx: typer.Context, incomplete: str) -> list[str]:
    """``best``, ``last`` and the steps of the model named before."""
    model = ctx.params.get("model") or ctx.params.get("vocab")
    steps = sorted(Path(model, "snapshots").glob("step-*")) if model else []
    words = ["best", "last", *(str(int(path.name.removeprefix("step-"))) for path in steps if path.name[5:].isdecimal())]
    return _starting(words, incomplete)


def complete_device(incomplete: str) -> list[str]:
    """The devices that need no number."""
    return _starting(_DEVICES, incomplete)


def complete_resume(incomplete: str) -> list[str]:
    """How to resume, unless a snapshot is being typed."""
    return _starting(_RESUME, incomplete)


def complete_known(incomplete: str) -> list[tuple[str, str]]:
    """Corpora to fetch, with what they are."""
    from lmtrain.corpus.known import KNOWN_CORPORA

    return [(name, corpus.about) for name, corpus in KNOWN_CORPORA.items() if name.startswith(incomplete)]


def complete_synthetic(incomplete: str) -> list[tuple[str, str]]:
    """Corpora to make, with what they are."""
    from lmtrain.corpus.synthetic import SYNTHETIC

    return [(name, about) for name, about in SYNTHETIC.items() if name.startswith(incomplete)]
