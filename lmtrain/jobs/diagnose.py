"""Trained models and a text become a report."""

from collections.abc import Sequence
from pathlib import Path

from lmtrain.errors import UsageError
from lmtrain.files.atomic import new_folder, write_synced
from lmtrain.jobs.labels import labels_of
from lmtrain.report.measure.diagnose import Examiner, Subject
from lmtrain.report.measure.held_out import Watch, unwatched
from lmtrain.report.report import Report
from lmtrain.run.trained import TrainedModel, load_model


def diagnose(
    models: Sequence[Path],
    data: Path,
    out: Path | None = None,
    *,
    snapshot: str | None = None,
    device: str = "auto",
    num_positions: int = 5000,
    words: str = "",
    seed: int = 1,
    watch: Watch = unwatched,
) -> tuple[Report, Path]:
    """Examines models on a text and writes the report.

    Args:
        models: Run directories or snapshots; the first is the one in question, the others stand beside it.
        data: Held-out UTF-8 text; ``-`` is standard input, for one model.
        out: The folder of the report, by default ``reports/NAME``. Nothing in it is overwritten.
        snapshot: Of the first model; see ``load_model``.
        device: Where to compute.
        num_positions: Tokens whose context is cut short.
        words: Words whose nearest ones are wanted; by default some are chosen.
        seed: Of all samples.
        watch: Shows how far it has come.

    Returns:
        The report and its folder.

    Raises:
        LmtrainError: See ``lmtrain.errors``.
    """
    names = labels_of(models)
    out = out or Path("reports") / names[0]
    _refuse_what_is_there(out)
    if data == Path("-") and len(models) > 1:
        raise UsageError("standard input can be read but once: name a file to compare models on")
    loaded = [load_model(path, snapshot if i == 0 else None, device) for i, path in enumerate(models)]
    subjects = [_subject(name, trained, data) for name, trained in zip(names, loaded, strict=True)]
    examiner = Examiner(num_positions, seed, _known_words(words, loaded), watch)
    found = tuple(examiner.examine(subject) for subject in subjects)
    digest = subjects[0].corpus.sha256
    report = Report(str(data), digest, found[0].context_reach.num_positions, seed, found)
    _write(out, report)
    return report, out


def _subject(name: str, trained: TrainedModel, data: Path) -> Subject:
    config = trained.config
    return Subject(
        name,
        trained.about,
        str(trained.snapshot.path),
        trained.model,
        trained.vocab,
        trained.read(data),
        config.data.context,
        config.train.bptt_len if config.data.context == "stream" else None,
    )


def _known_words(text: str, loaded: Sequence[TrainedModel]) -> list[str] | None:
    words = loaded[0].rules.split(text)
    for trained in loaded:
        unknown = [word for word in words if word not in trained.vocab]
        if unknown:
            where = trained.snapshot.path
            raise UsageError(f"--words: not in the vocabulary of {where}: {', '.join(unknown)}")
    return words or None


def _refuse_what_is_there(out: Path) -> None:
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists():
        raise UsageError(
            f"{out}: is there already, and nothing is overwritten; choose another folder with --out"
        )


def _write(out: Path, report: Report) -> None:
    files = dict(report.files())
    with new_folder(out, last=next(reversed(files))) as folder:
        for name, content in files.items():
            write_synced(folder / name, content)
