"""The curves of runs in one picture."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lmtrain.report.style import GREY, finite_range, logarithmic, look, new_figure, plain

_MAX_NAMES_ABOVE = 4
_LOG_RATIO = 20.0
"""Between the highest and the lowest learning rate: from here on the axis is logarithmic."""


@dataclass(frozen=True)
class Point:
    """What a run logged at one step; NaN for what it did not."""

    step: int
    words: float
    """Training tokens read until then."""
    seconds: float
    """Of training and evaluation until then, interruptions left out."""
    train_loss: float
    """Nats per token, over the words since the point before."""
    valid_loss: float
    lr: float

    @property
    def train_perplexity(self) -> float:
        """exp(nats per token)."""
        return _exp(self.train_loss)

    @property
    def valid_perplexity(self) -> float:
        """exp(nats per token)."""
        return _exp(self.valid_loss)


@dataclass(frozen=True)
class RunCurves:
    """A run as it logged itself."""

    name: str
    points: tuple[Point, ...]
    test_perplexity: float
    """NaN if it was not tested."""
    has_estimate: bool = False
    """Whether the loss on the training text is one of a sampled softmax, which lies low."""

    @property
    def best_perplexity(self) -> float:
        """The lowest on the validation text; NaN where there is none."""
        return min(
            (p.valid_perplexity for p in self.points if p.valid_loss == p.valid_loss), default=math.nan
        )


def curves_of(name: str, rows: Iterable[Mapping[str, float | None]], num_tokens: int) -> RunCurves:
    """A run from the lines of its ``metrics.jsonl``.

    Args:
        name: What the picture calls it.
        rows: The lines in order; those without ``epoch`` are left out.
        num_tokens: Of the training text.

    Returns:
        The curves. Runs that did not log ``elapsed`` take the time that their words took at
        ``train/words_per_second``: training alone.
    """
    points: list[Point] = []
    test_perplexity = math.nan
    speed, training_seconds = math.nan, 0.0
    for row in rows:
        epoch = _number(row, "epoch")
        if math.isnan(epoch):
            continue
        words = epoch * num_tokens
        rate = _number(row, "train/words_per_second")
        speed = rate if rate > 0 else speed
        training_seconds += (words - (points[-1].words if points else 0.0)) / speed
        seconds = _number(row, "elapsed") if "elapsed" in row else training_seconds
        losses = _number(row, "train/loss"), _number(row, "valid/loss")
        points.append(Point(int(_number(row, "step")), words, seconds, *losses, _number(row, "train/lr")))
        if "test/loss" in row:
            test_perplexity = _exp(_number(row, "test/loss"))
    return RunCurves(name, tuple(points), test_perplexity)


def draw_runs(runs: Sequence[RunCurves]) -> Figure:
    """Perplexity against words and against time, loss and learning rate against steps.

    Thin lines are of the training text, those with marks of the validation text. To be called within
    ``style.drawing``.
    """
    figure = new_figure(9.0, 6.4)
    above, below = figure.subplots(2, 2)
    _draw_perplexity(above[0], runs, _words_axis(above[0], runs))
    _draw_perplexity(above[1], runs, _time_axis(above[1], runs))
    _draw_both(below[0], runs, lambda p: p.step, lambda p: p.train_loss, lambda p: p.valid_loss)
    below[0].set_ylabel("loss (nats per word)")
    _draw_lr(below[1], runs)
    for axes in below:
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(plain))
    _add_legend(figure, runs)
    return figure


Value = Callable[[Point], float]


def _draw_perplexity(axes: Axes, runs: Sequence[RunCurves], x: Value) -> None:
    _draw_both(axes, runs, x, lambda p: p.train_perplexity, lambda p: p.valid_perplexity)
    values = [value for run in runs for p in run.points for value in (p.train_perplexity, p.valid_perplexity)]
    logarithmic(axes, *finite_range(values))
    axes.set_ylabel("perplexity")


def _draw_both(axes: Axes, runs: Sequence[RunCurves], x: Value, train: Value, valid: Value) -> None:
    for i, run in enumerate(runs):
        style = look(i)
        xs, ys = _line(run.points, x, train)
        axes.plot(xs, ys, color=style.colour, linestyle=style.dashes, linewidth=0.8, alpha=0.75)
        xs, ys = _line(run.points, x, valid)
        axes.plot(xs, ys, color=style.colour, linestyle=style.dashes, marker=style.marker, zorder=3)


def _draw_lr(axes: Axes, runs: Sequence[RunCurves]) -> None:
    for i, run in enumerate(runs):
        style = look(i)
        axes.plot(
            *_line(run.points, lambda p: p.step, lambda p: p.lr), color=style.colour, linestyle=style.dashes
        )
    axes.set_ylabel("learning rate")
    # A schedule that ends in zero is a straight line on a linear axis, and a cliff on a logarithmic one.
    first_rates = [next((p.lr for p in run.points if p.lr > 0), math.nan) for run in runs]
    low, high = finite_range(first_rates)
    if high > _LOG_RATIO * low:
        logarithmic(axes, *finite_range([p.lr for run in runs for p in run.points]))
    else:
        axes.set_ylim(bottom=0.0)
        axes.yaxis.set_major_formatter(FuncFormatter(plain))


def _line(points: Sequence[Point], x: Value, y: Value) -> tuple[list[float], list[float]]:
    pairs = [(x(p), y(p)) for p in points if math.isfinite(x(p)) and math.isfinite(y(p))]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _words_axis(axes: Axes, runs: Sequence[RunCurves]) -> Value:
    most = max(run.points[-1].words for run in runs)
    unit, name = (1e6, "millions") if most >= 1e6 else (1e3, "thousands") if most >= 1e4 else (1.0, "")
    axes.set_xlabel(f"words seen ({name})" if name else "words seen")
    return lambda p: p.words / unit


def _time_axis(axes: Axes, runs: Sequence[RunCurves]) -> Value:
    longest = max((p.seconds for run in runs for p in run.points if math.isfinite(p.seconds)), default=0.0)
    unit, name = (
        (3600.0, "hours") if longest > 7200 else (60.0, "minutes") if longest > 180 else (1.0, "seconds")
    )
    axes.set_xlabel(f"time ({name})")
    return lambda p: p.seconds / unit


def _add_legend(figure: Figure, runs: Sequence[RunCurves]) -> None:
    handles = []
    for i, run in enumerate(runs):
        style = look(i)
        figures = [
            f"{split} {plain(float(f'{value:.4g}'))}"
            for split, value in (("valid", run.best_perplexity), ("test", run.test_perplexity))
            if math.isfinite(value)
        ]
        label = f"{run.name} ({', '.join(figures)})" if figures else run.name
        handles.append(
            Line2D([], [], color=style.colour, linestyle=style.dashes, marker=style.marker, label=label)
        )
    handles.append(Line2D([], [], color=GREY, linewidth=0.8, label=_thin(runs)))
    handles.append(Line2D([], [], color=GREY, marker="o", label="marks: validation text"))
    is_short = len(runs) <= _MAX_NAMES_ABOVE
    figure.legend(
        handles=handles,
        loc="outside upper center" if is_short else "outside right upper",
        ncols=2 if is_short else 1,
    )


def _thin(runs: Sequence[RunCurves]) -> str:
    names = ", ".join(run.name for run in runs if run.has_estimate)
    return "thin: training text" + (f" (~{names}: an estimate, lies low)" if names else "")


def _number(row: Mapping[str, float | None], key: str) -> float:
    value = row.get(key)
    return math.nan if value is None else float(value)


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.nan
