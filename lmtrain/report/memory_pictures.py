"""The pictures of a report about memory: gradients, contexts, gates; all models in each.

To be called within ``style.drawing``. What can be laid over each other shares one panel; of the rest each
model has a panel of its own, one below the other.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.measure.gradient_reach import THRESHOLD, GradientReach
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

_LOWEST, _HIGHEST = 1e-4, 1e6
"""Of the gradients shown: nobody looks for what is further down."""


def gradient_picture(found: Sequence[Diagnosis]) -> Figure:
    """Norms against the steps back, on a logarithmic scale."""
    figure, panels = new_panels(len(found))
    for axes, diagnosis in zip(panels, found, strict=True):
        reach = diagnosis.gradient_reach
        _draw_gradient(axes, reach)
        entitle(axes, diagnosis.name, len(found))
        axes.legend(loc="upper right", ncols=2, frameon=True, framealpha=1, edgecolor="none")
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
        label = f"bptt_len {reach.bptt_len}"
        axes.axvline(reach.bptt_len, color=GREY, linewidth=0.9, linestyle="--", label=label)
    low, high = finite_range(reach.whole.tolist(), [THRESHOLD])
    logarithmic(axes, max(low, _LOWEST), min(high, _HIGHEST) * 3)  # room for the legend
    axes.yaxis.set_major_formatter(FuncFormatter(percent))
    axes.set_ylabel("gradient left")


def context_picture(found: Sequence[Diagnosis]) -> Figure:
    """Perplexity against the words that may be seen, with two standard errors on either side."""
    figure, (axes,) = new_panels(1)
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
    legend_of(axes, len(found))
    return figure


def saturation_picture(found: Sequence[Diagnosis]) -> Figure:
    """How often each gate is shut, between, and wide open."""
    rows = [len(diagnosis.saturation) for diagnosis in found]
    figure = new_figure(WIDTH, 0.9 + 0.3 * len(found) + 0.26 * sum(rows))
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
        entitle(axes, diagnosis.name, len(found))
    panels[-1].xaxis.set_major_formatter(FuncFormatter(percent))
    panels[-1].set_xlabel("share of all values")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure
