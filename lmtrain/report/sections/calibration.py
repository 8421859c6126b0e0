"""Confidence against accuracy."""

import numpy as np
from matplotlib.figure import Figure

from lmtrain.report.markdown import per_model, percent, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.section import Found, Section
from lmtrain.report.style import GREY, look, new_figure

_WELL_CALIBRATED = 0.01


def _words(found: Found) -> list[str]:
    """Whether the model knows what it knows."""
    figures = [diagnosis.calibration for diagnosis in found]
    names = [diagnosis.name for diagnosis in found]
    rows = [
        [name, percent(c.confidence), percent(c.accuracy), percent(c.expected_error)]
        for name, c in zip(names, figures, strict=True)
    ]
    return [
        "Of the words that the model gives a probability of 30 % as its best guess, three in ten should "
        "come. The picture compares the two, for equally many predictions a mark, from the unsure to the "
        "sure: below the diagonal a model is too sure of itself. The expected calibration error is the "
        "mean distance from it.",
        *per_model(names, [_calibration_finding(diagnosis) for diagnosis in found]),
        *table(["model", "mean confidence", "accuracy", "expected calibration error"], rows),
    ]


def _calibration_finding(diagnosis: Diagnosis) -> str:
    found = diagnosis.calibration
    error = percent(found.expected_error)
    text = (
        f"Its best guess has a probability of {percent(found.confidence)} on average and is right in "
        f"{percent(found.accuracy)} of the cases. "
    )
    if found.expected_error < _WELL_CALIBRATED:
        return f"{text}With an error of {error} its probabilities can be taken at their word."
    excess = found.confidence - found.accuracy
    if abs(excess) < found.expected_error / 2:
        return f"{text}It is too sure in some places and not sure enough in others, with an error of {error}."
    lean = "too sure of itself" if excess > 0 else "less sure than it could be"
    return f"{text}It is {lean}, with an error of {error}."


def _picture(found: Found) -> Figure:
    """A reliability diagram: how often the best guess is right, against how sure the model is of it."""
    figure = new_figure(4.8, 4.6 + 0.2 * len(found))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=":", label="perfectly calibrated")
    for i, diagnosis in enumerate(found):
        style, bins = look(i), diagnosis.calibration.bins
        accuracy = np.array([b.accuracy for b in bins])
        errors = 2 * np.sqrt(accuracy * (1 - accuracy) / np.array([b.num_tokens for b in bins]))
        axes.errorbar(
            [b.confidence for b in bins],
            accuracy,
            yerr=errors,
            color=style.colour,
            linestyle=style.dashes,
            marker=style.marker,
            elinewidth=0.9,
            label=f"{diagnosis.name}, ECE {diagnosis.calibration.expected_error:.1%}",
        )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    axes.set_xlabel("confidence: probability of the best guess")
    axes.set_ylabel("accuracy: how often it is right")
    figure.legend(loc="outside lower center")
    return figure


SECTION = Section("Is it as sure as it may be", "calibration", _words, _picture)
