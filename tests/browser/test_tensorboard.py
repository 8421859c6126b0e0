"""TensorBoard as a person sees it, in Chromium. Screenshots are left in pytest's folder for this test."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, browsing
from served_tensorboard import Board, serving
from support import make_corpus, trained_in

RUN = "tiny/tensorboard"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in ``runs/tiny``."""
    assert shutil.which("chromedriver"), "install it: apt-get install chromium chromium-driver"
    folder = tmp_path_factory.mktemp("browser")
    trained_in(folder / "runs" / "tiny", make_corpus(folder), logging__every=1)
    return folder


@pytest.fixture(scope="module")
def board(folder: Path) -> Iterator[Board]:
    with serving(folder / "runs", folder / "tensorboard.txt") as board:
        board.wait_for(RUN, "test/perplexity")
        board.ask("plugin/projector/runs")  # so that it knows of the projector before it is asked for tabs
        yield board


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with browsing(folder / "profile") as browser:
        yield browser


def last_figure(folder: Path, tag: str) -> float:
    """The last of a tag in the log, which has a line an event."""
    lines = (folder / "runs" / "tiny" / "metrics.jsonl").read_text().splitlines()
    figures: list[float] = [event[tag] for event in map(json.loads, lines) if tag in event]
    return figures[-1]


@pytest.mark.parametrize(
    ("tab", "patterns"),
    [
        (
            "timeseries",
            [
                "Pinned .*? perplexity perplexity .*tiny/tensorboard/train .*tiny/tensorboard/valid",
                "train 6 cards",
                "valid 4 cards",
                "weights 9 cards",
            ],
        ),
        ("scalars", ["test/perplexity", "train 6", "valid 4", "weights 9"]),
        ("custom_scalars", ["Training and validation", "perplexity", r"Matches \(2\)"]),
        ("histograms", ["units/layers.0/forget", "units/layers.0/hidden"]),
        ("distributions", ["units/layers.0/forget"]),
        ("text", ["samples/text_summary", "step 14", r"w\d+ w\d+"]),
        ("hparams", ["model.cell", "lstm", "valid/best_perplexity", "test/perplexity"]),
        ("projector", ["Points: 11", "Dimension: 6", "metadata.tsv", "Label by", "Total variance described"]),
    ],
)
def test_a_tab(tab: str, patterns: list[str], board: Board, browser: Browser, folder: Path) -> None:
    if tab == "hparams":  # a figure that it reads from the scalars
        patterns = [*patterns, re.escape(str(last_figure(folder, "valid/best_perplexity"))[:4])]
    browser.open(f"{board.url}#{tab}")
    text = browser.wait_for(*patterns)
    browser.screenshot(folder / f"{tab}.png")
    assert "No dashboards are active" not in text
