"""The curves of runs in one picture."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lmtrain.report.style import (
    GREY,
    End,
    finite_range,
    label_ends,
    logarithmic,
    look,
    new_figure,
    plain,
    short,
)

_MAX_NAMES_BESIDE = 4
_TITLE = 50
"""Characters of a line of it."""
_LOG_RATIO = 20.0
"""Between the highest and the lowest learning rate: from here on the axis is logarithmic."""


_DIVERGED = 1.5
"""Times the highest loss of the run that has the lowest of them: what lies beyond is cut off, and told."""
_HUGE = 1e6
"""From here on a perplexity is not written out."""
_NEAR = 1.4
"""A validation perplexity up to so many times the lowest is close to it."""
PANELS = ("perplexity", "time", "validation", "lr", "loss")
"""Names of panels; the first four are drawn unless others are asked for."""


@dataclass(frozen=True)
class Limits:
    """Of axes; None leaves them."""

    x: tuple[float, float] | None = None
    y: tuple[float, float] | None = None

    def apply(self, axes: Axes) -> None:
        """Sets them, and ticks that suit a logarithmic axis."""
        if self.x:
            axes.set_xlim(*self.x)
        if self.y and axes.get_yscale() == "log":
            logarithmic(axes, *self.y, margin=1.0)
        elif self.y:
            axes.set_ylim(*self.y)


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
    valid_text: str = ""
    """What it was validated on."""

    @property
    def highest_loss(self) -> float:
        """In nats per token; infinite where it logged none that is finite."""
        losses = [v for p in self.points for v in (p.train_loss, p.valid_loss) if math.isfinite(v)]
        return max(losses, default=math.inf)

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


Value = Callable[[Point], float]
Curves = tuple[Value, ...]
"""What a panel draws: x, and y of the validation text and then of the training text, where it has them."""


def draw_runs(
    runs: Sequence[RunCurves], panels: Sequence[str] = PANELS[:4], limits: Limits | None = None
) -> Figure:
    """The curves of runs, panel by panel.

    Thin lines are of the training text, those with marks of the validation text. To be called within
    ``style.drawing``.

    Args:
        runs: What is drawn.
        panels: Some of ``PANELS``.
        limits: Of the axes of all of them.
    """
    columns, height = (1, 4.0) if len(panels) == 1 else (2, 3.2)
    rows = -(-len(panels) // columns)
    figure = new_figure(6.5 if columns == 1 else 9.0, height * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes, name in zip(grid, panels, strict=False):
        draw, title = _PANELS[name]
        axes.set_title(title, loc="left")
        y = draw(axes, runs)
        (limits or Limits()).apply(axes)
        if 1 < len(runs) <= _MAX_NAMES_BESIDE:
            label_ends(axes, [end for i, run in enumerate(runs) if (end := _end(axes, run, i, *y))])
    _add_legend(figure, runs)
    return figure


def _draw_perplexity(axes: Axes, runs: Sequence[RunCurves]) -> Curves:
    return _perplexity(axes, runs, _words_axis(axes, runs))


def _draw_time(axes: Axes, runs: Sequence[RunCurves]) -> Curves:
    return _perplexity(axes, runs, _time_axis(axes, runs))


def _perplexity(axes: Axes, runs: Sequence[RunCurves], x: Value) -> Curves:
    _draw_both(axes, runs, x, lambda p: p.train_perplexity, lambda p: p.valid_perplexity)
    ceiling = _exp(_ceiling(runs))
    values = [value for run in runs for p in run.points for value in (p.train_perplexity, p.valid_perplexity)]
    low, high = finite_range([value for value in values if not value > ceiling])
    logarithmic(axes, low, high)
    _tell_cut(axes, [run.name for run in runs if run.highest_loss > _ceiling(runs)])
    axes.set_ylabel("perplexity")
    return x, lambda p: p.valid_perplexity, lambda p: p.train_perplexity


def _draw_validation(axes: Axes, runs: Sequence[RunCurves]) -> Curves:
    """The last part of the validations, as near as runs that are close ask for."""
    x = _words_axis(axes, runs)
    for i, run in enumerate(runs):
        style = look(i)
        xs, ys = _line(run.points, x, lambda p: p.valid_perplexity)
        axes.plot(xs, ys, color=style.colour, linestyle=style.dashes, marker=style.marker)
    low, _ = finite_range([run.best_perplexity for run in runs])
    near = [run for run in runs if run.best_perplexity <= _NEAR * low]
    high = max((y for run in near for y in _last_half(run)), default=low)
    high = min(max(high, 1.01 * low), _NEAR * _NEAR * low)
    margin = 0.06 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    shown = [x(p) for run in near for p in run.points if p.valid_perplexity <= high + margin]
    if shown and max(shown) > min(shown):
        room = 0.04 * (max(shown) - min(shown))
        axes.set_xlim(min(shown) - room, max(shown) + room)
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    _tell_cut(axes, [run.name for run in runs if run.best_perplexity > high + margin])
    axes.set_ylabel("validation perplexity")
    return x, lambda p: p.valid_perplexity


def _last_half(run: RunCurves) -> list[float]:
    values = [p.valid_perplexity for p in run.points if math.isfinite(p.valid_perplexity)]
    return values[len(values) // 2 :]


def _draw_loss(axes: Axes, runs: Sequence[RunCurves]) -> Curves:
    _draw_both(axes, runs, _step, lambda p: p.train_loss, lambda p: p.valid_loss)
    _step_axis(axes)
    ceiling = _ceiling(runs)
    losses = [v for r in runs for p in r.points for v in (p.train_loss, p.valid_loss) if v <= ceiling]
    if losses and any(run.highest_loss > ceiling for run in runs):
        room = 0.05 * (max(losses) - min(losses))
        axes.set_ylim(min(losses) - room, max(losses) + room)
    _tell_cut(axes, [run.name for run in runs if run.highest_loss > ceiling])
    axes.set_ylabel("loss (nats per word)")
    return _step, lambda p: p.valid_loss, lambda p: p.train_loss


def _ceiling(runs: Sequence[RunCurves]) -> float:
    """The loss beyond which nothing is shown: a run that diverged is not to press the others flat."""
    return _DIVERGED * min(run.highest_loss for run in runs)


def _tell_cut(axes: Axes, names: Sequence[str]) -> None:
    """Says so above the panel, where no line is."""
    if names:
        what = fill(f"beyond this: {', '.join(map(short, names))}", _TITLE)
        axes.set_title(f"{axes.get_title(loc='left')}\n{what}", loc="left")


def _step(point: Point) -> float:
    return point.step


def _step_axis(axes: Axes) -> None:
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(plain))


def _draw_both(axes: Axes, runs: Sequence[RunCurves], x: Value, train: Value, valid: Value) -> None:
    for i, run in enumerate(runs):
        style = look(i)
        xs, ys = _line(run.points, x, train)
        axes.plot(xs, ys, color=style.colour, linestyle=style.dashes, linewidth=0.8, alpha=0.75)
        xs, ys = _line(run.points, x, valid)
        axes.plot(xs, ys, color=style.colour, linestyle=style.dashes, marker=style.marker, zorder=3)


def _draw_lr(axes: Axes, runs: Sequence[RunCurves]) -> Curves:
    for i, run in enumerate(runs):
        style = look(i)
        axes.plot(*_line(run.points, _step, lambda p: p.lr), color=style.colour, linestyle=style.dashes)
    _step_axis(axes)
    axes.set_ylabel("learning rate")
    # A schedule that ends in zero is a straight line on a linear axis, and a cliff on a logarithmic one.
    first_rates = [next((p.lr for p in run.points if p.lr > 0), math.nan) for run in runs]
    low, high = finite_range(first_rates)
    if high > _LOG_RATIO * low:
        logarithmic(axes, *finite_range([p.lr for run in runs for p in run.points]))
    else:
        axes.set_ylim(bottom=0.0)
        axes.yaxis.set_major_formatter(FuncFormatter(plain))
    return _step, lambda p: p.lr


def _end(axes: Axes, run: RunCurves, number: int, x: Value, *ys: Value) -> End | None:
    """Where the line of a run ends within the panel; that of the validation text before the other."""
    (left, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    for y in ys:
        points = [(a, b) for a, b in zip(*_line(run.points, x, y), strict=True) if left <= a <= right]
        if points and points[-1][1] <= top:
            return End(*points[-1], run.name, look(number).colour)
    return None


_PANELS: dict[str, tuple[Callable[[Axes, Sequence[RunCurves]], Curves], str]] = {
    "perplexity": (_draw_perplexity, "perplexity by words read"),
    "time": (_draw_time, "perplexity by time"),
    "validation": (_draw_validation, "the last validations, closer"),
    "lr": (_draw_lr, "learning rate"),
    "loss": (_draw_loss, "loss by steps"),
}


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
    """Adds it above the panels, which keep their size."""
    handles = []
    for i, run in enumerate(runs):
        style = look(i)
        figures = [
            f"{split} {plain(float(f'{value:.4g}')) if value < _HUGE else f'{value:.0e}'}"
            for split, value in (("valid", run.best_perplexity), ("test", run.test_perplexity))
            if math.isfinite(value)
        ]
        label = f"{run.name} ({', '.join(figures)})" if figures else run.name
        handles.append(
            Line2D([], [], color=style.colour, linestyle=style.dashes, marker=style.marker, label=label)
        )
    handles.append(Line2D([], [], color=GREY, linewidth=0.8, label=_thin(runs)))
    handles.append(Line2D([], [], color=GREY, marker="o", label=_marks(runs)))
    for num_columns in (3, 2, 1):
        legend = figure.legend(handles=handles, loc="outside upper center", ncols=num_columns)
        extent = legend.get_window_extent()
        if extent.width <= figure.bbox.width or num_columns == 1:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + extent.height / figure.dpi)


def _marks(runs: Sequence[RunCurves]) -> str:
    texts = {run.valid_text for run in runs if run.valid_text}
    return "marks: validation text" + (f" {texts.pop()}" if len(texts) == 1 else "")


def _thin(runs: Sequence[RunCurves]) -> str:
    names = ", ".join(run.name for run in runs if run.has_estimate)
    return "thin: training text" + (f" (~{names}: an estimate, lies low)" if names else "")


def _number(row: Mapping[str, float | None], key: str) -> float:
    value = row.get(key)
    return math.nan if value is None else float(value)


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.nan
