"""``lmtrain export``, and the programs of its page of the documentation."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from program import Trained, files_in, lmtrain

from lmtrain.export.onnx_check import Difference
from lmtrain.run.trained import load_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "export.md"
ONNX_PROGRAM, TORCH_PROGRAM = re.findall(
    r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
TEXT = "The old cat  saw\tthe unicorn\n\nthe \u00a0 dog\r\nand slept"


def test_export_to_onnx(trained: Trained, tmp_path: Path) -> None:
    outcome = lmtrain(
        "export", "runs/tiny", "--format", "onnx", "--out", tmp_path / "out", folder=trained.folder
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert files_in(tmp_path / "out").keys() == {"config.json", "model.onnx", "vocab.txt"}
    pairs = dict(re.split(r"  +", line, maxsplit=1) for line in outcome.out.splitlines())
    assert pairs["snapshot"] == "runs/tiny/snapshots/step-00000017"
    assert pairs[str(tmp_path / "out" / "model.onnx")].endswith(" kB")
    assert float(pairs["greatest difference"].split()[0]) <= 1e-4
    assert "(allowed 1e-04) on windows of 1 × 1, 4 × 5, 20 × 2 words" in pairs["greatest difference"]


def test_export_to_safetensors(trained: Trained, tmp_path: Path) -> None:
    outcome = lmtrain(
        *("export", "runs/tiny", "--format", "safetensors", "--out", tmp_path / "out"),
        *("--snapshot", "last"),
        folder=trained.folder,
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert files_in(tmp_path / "out").keys() == {"config.json", "model.safetensors", "vocab.txt"}
    assert "step-00000025" in outcome.out
    assert "greatest difference" not in outcome.out


def test_layouts_of_recognisers(trained: Trained, tmp_path: Path) -> None:
    options = ("--format", "onnx", "--layout", "icefall", "--out", tmp_path / "out")
    outcome = lmtrain("export", trained.run_dir, *options)
    assert (outcome.code, outcome.err) == (0, "")
    files = {"config.json", "no-state.onnx", "vocab.txt", "with-state.onnx"}
    assert files_in(tmp_path / "out").keys() == files
    assert "greatest difference" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("runs/tiny", "--format", "safetensors", "--layout", "sherpa", "--out", "x"), 2, "is one of ONNX"),
        (("runs/tiny", "--format", "onnx"), 2, "Missing option '--out'"),
        (("runs/tiny", "--out", "x"), 2, "Missing option '--format'"),
        (("runs/tiny", "--format", "gguf", "--out", "x"), 2, "'gguf' is not one of 'onnx', 'safetensors'"),
        (("runs/tiny", "--format", "onnx", "--out", "runs"), 2, "runs: holds files already"),
        (("runs/tiny", "--format", "onnx", "--out", "train.txt"), 2, "train.txt: is there already"),
        (("runs/none", "--format", "onnx", "--out", "x"), 4, "runs/none: neither a run directory"),
        (("runs/tiny", "--format", "onnx", "--out", "x", "--snapshot", "5"), 4, "no snapshot of step 5"),
        (("runs/tiny", "--format", "onnx", "--out", "train.txt/x"), 6, "train.txt/x: cannot be written"),
    ],
)
def test_what_cannot_be_exported(
    arguments: tuple[str, ...], code: int, message: str, trained: Trained
) -> None:
    before = files_in(trained.folder)
    outcome = lmtrain("export", *arguments, folder=trained.folder)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert files_in(trained.folder) == before


def test_a_file_that_fails_its_check_is_not_kept(trained: Trained, tmp_path: Path) -> None:
    with patch("lmtrain.export.onnx_check.greatest_difference", return_value=Difference(2e-4, 1e-4)):
        outcome = lmtrain("export", trained.run_dir, "--format", "onnx", "--out", tmp_path / "out")
    assert (outcome.code, outcome.out) == (1, "")
    assert "not exported: log-probabilities of onnxruntime differ by 2.0e-04 nats" in outcome.err
    assert not list(tmp_path.iterdir())


def run_program(program: str, *arguments: object, stdin: str = "") -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, input=stdin.encode(), capture_output=True, check=True).stdout.decode()


def imported_by(program: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(program)))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("lowercase", [False, True])
def test_the_program_of_the_documentation_prints_what_score_prints(
    lowercase: bool, trained: Trained, tmp_path: Path
) -> None:
    run_dir = trained.run_dir
    if lowercase:
        options = ("data.lowercase=true", "data.valid=null", "data.test=null", "model.cell=gru")
        run_dir = tmp_path / "run"
        changes = [word for option in options for word in ("--set", option)]
        lmtrain("train", "--config", "config.yaml", *changes, "--run-dir", run_dir, folder=trained.folder)
    assert lmtrain("export", run_dir, "--format", "onnx", "--out", tmp_path / "out").code == 0
    printed = run_program(ONNX_PROGRAM, tmp_path / "out", stdin=TEXT).splitlines()
    expected = lmtrain("score", run_dir, "-", stdin=TEXT.encode()).out.splitlines()
    assert printed[0] == expected[0]
    assert "\t<unk>\t" in "\n".join(printed)
    for line, wanted in zip(printed[1:], expected[1:], strict=True):
        (*names, bits), (*wanted_names, wanted_bits) = line.split("\t"), wanted.split("\t")
        assert names == wanted_names
        assert float(bits) == pytest.approx(float(wanted_bits), abs=2e-5)


def test_it_has_twenty_lines_and_needs_no_lmtrain() -> None:
    lines = [line for line in ONNX_PROGRAM.splitlines() if line.strip()]
    assert len(lines) <= 20
    assert imported_by(ONNX_PROGRAM) == {"numpy", "onnxruntime", "pathlib", "sys"}


def test_the_program_for_torch(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert lmtrain("export", trained.run_dir, "--format", "safetensors", "--out", out).code == 0
    assert "lmtrain" not in imported_by(TORCH_PROGRAM)
    model = load_model(trained.run_dir, device="cpu")
    starts = model.scorer().score([[word] for word in model.vocab.words])
    first = min(starts, key=lambda line: line.nats[0]).tokens[0]
    assert run_program(TORCH_PROGRAM, out) == f"a line begins most often with {first}\n"


def test_an_exported_folder_may_be_moved(trained: Trained, tmp_path: Path) -> None:
    assert lmtrain("export", trained.run_dir, "--format", "onnx", "--out", tmp_path / "a").code == 0
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert "the" in run_program(ONNX_PROGRAM, tmp_path / "b", stdin="the\n")
