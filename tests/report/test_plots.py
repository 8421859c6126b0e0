"""Curves of runs: what is made of the rows of a log, and what the axes say."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import assert_parts_have_room

from lmtrain.report.plots import PANELS, Limits, RunCurves, curves_of, draw_runs
from lmtrain.report.style import End, drawing, label_ends, log_ticks, look, new_figure, picture_bytes, plain

ROWS = [
    {
        "step": 5,
        "epoch": 0.5,
        "elapsed": 2.0,
        "train/loss": 3.0,
        "train/lr": 1.0,
        "train/words_per_second": 50.0,
    },
    {"step": 10, "epoch": 1.0, "elapsed": 4.5, "valid/loss": 2.5, "train/loss": None, "test/loss": 2.0},
]


def test_words_and_time_of_rows() -> None:
    run = curves_of("a", ROWS, num_tokens=200)
    assert [(p.step, p.words, p.seconds) for p in run.points] == [(5, 100.0, 2.0), (10, 200.0, 4.5)]
    assert run.points[0].train_perplexity == math.exp(3.0)
    assert math.isnan(run.points[1].train_perplexity)
    assert run.best_perplexity == math.exp(2.5)
    assert run.test_perplexity == math.exp(2.0)


def test_time_of_a_log_without_it_is_that_of_its_words() -> None:
    rows = [{key: value for key, value in row.items() if key != "elapsed"} for row in ROWS]
    assert [p.seconds for p in curves_of("a", rows, num_tokens=200).points] == [2.0, 4.0]


def test_what_is_drawn() -> None:
    with drawing():
        figure = draw_runs([curves_of("first", ROWS, 4_000_000), curves_of("second", ROWS, 2_000_000)])
        figure.draw_without_rendering()
        axes = figure.axes
        assert [a.get_xlabel() for a in axes] == [
            *("words seen (millions)", "time (seconds)", "words seen (millions)", "step")
        ]
        assert [a.get_ylabel() for a in axes] == [
            *("perplexity", "perplexity", "validation perplexity", "learning rate")
        ]
        assert all(title.get_title(loc="left") for title in axes)
        assert [text.get_text() for text in axes[0].texts] == ["first", "second"]
        lines = axes[0].get_lines()
        assert [line.get_xydata().tolist() for line in lines] == [  # type: ignore[union-attr]
            [[2.0, pytest.approx(math.exp(3.0))]],
            [[4.0, pytest.approx(math.exp(2.5))]],
            [[1.0, pytest.approx(math.exp(3.0))]],
            [[2.0, pytest.approx(math.exp(2.5))]],
        ]
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert labels[:2] == ["first (valid 12.18, test 7.389)", "second (valid 12.18, test 7.389)"]
        ticks = [tick.get_text() for tick in axes[0].get_yticklabels()]
        assert ticks
        assert not any("10^" in tick or "$" in tick for tick in ticks)


def run_of(name: str, *losses: float) -> RunCurves:
    """A run that validates ten times, 1,000 words apart."""
    rows = [
        {
            "step": i,
            "epoch": i,
            "elapsed": i,
            "train/loss": loss + 0.5,
            "valid/loss": loss,
            "train/lr": 1,
        }
        for i, loss in enumerate(losses, 1)
    ]
    return curves_of(name, rows, 1000)


def limits_of(panel: str, *runs: RunCurves, limits: Limits | None = None) -> tuple[float, float]:
    with drawing():
        low, high = draw_runs(runs, [panel], limits).axes[0].get_ylim()
    return low, high


def test_two_runs_that_are_close_fill_the_panel_of_validations() -> None:
    one, other = ([math.log(v + d) for v in (900, 300, 150, 121, 120, 120)] for d in (0, 1))
    low, high = limits_of("validation", run_of("one", *one), run_of("other", *other))
    assert 119.5 < low < 120 < 122 <= high < 124


def test_a_run_that_diverged_does_not_press_the_others_flat() -> None:
    well, lost = run_of("well", 6.0, 5.0, 4.8), run_of("lost", 9.0, 90.0, 200.0)
    for panel in ("perplexity", "time", "validation", "loss"):
        with drawing():
            (axes,) = draw_runs([well, lost], [panel]).axes
        assert axes.get_title(loc="left").endswith("\nbeyond this: lost"), panel
        assert [text.get_text() for text in axes.texts] == ["well"], panel
        assert axes.get_ylim()[1] < (12 if panel == "loss" else math.exp(12))
    assert limits_of("perplexity", lost)[1] > 1e80  # alone, it is shown


def test_long_names_leave_room_for_the_panels() -> None:
    runs = [run_of(f"{'a/very/long/path' * 9}/{name}", 6.0, 5.0, 4.8) for name in ("one", "two")]
    with drawing():
        figure = draw_runs([*runs, run_of("lost" * 30, 60.0, 90.0)])
        figure.draw_without_rendering()  # warnings are errors
    assert [text.get_text()[-4:] for text in figure.axes[0].texts] == ["/one", "/two"]
    assert figure.axes[0].get_title(loc="left").endswith("\nbeyond this: …" + ("lost" * 5)[1:])


@pytest.mark.parametrize("panels", [PANELS[:4], ["loss"]])
@pytest.mark.parametrize("num_runs", [1, 3, 12])
def test_legend_and_panels_have_room(num_runs: int, panels: Sequence[str]) -> None:
    runs = [run_of(f"a-name-of-some-length-{i}", 6.0, 5.0, 4.8) for i in range(num_runs)]
    with drawing():
        figure = draw_runs([*runs, run_of("lost", 9.0, 90.0, 200.0)], panels)
        assert_parts_have_room(figure)
        assert min(axes.get_position().height * figure.get_figheight() for axes in figure.axes) > 2.0


def test_limits_are_taken_as_they_are() -> None:
    run = run_of("one", 6.0, 5.0, 4.8)
    for panel in PANELS:
        assert limits_of(panel, run, limits=Limits(y=(110.0, 130.0))) == (110.0, 130.0)


@settings(deadline=None)  # the first figure takes its time
@given(st.lists(st.floats(-50.0, 150.0).map(lambda y: round(y, 2)), min_size=1, max_size=12))
def test_names_beside_lines_keep_apart(heights: list[float]) -> None:
    axes = new_figure(4.0, 3.0).subplots()
    axes.set_ylim(0.0, 100.0)
    label_ends(axes, [End(1.0, y, str(i), "black") for i, y in enumerate(heights)])
    places = sorted((text.xy[1], heights[int(text.get_text().split()[0])]) for text in axes.texts)  # type: ignore[attr-defined]
    assert all(b[0] - a[0] > 0.05 for a, b in pairwise(places))
    assert all(a[1] <= b[1] for a, b in pairwise(places))  # of lines that end beyond the panel, too
    assert places[-1][0] <= 1.06
    for text in axes.texts:
        number, *arrow = text.get_text().split()
        assert arrow == (["↓"] if heights[int(number)] < 0 else ["↑"] if heights[int(number)] > 100 else [])


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_formats_are_the_same_each_time(kind: str, start: bytes) -> None:
    with drawing():
        first, second = (picture_bytes(draw_runs([curves_of("a", ROWS, 200)]), kind) for _ in range(2))
    assert first.startswith(start)
    assert first == second


def test_lines_differ_in_more_than_colour() -> None:
    looks = [look(i) for i in range(28)]
    assert len({(one.colour, str(one.dashes)) for one in looks}) == 28
    for one, other in pairwise(looks):
        assert one.colour != other.colour
        assert one.dashes != other.dashes
        assert one.marker != other.marker


@given(st.floats(1e-9, 1e9), st.floats(1.001, 1e6))
def test_ticks(low: float, ratio: float) -> None:
    ticks = log_ticks(low, low * ratio)
    assert len(ticks) <= 9
    assert ticks == sorted(ticks)
    assert all(low <= tick <= low * ratio for tick in ticks)
    if ratio > 1.5:
        assert len(ticks) >= 2


def test_numbers_are_plain() -> None:
    numbers = (20000.0, 1500.0, 120.0, 2.5, 0.05)
    assert [plain(value) for value in numbers] == ["20,000", "1,500", "120", "2.5", "0.05"]
