"""Verbs and their subjects."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from lmtrain.report.markdown import code, per_model, percent, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.section import Found, Section
from lmtrain.report.style import GREY, End, aside, label_ends, look, new_panels, percent_tick

_UNMISLED = 0.02


def _words(found: Found) -> list[str]:
    """Whether verbs agree with their subjects."""
    left_out = [
        f"{diagnosis.name} is left out: the question is put in the words of toy-english, and its vocabulary "
        f"lacks {len(diagnosis.missing_words)} of them, such as {code(diagnosis.missing_words[0])}."
        for diagnosis in found
        if not diagnosis.agreement
    ]
    shown = [diagnosis for diagnosis in found if diagnosis.agreement]
    if not shown:
        return left_out
    rows = []
    for scores in zip(*(diagnosis.agreement for diagnosis in shown), strict=True):
        figures = ["{} ({} to {})".format(*map(percent, (s.accuracy, *s.interval))) for s in scores]
        first = scores[0]
        nearest = percent(first.nearest_right / first.num_verbs)
        rows.append([str(first.attractors), f"{first.num_verbs:,}", *figures, nearest])
    names = [diagnosis.name for diagnosis in shown]
    return [
        "In “the walruses near the teapot sing” the verb agrees with the walruses, and the teapot, an "
        "attractor, stands in the way. For verbs of new sentences of toy-english, whose grammar is known, "
        "the probability of the right form is compared with that of the other one (sing, sings). Guessing "
        "is right in half of them.",
        *per_model(names, [_agreement_finding(diagnosis) for diagnosis in shown]),
        *table(["attractors", "verbs", *names, "nearest noun"], rows),
        "In brackets, intervals of 95 %. “Nearest noun”: what agreeing with the last noun before the verb "
        "gets right.",
        *left_out,
    ]


def _agreement_finding(diagnosis: Diagnosis) -> str:
    first, last = diagnosis.agreement[0], diagnosis.agreement[-1]
    low, high = last.interval
    if low <= 0.5 <= high:
        meaning = "that is no better than guessing. Nouns in between make it lose the number of the subject."
    elif high < 0.5:
        meaning = "it follows the nouns that it has read last rather than the subject."
    elif first.accuracy - last.accuracy < _UNMISLED:
        meaning = "nouns in between do not mislead it. It keeps the number of the subject in its state."
    else:
        meaning = (
            "it keeps the number of the subject, but less surely the more nouns of the other number come."
        )
    return (
        f"Without attractors it takes the right form of {percent(first.accuracy)} of the verbs, with "
        f"{last.attractors} of {percent(last.accuracy)}: {meaning}"
    )


def _picture(found: Found) -> Figure:
    """Accuracy against the number of attractors, with intervals of 95 %."""
    figure, (axes,) = new_panels(1)
    shown = [diagnosis for diagnosis in found if diagnosis.agreement]
    ends = []
    for i, diagnosis in enumerate(found):
        if not diagnosis.agreement:
            continue
        style, scores = look(i), diagnosis.agreement
        accuracy = np.array([score.accuracy for score in scores])
        low, high = np.array([score.interval for score in scores]).T
        axes.errorbar(
            [score.attractors + aside(i, len(found), 0.04) for score in scores],
            accuracy,
            yerr=np.maximum([accuracy - low, high - accuracy], 0.0),
            color=style.colour,
            linestyle=style.dashes,
            marker=style.marker,
            capsize=2,
            elinewidth=0.9,
        )
        ends.append(End(scores[-1].attractors, accuracy[-1], diagnosis.name, style.colour))
    scores = shown[0].agreement
    nearest = [s.nearest_right / s.num_verbs for s in scores]
    axes.plot([s.attractors for s in scores], nearest, color=GREY, linestyle=":")
    axes.axhline(0.5, color=GREY, linewidth=0.8)
    last = scores[-1].attractors
    ends += [End(last, nearest[-1], "nearest noun", GREY), End(last, 0.5, "chance", GREY)]
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(FuncFormatter(percent_tick))
    axes.xaxis.set_major_locator(FixedLocator([s.attractors for s in scores]))
    axes.set_xlabel("nouns of the other number between subject and verb")
    axes.set_ylabel("verbs in the right form")
    label_ends(axes, ends)
    return figure


SECTION = Section("Do verbs agree", "agreement", _words, _picture)
