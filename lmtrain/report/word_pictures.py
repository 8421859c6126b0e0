"""The pictures of a report about words; all models in each.

To be called within ``style.drawing``. What can be laid over each other shares one panel; of the rest each
model has a panel of its own, one below the other.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.style import (
    GREY,
    WIDTH,
    entitle,
    finite_range,
    legend_of,
    logarithmic,
    look,
    new_figure,
    new_panels,
    percent,
)

_MOST_WORDS = 15


def frequency_picture(found: Sequence[Diagnosis]) -> Figure:
    """Perplexity of words by how frequent they are, above their share of the text and of the cost."""
    names = list(dict.fromkeys(band.name for diagnosis in found for band in diagnosis.bands))
    figure = new_figure(WIDTH, 4.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    width = 0.8 / len(found)
    for i, diagnosis in enumerate(found):
        style = look(i)
        places = np.array([names.index(band.name) for band in diagnosis.bands])
        above.plot(
            places,
            [band.perplexity for band in diagnosis.bands],
            color=style.colour,
            linestyle="none",
            marker=style.marker,
            markersize=7,
            label=diagnosis.name,
        )
        total = sum(band.nats for band in diagnosis.bands)
        left = places + (i - (len(found) - 1) / 2) * width
        below.bar(
            left, [b.nats / total for b in diagnosis.bands], width, color=style.colour, edgecolor="white"
        )
        shares = [band.num_tokens / diagnosis.num_tokens for band in diagnosis.bands]
        below.plot(
            left, shares, color="black", linestyle="none", marker="_", markersize=14, markeredgewidth=2
        )
    logarithmic(above, *finite_range([b.perplexity for d in found for b in d.bands if b.perplexity > 0]))
    above.set_ylabel("perplexity")
    below.set_ylabel("share")
    below.yaxis.set_major_formatter(FuncFormatter(percent))
    below.set_xticks(range(len(names)), [name.replace(" to ", " to\n") for name in names])
    below.set_xlabel("rank of the word in the training text")
    below.set_ylim(top=1.35 * below.get_ylim()[1])  # room for the legend
    below.legend(
        handles=[
            Patch(color=look(0).colour, label="bar: of the cost"),
            Line2D(
                [],
                [],
                color="black",
                linestyle="none",
                marker="_",
                markersize=14,
                label="line: of the tokens",
            ),
        ],
        loc="upper left",
        ncols=2,
    )
    legend_of(above, len(found))
    return figure


def calibration_picture(found: Sequence[Diagnosis]) -> Figure:
    """A reliability diagram: how often the best guess is right, against how sure the model is of it."""
    figure = new_figure(4.8, 4.6)
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
    axes.legend(loc="upper left")
    return figure


def costly_picture(found: Sequence[Diagnosis]) -> Figure:
    """The words that cost most, by their share of the cost of the text."""
    figure, panels = new_panels(len(found))
    for axes, diagnosis in zip(panels, found, strict=True):
        costly = diagnosis.costly_words
        words = costly.in_all[:_MOST_WORDS]
        shares = [word.nats / costly.total_nats if costly.total_nats else 0.0 for word in words]
        bars = axes.barh(range(len(words)), shares, color=look(0).colour)
        axes.bar_label(
            bars, [f" {w.count:,} × {w.mean_nats:.1f} nats" for w in words], fontsize=7.5, color=GREY
        )
        axes.set_yticks(range(len(words)), [word.word for word in words], fontsize=8)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.2)
        axes.xaxis.set_major_formatter(FuncFormatter(percent))
        entitle(axes, diagnosis.name, len(found))
    panels[-1].set_xlabel("share of the cost of the text")
    return figure


def agreement_picture(found: Sequence[Diagnosis]) -> Figure:
    """Accuracy against the number of attractors, with intervals of 95 %."""
    figure, (axes,) = new_panels(1)
    shown = [diagnosis for diagnosis in found if diagnosis.agreement]
    for i, diagnosis in enumerate(found):
        if not diagnosis.agreement:
            continue
        style, scores = look(i), diagnosis.agreement
        accuracy = np.array([score.accuracy for score in scores])
        low, high = np.array([score.interval for score in scores]).T
        axes.errorbar(
            [score.attractors + 0.04 * (i - (len(found) - 1) / 2) for score in scores],
            accuracy,
            yerr=np.maximum([accuracy - low, high - accuracy], 0.0),
            color=style.colour,
            linestyle=style.dashes,
            marker=style.marker,
            capsize=2,
            elinewidth=0.9,
            label=diagnosis.name,
        )
    scores = shown[0].agreement
    axes.plot(
        [s.attractors for s in scores],
        [s.nearest_right / s.num_verbs for s in scores],
        color=GREY,
        linestyle=":",
        label="agreeing with the nearest noun",
    )
    axes.axhline(0.5, color=GREY, linewidth=0.8)
    axes.text(1.01, 0.5, "chance", color=GREY, va="center", transform=axes.get_yaxis_transform())
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(FuncFormatter(percent))
    axes.xaxis.set_major_locator(FixedLocator([s.attractors for s in scores]))
    axes.set_xlabel("nouns of the other number between subject and verb")
    axes.set_ylabel("verbs in the right form")
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def neighbours_picture(found: Sequence[Diagnosis]) -> Figure:
    """The nearest words as a table, the darker the nearer."""
    rows = [len(diagnosis.nearest_words) for diagnosis in found]
    figure = new_figure(WIDTH + 1.0, 0.6 * len(found) + 0.27 * sum(rows))
    panels = figure.subplots(len(found), 1, squeeze=False, height_ratios=rows)[:, 0]
    for axes, diagnosis in zip(panels, found, strict=True):
        columns = max(1, *(len(n.words) for n in diagnosis.nearest_words))
        cosines = np.full((len(diagnosis.nearest_words), columns), np.nan)
        for y, neighbours in enumerate(diagnosis.nearest_words):
            for x, (word, cosine) in enumerate(zip(neighbours.words, neighbours.cosines, strict=True)):
                cosines[y, x] = cosine
                axes.text(x, y, _shortened(word), ha="center", va="center", fontsize=8)
        # From white to a grey that black letters can be read on.
        image = axes.imshow(cosines, cmap="Greys", vmin=0.0, vmax=2.0, aspect="auto")
        axes.set_yticks(range(len(cosines)), [_shortened(n.word) for n in diagnosis.nearest_words])
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(
            image, ax=axes, boundaries=np.linspace(0, 1, 101), ticks=[0, 0.5, 1], shrink=0.8
        )
        bar.set_label("cosine")
        entitle(axes, diagnosis.name, len(found))
    return figure


def _shortened(word: str, most: int = 14) -> str:
    return word if len(word) <= most else f"{word[: most - 1]}…"
