"""Each benchmark runs, and gives the figures it promises: at sizes so small that they say nothing."""

import json
import random
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from program import Trained

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
COMMANDS = {
    "throughput": "--rounds 1 --product-size 64 --shape 'elman 200' --variant float32 "
    "--variant 'sampled + bfloat16'",
    "memory": "--vocab-size 2000 --steps 1 --reference",
    "scaling": "--millions 0.02 --types 100 --rounds 1 --starts 1 --folder .",
    "time_to_perplexity": "--config config.yaml --data . --target 1e6 --target 9e5",
    "inference": "--rounds 1 --tokens 800 --words 3",
    "score_lines": "run --lines 3000",
    "startup": "--rounds 1",
    "cuda": "--device cpu --recipe counting-lstm --vocab-size 50 --steps 2",
    "reproduce": "counting-rnn --adapt cache --set train.epochs=null --set train.max_steps=20",
    "tricks": "--data . --tokens 400 --epochs 1 --seeds 1",
    "encoding": "--words 20000 --types 1000",
    "encoding --memory": "--words 20000 --types 1000",
}


class Running:
    """A benchmark that was started in a folder of its own."""

    def __init__(self, command: str, folder: Path) -> None:
        self.folder = folder
        name, *options = command.split()
        arguments = [*options, *shlex.split(COMMANDS[command]), "--json", "figures.json"]
        self.process = subprocess.Popen(
            [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )

    def figures(self) -> dict[str, Any]:
        """Waits for them; the benchmark has to print tables, too."""
        out, err = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, err
        for table in out.strip().split("\n\n"):
            lines = table.splitlines()
            assert re.fullmatch(r"\|( --- \|)+", lines[1])
            assert {line.count("|") for line in lines} == {lines[1].count("|")}
        figures: dict[str, Any] = json.loads((self.folder / "figures.json").read_text())
        assert figures.pop("machine")["cpu_count"] > 0
        return figures


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, trained: Trained) -> Iterator[dict[str, Running]]:
    """All of them at once: their time goes into imports, and is not what counts here."""
    folders = {command: tmp_path_factory.mktemp(command.split()[0]) for command in COMMANDS}
    for name in ("time_to_perplexity", "tricks"):
        make_project(folders[name])
    shutil.copytree(trained.run_dir, folders["score_lines"] / "run")
    running = {command: Running(command, folder) for command, folder in folders.items()}
    yield running
    for benchmark in running.values():
        benchmark.process.kill()
        benchmark.process.communicate()


@LINUX_ONLY
def test_score_lines(started: dict[str, Running]) -> None:
    figures = started["score_lines"].figures()
    assert len(figures["peak_bytes"]) == 2
    assert min(figures["peak_bytes"]) > 0
    assert figures["lines_per_second"] > 0


def make_project(folder: Path) -> None:
    """Two texts and the config of a tiny run on them."""
    draw = random.Random(1)
    for split in ("train", "valid"):
        lines = (" ".join(draw.choices("abcdefgh", k=20)) for _ in range(50))
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    (folder / "config.yaml").write_text(
        "name: tiny\ndata: {train: x, valid: y, test: z}\nmodel: {hidden_size: 8, embedding_dim: 8}\n"
        "train: {epochs: 1}\n"
    )


def test_the_readme_names_every_benchmark() -> None:
    readme = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"python benchmarks/(\w+)\.py", readme))
    programs = {p.stem for p in BENCHMARKS.glob("*.py") if '__name__ == "__main__"' in p.read_text()}
    assert named == programs


def test_startup(started: dict[str, Running]) -> None:
    figures = started["startup"].figures()
    assert figures["ratio"] == pytest.approx(figures["ms"]["lmtrain --help"] / figures["ms"]["import typer"])


@pytest.mark.parametrize("command", ["encoding", pytest.param("encoding --memory", marks=LINUX_ONLY)])
def test_encoding(command: str, started: dict[str, Running]) -> None:
    figures = started[command].figures()
    assert figures["text_bytes"] > 40_000
    assert figures["peak_mb" if "--memory" in command else "ratio"] > 0


def test_inference(started: dict[str, Running]) -> None:
    figures = started["inference"].figures()
    assert {task: len(sides) for task, sides in figures.items()} == {
        "stream": 5,
        "line": 3,
        "score": 4,
        "generate": 3,
    }
    for sides in figures.values():
        assert sides["reference"]["ratio"] == 1
        for side in sides.values():
            expected = sides["reference"]["words_per_second"] * side["ratio"]
            assert side["words_per_second"] == pytest.approx(expected)


