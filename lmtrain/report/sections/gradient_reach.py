"""Norms of gradients by the steps back."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lmtrain.report.markdown import code, number, per_model, percent, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.measure.gradient_reach import THRESHOLD, GradientReach
from lmtrain.report.section import Found, Section
from lmtrain.report.style import (
    GREY,
    End,
    entitle,
    finite_range,
    label_ends,
    logarithmic,
    look,
    new_panels,
    percent_tick,
)

_EXPLODING = 10.0
_GROWING = 1.5
_SHOWN_STEPS = (2, 5, 10, 20, 50, 100, 200)
_LOWEST, _HIGHEST = 1e-4, 1e6
"""Of the gradients shown: nobody looks for what is further down."""


def _words(found: Found) -> list[str]:
    """How far gradients reach."""
    shown = [k for k in _SHOWN_STEPS if k <= max(d.gradient_reach.max_steps for d in found)]
    rows = []
    for diagnosis in found:
        reach = diagnosis.gradient_reach
        left = [percent(float(reach.whole[k - 1])) if k <= reach.max_steps else "–" for k in shown]
        last = f"k = {reach.reach}" if reach.reach else f"beyond {reach.max_steps}"
        rows.append([diagnosis.name, *left, last])
    return [
        "Training sends the error of each word back through the steps before it. The black line is what is "
        "left of that signal k steps back, over all that the model carries from word to word, where one "
        f"step back is 100 %: the median of {found[0].gradient_reach.num_positions:,} words, 80 % of which "
        "lie in the grey band. Where less than 1 % is left, a word has next to no part in what the model "
        "learns from the error.",
        *per_model([d.name for d in found], [_gradient_finding(d) for d in found]),
        "This is the model as it is: trained with a longer window, it might have learnt to reach further.",
        *table(["model", *(f"k = {k}" for k in shown), "below 1 % from"], rows),
    ]


def _gradient_finding(diagnosis: Diagnosis) -> str:
    reach = diagnosis.gradient_reach
    top = int(reach.whole.argmax()) + 1
    grows = ""
    if reach.peak >= _EXPLODING:
        grows = f"The gradient explodes: at k = {top} it is {reach.peak:.3g} times what it was. Clip it. "
    elif reach.peak >= _GROWING:
        grows = f"On its way back the signal first grows, to {reach.peak:.3g} times at k = {top}. "
    if reach.reach is None:
        fades = f"It does not fall below 1 % within the {reach.max_steps} steps that were looked at. "
    else:
        fades = f"From k = {reach.reach} on less than 1 % of it is left: further back the gradient vanishes. "
    if not diagnosis.has_learnt:
        return (
            f"{grows}{fades}But the model has learnt next to nothing: its perplexity is "
            f"{number(diagnosis.perplexity)}, where {diagnosis.vocab_size:,} equally likely words have "
            f"{diagnosis.vocab_size:,}. This says nothing of {code('bptt_len')}."
        )
    return grows + fades + _bptt_finding(reach)


def _bptt_finding(reach: GradientReach) -> str:
    length = reach.bptt_len
    match reach.verdict:
        case "too short":
            left = percent(float(reach.whole[(length or 1) - 1]))
            return f"{code('bptt_len')} {length} is too short: training cuts it off where {left} is left."
        case "wasted":
            return (
                f"Much of {code('bptt_len')} {length} is wasted, since nothing comes back from so far: "
                f"{2 * (reach.reach or 1)} would teach as much, with less memory and more updates an epoch."
            )
        case "about right":
            return (
                f"{code('bptt_len')} {length} is about right: as far as the gradient reaches, and not much "
                "further."
            )
        case "whole lines":
            return "It was trained on whole lines, where nothing is cut off."
        case _:
            return f"The text is too short to judge {code('bptt_len')} {length}."


def _picture(found: Found) -> Figure:
    """Norms against the steps back, on a logarithmic scale."""
    figure, panels = new_panels(len(found))
    num_steps = max(_last_step(diagnosis.gradient_reach) for diagnosis in found)
    for axes, diagnosis in zip(panels, found, strict=True):
        axes.set_xlim(0, 1.05 * num_steps)
        _draw_gradient(axes, diagnosis.gradient_reach, num_steps)
        entitle(axes, diagnosis.name, len(found))
    panels[-1].set_xlabel("k, steps back")
    return figure


def _last_step(reach: GradientReach) -> int:
    """Where there is something left to see."""
    visible = np.flatnonzero(np.fmax(reach.high, reach.whole) >= _LOWEST)
    return max(int(visible[-1]) + 1 if len(visible) else 1, min(reach.bptt_len or 0, reach.max_steps))


def _draw_gradient(axes: Axes, reach: GradientReach, num_steps: int) -> None:
    steps = np.arange(1, reach.max_steps + 1)
    last = min(num_steps, reach.max_steps)
    axes.fill_between(steps, reach.low, reach.high, color="#bbbbbb", alpha=0.6, linewidth=0)
    axes.plot(steps, reach.whole, color="black", linewidth=2.2)
    ends = [
        End(last, float(reach.high[last - 1]), "80 % of the losses", GREY),
        End(last, float(reach.whole[last - 1]), "whole state", "black"),
    ]
    if len(reach.parts) > 1:
        for i, (name, norms) in enumerate(reach.parts.items()):
            style = look(i)
            axes.plot(steps, norms, color=style.colour, linestyle=style.dashes, linewidth=1.1)
            ends.append(End(last, float(norms[last - 1]), name, style.colour))
    axes.axhline(THRESHOLD, color="black", linewidth=1.1, linestyle=":")
    low, high = finite_range(reach.whole.tolist(), [THRESHOLD])
    logarithmic(axes, max(low, _LOWEST), min(high, _HIGHEST))
    axes.yaxis.set_major_formatter(FuncFormatter(percent_tick))
    axes.set_ylabel("gradient left")
    label_ends(axes, [end for end in ends if math.isfinite(end.y)])
    if reach.bptt_len is not None and reach.bptt_len <= reach.max_steps:
        axes.axvline(reach.bptt_len, color=GREY, linewidth=0.9, linestyle="--")
        place = ("data", "axes fraction")
        axes.annotate(
            f" bptt_len {reach.bptt_len}", (reach.bptt_len, 0.98), xycoords=place, color=GREY, va="top"
        )


SECTION = Section("How far gradients reach", "gradient_reach", _words, _picture)
