"""The pictures of a diagnosis: one of each section, all models in it.

To be called within ``style.drawing``. What can be laid over each other shares one panel; of the rest each
model has a panel of its own, one below the other.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from lmtrain.report.diagnose import Diagnosis
from lmtrain.report.gradient_reach import THRESHOLD, GradientReach
from lmtrain.report.style import GREY, finite_range, logarithmic, look, new_figure, percent

_WIDTH = 7.0
_HEIGHT = 3.6
_MOST_WORDS = 15
_LOWEST, _HIGHEST = 1e-4, 1e6
"""Of the gradients shown: nobody looks for what is further down."""


def gradient_picture(found: Sequence[Diagnosis]) -> Figure:
    """Norms against the steps back, on a logarithmic scale."""
    figure, panels = _panels(len(found), _HEIGHT)
    for axes, diagnosis in zip(panels, found, strict=True):
        reach = diagnosis.gradient_reach
        _draw_gradient(axes, reach)
        _entitle(axes, diagnosis, found)
        axes.legend(loc="upper right", ncols=2)
    panels[-1].set_xlabel("k, steps back")
    panels[-1].set_xlim(0, 1.05 * max(_last_step(diagnosis.gradient_reach) for diagnosis in found))
    return figure


def _last_step(reach: GradientReach) -> int:
    """Where there is something left to see."""
    visible = np.flatnonzero(np.fmax(reach.high, reach.whole) >= _LOWEST)
    return max(int(visible[-1]) + 1 if len(visible) else 1, min(reach.bptt_len or 0, reach.max_steps))


def _draw_gradient(axes: Axes, reach: GradientReach) -> None:
    steps = np.arange(1, reach.max_steps + 1)
    axes.fill_between(
        steps, reach.low, reach.high, color="#bbbbbb", alpha=0.6, linewidth=0, label="80 % of the losses"
    )
    axes.plot(steps, reach.whole, color="black", linewidth=2.2, label="whole state")
    if len(reach.parts) > 1:
        for i, (name, norms) in enumerate(reach.parts.items()):
            style = look(i)
            axes.plot(steps, norms, color=style.colour, linestyle=style.dashes, linewidth=1.1, label=name)
    axes.axhline(THRESHOLD, color="black", linewidth=1.1, linestyle=":")
    if reach.bptt_len is not None and reach.bptt_len <= reach.max_steps:
        axes.axvline(reach.bptt_len, color=GREY, linewidth=0.9, linestyle="--")
        axes.text(
            reach.bptt_len,
            0.02,
            f" bptt_len {reach.bptt_len}",
            color=GREY,
            transform=axes.get_xaxis_transform(),
        )
    low, high = finite_range(reach.whole.tolist(), [THRESHOLD])
    logarithmic(axes, max(low, _LOWEST), min(high, _HIGHEST) * 3)  # room for the legend
    axes.yaxis.set_major_formatter(FuncFormatter(percent))
    axes.set_ylabel("gradient left")


def context_picture(found: Sequence[Diagnosis]) -> Figure:
    """Perplexity against the words that may be seen, with two standard errors on either side."""
    figure, (axes,) = _panels(1, _HEIGHT)
    lengths = [cost.length for cost in found[0].context_reach.costs]
    places = np.arange(len(lengths))
    for i, diagnosis in enumerate(found):
        style, reach = look(i), diagnosis.context_reach
        values = np.array([cost.perplexity for cost in reach.costs])
        errors = np.array([2 * cost.standard_error for cost in reach.costs])
        spread = np.array([values - values * np.exp(-errors), values * np.exp(errors) - values])
        axes.errorbar(
            places,
            values,
            yerr=np.nan_to_num(spread),
            color=style.colour,
            linestyle=style.dashes,
            marker=style.marker,
            capsize=2,
            elinewidth=0.9,
            label=diagnosis.name,
        )
        axes.axhline(reach.whole.perplexity, color=style.colour, linewidth=0.7, linestyle=":")
    logarithmic(axes, *finite_range([c.perplexity for d in found for c in d.context_reach.costs]))
    axes.set_xticks(places, [str(length or "all") for length in lengths])
    axes.set_xlabel("k, the last words that the model may see")
    axes.set_ylabel("perplexity")
    _legend_if_several(axes, found)
    return figure


def frequency_picture(found: Sequence[Diagnosis]) -> Figure:
    """Perplexity of words by how frequent they are, above their share of the text and of the cost."""
    names = list(dict.fromkeys(band.name for diagnosis in found for band in diagnosis.bands))
    figure = new_figure(_WIDTH, 4.8)
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
    _legend_if_several(above, found)
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
    figure, panels = _panels(len(found), _HEIGHT)
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
        _entitle(axes, diagnosis, found)
    panels[-1].set_xlabel("share of the cost of the text")
    return figure


def agreement_picture(found: Sequence[Diagnosis]) -> Figure:
    """Accuracy against the number of attractors, with intervals of 95 %."""
    figure, (axes,) = _panels(1, _HEIGHT)
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
    figure = new_figure(_WIDTH + 1.0, 0.6 * len(found) + 0.27 * sum(rows))
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
        _entitle(axes, diagnosis, found)
    return figure


def saturation_picture(found: Sequence[Diagnosis]) -> Figure:
    """How often each gate is shut, between, and wide open."""
    rows = [len(diagnosis.saturation) for diagnosis in found]
    figure = new_figure(_WIDTH, 0.9 + 0.3 * len(found) + 0.26 * sum(rows))
    panels = figure.subplots(len(found), 1, sharex=True, squeeze=False, height_ratios=rows)[:, 0]
    for axes, diagnosis in zip(panels, found, strict=True):
        gates = diagnosis.saturation
        places = range(len(gates))
        low, high = np.array([g.low for g in gates]), np.array([g.high for g in gates])
        axes.barh(places, low, color="#0072B2", label="low")
        axes.barh(places, 1 - low - high, left=low, color="#e8e8e8", label="between")
        axes.barh(places, high, left=1 - high, color="#E69F00", hatch="////", edgecolor="white", label="high")
        axes.set_yticks(places, [gate.name for gate in gates])
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlim(0, 1)
        _entitle(axes, diagnosis, found)
    panels[-1].xaxis.set_major_formatter(FuncFormatter(percent))
    panels[-1].set_xlabel("share of all values")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure


def _panels(number: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = new_figure(_WIDTH, height * number)
    return figure, list(figure.subplots(number, 1, sharex=True, squeeze=False)[:, 0])


def _entitle(axes: Axes, diagnosis: Diagnosis, found: Sequence[Diagnosis]) -> None:
    if len(found) > 1:
        axes.set_title(diagnosis.name, loc="left")


def _legend_if_several(axes: Axes, found: Sequence[Diagnosis]) -> None:
    if len(found) > 1:
        axes.legend()


def _shortened(word: str, most: int = 14) -> str:
    return word if len(word) <= most else f"{word[: most - 1]}…"