def test_time_to_perplexity(started: dict[str, Running]) -> None:
    rows = started["time_to_perplexity"].figures()["targets"]
    assert [row["target"] for row in rows] == [1e6, 9e5]
    for row in rows:
        assert row["ratio"] == pytest.approx(row["reference_seconds"] / row["lmtrain_seconds"])


def test_tricks(started: dict[str, Running]) -> None:
    figures = started["tricks"].figures()
    valid = {name: tuple(run["valid"] for run in runs) for name, runs in figures.items()}
    # Nearly each does something even here: a state is rarely dropped, and a gate rarely capped, in one step.
    assert len(set(valid.values())) >= 14
    assert all(1 < perplexity < 1e4 for runs in valid.values() for perplexity in runs)


def test_reproduce(started: dict[str, Running]) -> None:
    figures = started["reproduce"].figures()
    assert list(figures) == ["now", "now, adapted"]
    assert figures["now"]["what"] == "plain"
    assert figures["now, adapted"]["what"].startswith("cache(")
    assert 1 < figures["now, adapted"]["valid"] <= figures["now"]["valid"]


def test_known_figures_are_of_recipes_and_stand_in_the_docs() -> None:
    known = yaml.safe_load((BENCHMARKS / "figures.yaml").read_text(encoding="utf-8"))
    docs = (BENCHMARKS.parent / "docs" / "recipes.md").read_text(encoding="utf-8")
    for recipe, figures in known.items():
        header = (BENCHMARKS.parent / "configs" / f"{recipe}.yaml").read_text(encoding="utf-8")
        row = next(line for line in docs.splitlines() if line.startswith(f"| `{recipe}` |"))
        for of in figures.values():
            assert {"valid", "test"} & of.keys()
            for split in {"valid", "test"} & of.keys():
                assert f"{split} {of[split]}" in row
        for split in {"valid", "test"} & figures.get("published", {}).keys():
            assert f"{split} {figures['published'][split]}" in header.replace("\n# ", " ")


def test_throughput(started: dict[str, Running]) -> None:
    figures = started["throughput"].figures()
    assert list(figures) == ["one process", "own processes"]
    operations = 6 * 20 * 35 * (2 * 200 * 200 + 200 * 10_000)
    for shape in (shapes["elman 200"] for shapes in figures.values()):
        assert list(shape["variants"]) == ["float32", "sampled + bfloat16"]
        ours = shape["variants"]["float32"]
        seconds = ours["ms"] / 1e3
        assert ours["ratio"] == pytest.approx(shape["reference_ms"] / ours["ms"])
        assert ours["words_per_second"] == pytest.approx(20 * 35 / seconds)
        plain, better = (shape["product_gflops"][f"{name} float32"] for name in ("torch.mm", "lmtrain"))
        for share, gflops in (("torch_mm_float32", plain), ("ceiling", max(plain, better))):
            assert ours[f"share_of_{share}"] == pytest.approx(operations / (gflops * 1e9) / seconds)


@LINUX_ONLY
def test_memory(started: dict[str, Running]) -> None:
    figures = started["memory"].figures()
    for variant in ("float32", "bfloat16"):
        row = figures[variant]
        assert row["parameters_mb"] == pytest.approx(4 * (2000 * 401 + 4 * 400 * 801) / 1e6)
        assert row["peak_mb"] - row["excess_mb"] == pytest.approx(2 * row["parameters_mb"])
        assert row["excess_mb"] > 0
    second_bias = 4 * 1600 / 1e6  # which torch's layer has, though it is redundant
    assert figures["reference"]["parameters_mb"] == pytest.approx(
        figures["float32"]["parameters_mb"] + second_bias
    )


@LINUX_ONLY
def test_scaling(started: dict[str, Running]) -> None:
    figures = started["scaling"].figures()["0.02 million"]
    assert figures["relative"] == 1
    assert figures["words_per_second"] > 0
    for start in (figures["first"], figures["second"]):
        assert start["seconds"] > 0
        assert start["rchar_mb"] > 0
        assert start["peak_mb"] > start["anonymous_mb"] > 0
    assert [path.name for path in started["scaling"].folder.iterdir()] == ["figures.json"]


def test_cuda(started: dict[str, Running]) -> None:
    figures = started["cuda"].figures()["counting-lstm"]
    assert figures["continued"] == "yes"
    assert float(figures["loss"]) == 0.0


def test_cuda_says_so_where_there_is_none() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    command = [sys.executable, str(BENCHMARKS / "cuda.py")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "no CUDA device here: nothing was measured\n"
