"""Perplexity by the words that may be seen."""

import numpy as np
from matplotlib.figure import Figure

from lmtrain.report.markdown import number, per_model, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.section import Found, Section
from lmtrain.report.style import finite_range, legend_of, logarithmic, look, new_panels


def _words(found: Found) -> list[str]:
    """How much context counts."""
    rows = []
    for costs in zip(*(diagnosis.context_reach.costs for diagnosis in found), strict=True):
        extras = [
            f"{round(c.extra, 4) + 0.0:.4f} ± {c.standard_error:.4f}" if c.length else "0" for c in costs
        ]
        rows.append([str(costs[0].length or "all"), *(number(c.perplexity) for c in costs), *extras])
    names = [diagnosis.name for diagnosis in found]
    positions = found[0].context_reach.num_positions
    return [
        f"The model predicts the same {positions:,} words of the text again and again, each time from its "
        "initial state and after nothing but the last k words (a line end counts as a word). Once more "
        "context no longer lowers the perplexity, the model makes nothing of it.",
        *per_model(names, [_context_finding(diagnosis) for diagnosis in found]),
        *table(["k", *names, *(f"{name}: nats above all" for name in names)], rows),
        "± is a standard error, of the differences between the same words.",
    ]


def _context_finding(diagnosis: Diagnosis) -> str:
    reach = diagnosis.context_reach
    text = (
        f"Knowing only the last word it has a perplexity of {number(reach.costs[0].perplexity)}, knowing "
        f"all of them {number(reach.whole.perplexity)}. "
    )
    if reach.reach is None:
        return text + f"Even {reach.costs[-2].length} words are not enough to come within 1 % of that."
    enough = "The last word is" if reach.reach == 1 else f"The last {reach.reach} words are"
    text += f"{enough} enough to come within 1 % of that: it makes little of what lies further back."
    bptt_len = diagnosis.gradient_reach.bptt_len
    if bptt_len is not None and reach.reach > bptt_len:
        text += (
            f" That is more than the {bptt_len} that gradients were followed in training: its state carries "
            "on."
        )
    return text


def _picture(found: Found) -> Figure:
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


SECTION = Section("How much context counts", "context_reach", _words, _picture)
