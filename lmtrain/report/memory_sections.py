"""The words of a report about memory: how far gradients and contexts reach, and what the gates do.

A section says first what was measured, then what was found and what that means, model by model.
"""

from collections.abc import Sequence

from lmtrain.report.markdown import code, number, per_model, percent, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.measure.gradient_reach import GradientReach
from lmtrain.report.measure.saturation import GateSaturation

_EXPLODING = 10.0
_GROWING = 1.5
_SHOWN_STEPS = (2, 5, 10, 20, 50, 100, 200)

Found = Sequence[Diagnosis]


def gradient_section(found: Found) -> list[str]:
    """How far gradients reach."""
    shown = [k for k in _SHOWN_STEPS if k <= max(d.gradient_reach.max_steps for d in found)]
    rows = []
    for diagnosis in found:
        reach = diagnosis.gradient_reach
        left = [percent(float(reach.whole[k - 1])) if k <= reach.max_steps else "–" for k in shown]
        last = f"k = {reach.reach}" if reach.reach else f"beyond {reach.max_steps}"
        rows.append([diagnosis.name, *left, last])
    return [
        "Training sends the error of each word back through the steps before it. The black line is what "
        "is left "
        "of that signal k steps back, over all that the model carries from word to word, where one step "
        "back is "
        "100 %. Where less than 1 % is left, a word has next to no part in what the model learns from "
        "the error.",
        *per_model([d.name for d in found], [_gradient_finding(d.gradient_reach) for d in found]),
        "This is the model as it is: trained with a longer window, it might have learnt to reach further.",
        *table(["model", *(f"k = {k}" for k in shown), "below 1 % from"], rows),
    ]


def _gradient_finding(reach: GradientReach) -> str:
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


def context_section(found: Found) -> list[str]:
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
        "initial "
        "state and after nothing but the last k words (a line end counts as a word). Once more context "
        "no longer "
        "lowers the perplexity, the model makes nothing of it.",
        *per_model(names, [_context_finding(diagnosis) for diagnosis in found]),
        *table(["k", *names, *(f"{name}: nats above all" for name in names)], rows),
        "± is a standard error, of the differences between the same words.",
    ]


def _context_finding(diagnosis: Diagnosis) -> str:
    reach = diagnosis.context_reach
    text = (
        f"Knowing only the last word it has a perplexity of {number(reach.costs[0].perplexity)}, knowing "
        "all of "
        f"them {number(reach.whole.perplexity)}. "
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


def saturation_section(found: Found) -> list[str]:
    """What the gates do."""
    rows = []
    for diagnosis in found:
        for gate in diagnosis.saturation:
            units = [f"{number_of} of {gate.num_units}" for number_of in (gate.units_low, gate.units_high)]
            rows.append([diagnosis.name, gate.name, percent(gate.low), percent(gate.high), *units])
    header = ["model", "gate", "low", "high", "units always low", "units always high"]
    start = 0 if len(found) > 1 else 1
    return [
        "A gate is low (shut) below 0.1 and high (open) above 0.9; values between -1 and 1 are low below "
        "-0.9; a "
        "rectified unit is low at 0. Gates at their ends act as switches, and let no gradient through to "
        "what "
        "sets them; gates in between blend. “Always” is more than 90 % of the time.",
        *per_model(
            [d.name for d in found],
            [" ".join(filter(None, map(_gate_finding, d.saturation))) for d in found],
        ),
        *table(header[start:], [row[start:] for row in rows], num_left=2 - start),
    ]


def _gate_finding(gate: GateSaturation) -> str:
    where, units = f"In layer {gate.layer}", f"of {gate.num_units} units"
    match gate.gate.split()[0], gate.kind:
        case "forget", _:
            return (
                f"{where} the forget gate is open {percent(gate.high)} of the time; {gate.units_high} "
                f"{units} keep "
                "it open nearly always, as long memory needs."
            )
        case "update", _:
            return (
                f"{where} the update gate keeps the old state {percent(gate.high)} of the time; "
                f"{gate.units_high} "
                f"{units} do so nearly always, as long memory needs."
            )
        case "unit", "tanh":
            share = percent(gate.low + gate.high)
            return f"{where} units are at either end {share} of the time, where they pass little gradient on."
        case "unit", _:
            return (
                f"{where} units are off {percent(gate.low)} of the time; {gate.units_low} {units} nearly "
                "always."
            )
    return ""
