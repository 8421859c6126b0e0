"""TensorBoard on a run that was interrupted: all tabs have what they should, each step once."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from served_tensorboard import Board, serving
from support import STEPS, Silent, make_corpus, run, settings

from lmtrain.run.trained import load_model

EVALUATED = [3, 6, 9, 12, 14]
NUM_TOKENS = 200
"""Of each text."""
RUN = "tiny/tensorboard"


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    corpus = make_corpus(folder)
    values = settings(corpus, snapshots__every=5, train__max_grad_norm=0.05)
    run_dir = folder / "runs" / "tiny"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("LMTRAIN_CACHE", str(folder / "cache"))
        for step in (2, 8, 9, 13):
            with pytest.raises(KilledError):
                run(values, run_dir, observer=Silent(_kill_at(step)))
        run(values, run_dir)
        other = settings(corpus, model__cell="gru", train__optimizer={"name": "adam"})
        run(other, folder / "runs" / "other")
    return run_dir


class KilledError(Exception):
    pass


def _kill_at(step: int) -> Callable[[int], None]:
    def kill(now: int) -> None:
        if now == step:
            raise KilledError

    return kill


@pytest.fixture(scope="module", params=["auto", "false"])
def board(request: pytest.FixtureRequest, run_dir: Path) -> Iterator[Board]:
    output = run_dir.parents[1] / f"tensorboard-{request.param}.txt"
    with serving(run_dir.parent, output, load_fast=request.param) as board:
        board.wait_for(RUN, "test/perplexity")
        board.wait_for("other/tensorboard", "test/perplexity")
        yield board


def rows(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def test_every_tab_that_should_be_there_is(board: Board) -> None:
    expected = {"scalars", "custom_scalars", "distributions", "histograms", "text", "hparams", "projector"}
    missing = expected
    for _ in range(100):  # whether there is anything to project is found out in the background
        listing = board.ask("plugins_listing")
        if not (missing := {name for name in expected if not listing[name]["enabled"]}):
            break
        time.sleep(0.1)
    assert missing == set()
    assert sorted(board.ask("plugin/projector/runs")) == ["other/tensorboard", RUN]


def test_scalars_are_those_of_the_log(board: Board, run_dir: Path) -> None:
    logged = rows(run_dir)
    tags = {tag for row in logged for tag in row} - {"step", "epoch", "elapsed", "test/loss", "test/accuracy"}
    assert set(board.ask("plugin/scalars/tags")[RUN]) == tags
    assert {"train/grad_norm_clipped", "valid/best_perplexity", "weights/layers.1.weight_hh"} <= tags
    for tag in tags:
        shown = board.ask("plugin/scalars/scalars", run=RUN, tag=tag)
        expected = [(row["step"], row[tag]) for row in logged if tag in row]
        assert [step for _, step, _ in shown] == [step for step, _ in expected], tag
        assert [value for *_, value in shown] == pytest.approx([value for _, value in expected]), tag


def test_the_page_opens_on_perplexity(board: Board, run_dir: Path) -> None:
    """Its groups of charts are in the order of the alphabet."""
    shown = board.ask("plugin/scalars/tags") | {
        f"{run} ": tags for run, tags in board.ask("plugin/histograms/tags").items()
    }
    assert min(tag for tags in shown.values() for tag in tags) == "perplexity"
    for name in ("train", "valid"):
        assert list(shown[f"{RUN}/{name}"]) == ["perplexity"]
        points = board.ask("plugin/scalars/scalars", run=f"{RUN}/{name}", tag="perplexity")
        expected = [
            (row["step"], row[f"{name}/perplexity"]) for row in rows(run_dir) if f"{name}/perplexity" in row
        ]
        assert [(step, pytest.approx(value)) for _, step, value in points] == expected


def test_histograms_once_a_validation(board: Board) -> None:
    tags = board.ask("plugin/histograms/tags")
    names = ("input", "forget", "candidate", "output", "cell", "hidden")
    assert set(tags[RUN]) == {f"units/layers.{i}/{name}" for i in range(2) for name in names}
    assert {"units/layers.0/reset", "units/layers.1/update"} <= set(tags["other/tensorboard"])
    for tag in tags[RUN]:
        shown = board.ask("plugin/histograms/histograms", run=RUN, tag=tag)
        assert [step for _, step, _ in shown] == EVALUATED
        for _, _, bins in shown:
            assert sum(count for *_, count in bins) == NUM_TOKENS * 7
            is_probability = tag.rpartition("/")[2] in ("input", "forget", "output")
            assert all(left >= (0 if is_probability else -50) and right <= 50 for left, right, _ in bins)


def test_samples_once_a_validation(board: Board) -> None:
    shown = board.ask("plugin/text/text", run=RUN, tag="samples/text_summary")
    assert [entry["step"] for entry in shown] == EVALUATED
    assert all("<pre><code>w" in entry["text"] for entry in shown)


def test_hyper_parameters_with_final_figures(board: Board, run_dir: Path) -> None:
    experiment = board.ask("plugin/hparams/experiment", {"experimentName": ""})
    infos = {info["name"]: info for info in experiment["hparamInfos"]}
    assert infos["model.cell"]["domainDiscrete"][:4] == ["elman", "concat_elman", "lstm", "gru"]
    assert infos["train.optimizer.name"]["domainDiscrete"][:3] == ["sgd", "adam", "adamw"]
    assert {"train.optimizer.momentum", "train.optimizer.betas", "train.optimizer.lr"} <= infos.keys()
    metrics = [{"metric": metric["name"]} for metric in experiment["metricInfos"]]
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    question = {"experimentName": "", "allowedStatuses": statuses, "colParams": metrics}
    question |= {"startIndex": 0, "sliceSize": 10}
    groups = board.ask("plugin/hparams/session_groups", question)["sessionGroups"]
    group = next(group for group in groups if group["name"] == RUN)
    assert group["hparams"]["model.hidden_size"] == 7
    assert group["hparams"]["train.optimizer.name"] == "sgd"
    assert not any("adaptive" in name for name in group["hparams"])
    (session,) = group["sessions"]
    assert session["status"] == "STATUS_SUCCESS"
    assert session["endTimeSecs"] >= session["startTimeSecs"] > 0
    shown = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
    last = rows(run_dir)[-1]
    assert last["step"] == STEPS
    assert set(shown) == {
        "valid/best_perplexity",
        "test/perplexity",
        "train/perplexity",
        "train/words_per_second",
    }
    assert shown["test/perplexity"] == pytest.approx(last["test/perplexity"])
    best = min(row["valid/perplexity"] for row in rows(run_dir) if "valid/perplexity" in row)
    assert shown["valid/best_perplexity"] == pytest.approx(best)


def test_training_and_validation_stand_in_one_chart(board: Board) -> None:
    layout = board.ask("plugin/custom_scalars/layout")
    charts = {
        chart["title"]: chart["multiline"]["tag"]
        for category in layout["category"]
        for chart in category["chart"]
    }
    assert charts["perplexity"] == ["perplexity"]
    for title, tags in charts.items():
        runs = [f"{RUN}/train", f"{RUN}/valid"] if title == "perplexity" else [RUN]
        for each, tag in product(runs, tags):
            found = board.ask("plugin/custom_scalars/scalars", run=each, tag=tag)
            assert found["regex_valid"]
            assert found["tag_to_events"], tag


def test_the_projector_shows_the_words_of_the_best_model(board: Board, run_dir: Path) -> None:
    (embedding,) = board.ask("plugin/projector/info", run=RUN)["embeddings"]
    best = load_model(run_dir)
    words = best.vocab.words
    assert embedding["tensorShape"] == [len(words), 6]
    name = embedding["tensorName"]
    tensor = np.frombuffer(board.ask("plugin/projector/tensor", run=RUN, name=name), np.float32)
    expected = best.model.embedding.weight.detach()
    torch.testing.assert_close(torch.tensor(tensor).view(-1, 6), expected, rtol=1e-4, atol=1e-5)
    header, *lines = board.ask("plugin/projector/metadata", run=RUN, name=name).decode().splitlines()
    assert header == "word\tcount\trank"
    assert [line.split("\t")[0] for line in lines] == list(words)
    counts = [int(line.split("\t")[1]) for line in lines]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == NUM_TOKENS
