"""Gates at their ends."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from lmtrain.report.markdown import per_model, percent, table
from lmtrain.report.measure.saturation import GateSaturation
from lmtrain.report.section import Found, Section
from lmtrain.report.style import WIDTH, entitle, new_figure, percent_tick


def _words(found: Found) -> list[str]:
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
        "-0.9; a rectified unit is low at 0. Gates at their ends act as switches, and let no gradient "
        "through to what sets them; gates in between blend. “Always” is more than 90 % of the time.",
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
                f"{units} keep it open nearly always, as long memory needs."
            )
        case "update", _:
            return (
                f"{where} the update gate keeps the old state {percent(gate.high)} of the time; "
                f"{gate.units_high} {units} do so nearly always, as long memory needs."
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


def _picture(found: Found) -> Figure:
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
    panels[-1].xaxis.set_major_formatter(FuncFormatter(percent_tick))
    panels[-1].set_xlabel("share of all values")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


SECTION = Section("What the gates do", "saturation", _words, _picture)
