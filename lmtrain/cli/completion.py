"""What a shell offers on Tab beyond the names of commands and options. Nothing heavy is imported.

Where nothing is offered the shell completes file names.
"""

from collections.abc import Iterable
from pathlib import Path

import typer

_DEVICES = ("auto", "cpu", "cuda")
_RESUME = ("auto", "never")


def complete_model(incomplete: str) -> list[str]:
    """Run directories: below ``runs`` or, once a folder is typed, below that."""
    from lmtrain.jobs.compare_runs import find_runs

    typed, _, _ = incomplete.rpartition("/")
    try:
        found = [str(path) for path in find_runs(Path(typed or "runs"))]
    except OSError:
        return []
    return [path for path in _starting(found, incomplete) if path != typed]


def complete_snapshot(ctx: typer.Context, incomplete: str) -> list[str]:
    """``best``, ``last`` and the steps of the run directory named before."""
    named = ctx.params.get("model") or next(
        iter(ctx.args), None
    )  # still there where an option lacks its value
    from lmtrain.run.layout import RunFiles

    paths = RunFiles(Path(named)).snapshots.glob("step-*") if named else ()
    steps = sorted(int(number) for path in paths if (number := path.name.removeprefix("step-")).isdecimal())
    return _starting(["best", "last", *map(str, steps)], incomplete)


def complete_device(incomplete: str) -> list[str]:
    """The devices that need no number."""
    return _starting(_DEVICES, incomplete)


def complete_resume(incomplete: str) -> list[str]:
    """How to resume, unless a snapshot is being typed."""
    return _starting(_RESUME, incomplete)


def complete_known(incomplete: str) -> list[tuple[str, str]]:
    """Corpora to fetch, with what they are."""
    from lmtrain.corpus.fetching.known import KNOWN_CORPORA

    return [(name, corpus.about) for name, corpus in KNOWN_CORPORA.items() if name.startswith(incomplete)]


def complete_synthetic(incomplete: str) -> list[tuple[str, str]]:
    """Corpora to make, with what they are."""
    from lmtrain.corpus.synthetic.synthetic import SYNTHETIC

    return [(name, about) for name, about in SYNTHETIC.items() if name.startswith(incomplete)]


def _starting(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
