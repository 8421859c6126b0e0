"""Curves of runs: what is made of the rows of a log, and what the axes say."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.report.plots import curves_of, draw_runs
from lmtrain.report.style import drawing, log_ticks, look, picture_bytes, plain

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
        assert [a.get_xlabel() for a in axes] == ["words seen (millions)", "time (seconds)", "step", "step"]
        assert [a.get_ylabel() for a in axes] == [
            *("perplexity", "perplexity", "loss (nats per word)", "learning rate")
        ]
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
