"""The page on adding a cell, followed to the letter in a checkout of its own: one file, one line."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import ROOT

PAGE = ROOT / "docs" / "adding-a-cell.md"
TESTS = {
    "tests/model/test_recurrent.py": "test_gradient_is_the_slope[mgu-tanh]",
    "tests/model/test_cells.py": "test_the_schema_names_them_all",
    "tests/run/test_resume.py": "test_any_step_continues_bit_identically[mgu tanh]",
    "tests/cli/test_cells.py": "test_each_cell_is_trained_continued_and_used[mgu-tanh]",
    "tests/test_docs.py": "test_the_commands_of_a_page_run[adding-a-cell.md]",
}
"""With what each has to say of the new cell."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with what the page tells to add, and nothing else."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("lmtrain", "tests", "docs", "configs", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, folder)
    ((name, text),) = _files(r"`(lmtrain/\S+\.py)`:\n\n```python\n")
    (folder / name).write_text(text, encoding="utf-8")
    ((name, change),) = _files(r"In `(lmtrain/\S+\.py)`:\n\n```diff\n")
    lines = change.splitlines(keepends=True)
    before, after = ("".join(line[1:] for line in lines if line[0] in kept) for kept in (" -", " +"))
    source = (folder / name).read_text(encoding="utf-8")
    assert source.count(before) == 1
    assert len(after.splitlines()) == len(before.splitlines()) + 1
    (folder / name).write_text(source.replace(before, after), encoding="utf-8")
    return folder


def _files(opening: str) -> list[tuple[str, str]]:
    """What the page names a file for, and that file."""
    page = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^{opening}(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def run(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(checkout), "LMTRAIN_CACHE": str(checkout / "cache")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env=environment, capture_output=True, text=True
    )


def test_the_tests_of_all_cells_pass(checkout: Path) -> None:
    names = " or ".join(("mgu", "adding-a-cell and commands", "the_schema_names"))
    result = run(checkout, "-m", "pytest", *TESTS, "-k", names, "-rA", "-p", "no:cacheprovider")
    assert result.returncode == 0, result.stdout[-4000:]
    for path, name in TESTS.items():
        assert f"PASSED {path}::{name}" in result.stdout, name


def test_export_says_that_it_does_not_know_it(checkout: Path, tmp_path: Path) -> None:
    config = "name: x\ndata: {train: train.txt}\nmodel: {cell: mgu, hidden_size: 5, embedding_dim: 5}\n"
    (tmp_path / "x.yaml").write_text(config + "train: {max_steps: 1, batch_size: 2}\n")
    (tmp_path / "train.txt").write_text("a b c\n" * 20)
    program = f"""
from program import lmtrain
from pathlib import Path
folder = Path({str(tmp_path)!r})
assert lmtrain("train", "--config", "x.yaml", folder=folder).code == 0
for kind in ("onnx", "safetensors"):
    outcome = lmtrain("export", "runs/x", "--format", kind, "--out", kind, folder=folder)
    assert outcome.code == 2, outcome
    print(outcome.err, end="")
"""
    result = run(checkout, "-c", f"import sys; sys.path.append('tests')\n{program}")
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(
        "lmtrain: MGULayer has no counterpart in ONNX and cannot be exported\n"
        "lmtrain: MGULayer has no layout in torch and cannot be exported\n",
        result.stdout,
    )


def test_its_code_is_as_ours(checkout: Path) -> None:
    for command in (["check"], ["format", "--check"]):
        result = run(checkout, "-m", "ruff", *command, "lmtrain/model/cells", "lmtrain/config/options.py")
        assert result.returncode == 0, result.stdout
