"""Perplexity by the words that may be seen."""

import numpy as np
from matplotlib.figure import Figure

from lmtrain.report.markdown import code, number, per_model, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.section import Found, Section
from lmtrain.report.style import End, aside, finite_range, label_ends, logarithmic, look, new_panels


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
        return (
            f"{text}Even {reach.costs[-2].length} words are not enough to come within 1 % of that. "
            f"{reconciled(diagnosis)}"
        )
    enough = "The last word is" if reach.reach == 1 else f"The last {reach.reach} words are"
    text += f"{enough} enough to come within 1 % of that: it makes little of what lies further back."
    return f"{text} {reconciled(diagnosis)}"


def reconciled(diagnosis: Diagnosis) -> str:
    """What the reach of gradients and that of context mean together, in a sentence.

    The one says from how far back a single error can still teach, the other how far back the words are from
    which the model has come to profit; neither is a bound of the other.
    """
    gradient, context = diagnosis.gradient_reach, diagnosis.context_reach
    lengths = [cost.length for cost in context.costs if cost.length]
    steps = f"{gradient.reach}" if gradient.reach else f"more than {gradient.max_steps}"
    words = f"{context.reach}" if context.reach else f"more than {lengths[-1]}"
    back = f"{steps} step{'' if steps == '1' else 's'} back"
    both = f"Its gradient reaches {back} and its context counts for {words} word{'' if words == '1' else 's'}"
    if not diagnosis.has_learnt:
        return f"{both}, but it has learnt next to nothing: train it first."
    counts_beyond = (context.reach or lengths[-1] + 1) > (gradient.bptt_len or gradient.max_steps)
    match gradient.verdict, counts_beyond:
        case "too short", True:
            rest = f"both go beyond {code('bptt_len')}, and a longer window is worth a try"
        case "too short", False:
            rest = (
                f"a window longer than {code('bptt_len')} would bring more gradient, but the words so far "
                "are all that the model profits from on this text: little is to be gained"
            )
        case "about right" | "wasted", True:
            rest = f"beyond {code('bptt_len')} its state carries on what shorter paths have taught it"
        case "about right", False:
            rest = f"both lie within {code('bptt_len')}, which is as long as it need be"
        case "wasted", False:
            rest = f"both lie within {code('bptt_len')}, which may be shorter"
        case "whole lines", _:
            rest = "in training no line was cut between the two"
        case _:
            rest = f"the text is too short to set either against {code('bptt_len')}"
    return f"{both}: {rest}."


def _picture(found: Found) -> Figure:
    """Perplexity against the words that may be seen, with two standard errors on either side."""
    figure, (axes,) = new_panels(1)
    lengths = [cost.length for cost in found[0].context_reach.costs]
    places = np.arange(len(lengths))
    ends, shown = [], []
    for i, diagnosis in enumerate(found):
        style, reach = look(i), diagnosis.context_reach
        values = np.array([cost.perplexity for cost in reach.costs])
        errors = np.array([2 * cost.standard_error for cost in reach.costs])
        spread = np.nan_to_num([values - values * np.exp(-errors), values * np.exp(errors) - values])
        shown += [values - spread[0], values + spread[1]]
        axes.errorbar(
            places + aside(i, len(found), 0.08),
            values,
            yerr=spread,
            color=style.colour,
            linestyle=style.dashes,
            marker=style.marker,
            capsize=2,
            elinewidth=0.9,
        )
        axes.axhline(reach.whole.perplexity, color=style.colour, linewidth=0.7, linestyle=":")
        ends.append(End(places[-1], values[-1], diagnosis.name, style.colour))
    logarithmic(axes, *finite_range(*shown))
    axes.set_xticks(places, [str(length or "all") for length in lengths])
    axes.set_xlabel("k, the last words that the model may see")
    axes.set_ylabel("perplexity")
    if len(found) > 1:
        label_ends(axes, ends)
    return figure


SECTION = Section("How much context counts", "context_reach", _words, _picture)
