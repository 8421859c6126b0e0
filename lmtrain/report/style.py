"""How pictures look: for print and screen, in colour and in grey, for colour-blind eyes too.

Colours are those of Okabe and Ito (2008), "Color universal design"; no two lines are told apart by colour
alone.
"""

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

FORMATS = ("png", "svg", "pdf")
GREY = "#6b6b6b"
WIDTH = 7.0
"""Of a picture in a report, in inches."""
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
_SETTINGS: dict[str, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 2.8,  # room for a dash pattern
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.08,
    "savefig.dpi": 300,  # what is asked of pictures for print
    "text.parse_math": False,  # "$" is a word of many a text
    "svg.fonttype": "none",
    "svg.hashsalt": "lmtrain",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Look:
    """What tells one line from the others: three things at once."""

    colour: str
    dashes: Any
    marker: str


def look(number: int) -> Look:
    """The look of the line of a number, from 0; the first 28 differ in colour or dashes."""
    return Look(
        _COLOURS[number % len(_COLOURS)], _DASHES[number % len(_DASHES)], _MARKERS[number % len(_MARKERS)]
    )


@contextmanager
def drawing() -> Iterator[None]:
    """For the length of a block, in which pictures are made and saved, the settings they share."""
    with mpl.rc_context(cast("Any", _SETTINGS)), warnings.catch_warnings():
        # A word in a script that the font lacks is drawn as boxes: the tables have it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, whose parts make room for each other."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_panels(number: int, height: float = 3.6) -> tuple[Figure, list[Axes]]:
    """A figure of panels one below the other, whose x axis they share; the height is of each."""
    figure = new_figure(WIDTH, height * number)
    return figure, list(figure.subplots(number, 1, sharex=True, squeeze=False)[:, 0])


def aside(number: int, total: int, width: float) -> float:
    """How far beside its place the mark of a model stands, so that it hides none of another.

    Args:
        number: Of the model, from 0.
        total: How many models there are.
        width: Between two marks.
    """
    return width * (number - (total - 1) / 2)


def entitle(axes: Axes, name: str, num_models: int) -> None:
    """Says what model a panel is of, where there are several."""
    if num_models > 1:
        axes.set_title(name, loc="left")


def legend_of(axes: Axes, num_models: int) -> None:
    """Says what model each line is of, where there are several."""
    if num_models > 1:
        axes.legend()


@dataclass(frozen=True)
class End:
    """The right end of a line, and what the line is called."""

    x: float
    y: float
    name: str
    colour: str


_LABEL = 20
"""Characters of a label; of a longer name its end is shown, which tells paths apart."""
_LINE_HEIGHT = 0.055
"""Of a label, as a share of the height of a panel."""
_ROUNDING = 1e-6


def short(name: str) -> str:
    """A name as there is room for it."""
    return name if len(name) <= _LABEL else f"…{name[1 - _LABEL :]}"


def label_ends(axes: Axes, ends: Sequence[End]) -> None:
    """Writes names beside the ends of lines, apart from each other; the limits of the axes are to be set.

    An arrow says of a line that it ends below or above the panel.
    """
    to_share = axes.transScale + axes.transLimits
    heights = [float(to_share.transform((end.x, end.y))[1]) for end in ends]
    shares = [min(max(height, 0.0), 1.0) for height in heights]
    order = sorted(range(len(ends)), key=lambda i: (heights[i], i))  # of ends beyond the panel, too
    lowest = -math.inf
    for i in order:
        lowest = max(shares[i], lowest + _LINE_HEIGHT)
        shares[i] = lowest
    too_high = max(0.0, max(shares, default=0.0) - 1.0 - _LINE_HEIGHT)
    for end, share, height in zip(ends, shares, heights, strict=True):
        arrow = " ↓" if height < -_ROUNDING else " ↑" if height > 1.0 + _ROUNDING else ""
        axes.annotate(
            short(end.name) + arrow,
            xy=(1.01, share - too_high),
            xycoords="axes fraction",
            color=end.colour,
            va="center",
            annotation_clip=False,
        )


def picture_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as a file of one of ``FORMATS``: the same bytes for the same figure."""
    dates: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=dates)
    return buffer.getvalue()


def plain(value: float, _position: int = 0) -> str:
    """A number as people write it: ``1,500``, ``120``, ``0.05``."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.10g}"


def percent_tick(value: float, _position: int = 0) -> str:
    """A share as people write it: ``100 %``, ``2.5 %``, ``0.01 %``."""
    return f"{100 * value:.10g} %"


def logarithmic(axes: Axes, low: float, high: float, margin: float | None = None) -> None:
    """Makes the y axis logarithmic, with ticks written as plain numbers, around values that it is to show.

    Args:
        axes: Whose.
        low: The lowest value.
        high: The highest.
        margin: A factor of room at either end; None leaves room for marks.
    """
    margin = margin or max((high / low) ** 0.06, 1.02)
    low, high = low / margin, high * margin
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(log_ticks(low, high)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(plain))


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most nine: 1, 2, 5, 10 … as far as there is room."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{m}e{e}") for e in exponents for m in mantissas]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 9:
            break
    else:
        ticks = ticks[:: len(ticks) // 9 + 1]
    if len(ticks) < 3:
        ticks = [float(tick) for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    return ticks


def finite_range(*values: Sequence[float]) -> tuple[float, float]:
    """The lowest and highest of the positive finite values; 1 and 10 where there is none."""
    found = np.concatenate([np.asarray(v, dtype=np.float64) for v in values] or [np.empty(0)])
    found = found[np.isfinite(found) & (found > 0)]
    return (float(found.min()), float(found.max())) if found.size else (1.0, 10.0)
