"""``lmtrain eval``: the JSON that others read, the table a person reads, and what the options change."""

import hashlib
import io
import json
import math
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from program import Trained, lmtrain

from lmtrain import __version__
from lmtrain.cli.adapting import watched_windows
from lmtrain.inference.windows import HeldOutWindow

FIELDS = [
    *("perplexity", "nll_nats", "num_tokens", "bits_per_word"),
    *("perplexity_without_eos", "perplexity_without_unk", "num_oov", "oov_rate"),
    *("accuracy", "words_per_second", "context", "adapt", "signature", "snapshot", "data"),
    *("oov_words", "perplexity_by_rank"),
]


def figures(trained: Trained, *options: object, data: str = "test.txt", stdin: bytes = b"") -> dict[str, Any]:
    arguments = ("runs/tiny", "--data", data, "--json", *options)
    outcome = lmtrain("eval", *arguments, folder=trained.folder, stdin=stdin)
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(outcome.out)
    assert isinstance(found, dict)
    return found


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_json(trained: Trained) -> None:
    found = figures(trained)
    assert list(found) == FIELDS
    words = (trained.folder / "test.txt").read_text().split()
    assert found["num_tokens"] == len(words) + 10 == 61
    assert found["num_oov"] == 1
    assert found["oov_rate"] == 1 / 61
    assert found["perplexity"] == pytest.approx(math.exp(found["nll_nats"] / 61))
    assert found["bits_per_word"] == pytest.approx(math.log2(found["perplexity"]))
    assert 0 <= found["accuracy"] <= 1
    assert found["words_per_second"] > 0
    assert found["context"] == "stream1"
    assert found["adapt"] == "none"
    assert found["data"] == "test.txt"
    assert found["oov_words"] == [{"word": "unicorn", "count": 1}]
    bands = found["perplexity_by_rank"]
    assert [band["ranks"] for band in bands] == ["1-10", "11-11", "<eos>", "<unk>"]
    assert sum(band["num_tokens"] for band in bands) == 61
    logs = [band["num_tokens"] * math.log(band["perplexity"]) for band in bands if band["num_tokens"]]
    assert sum(logs) == pytest.approx(found["nll_nats"])
    assert found["snapshot"] == "runs/tiny/snapshots/step-00000017"


def test_bfloat16_is_near_and_says_so(trained: Trained) -> None:
    exact, near = figures(trained), figures(trained, "--precision", "bfloat16")
    assert near["nll_nats"] != exact["nll_nats"]
    assert near["perplexity"] == pytest.approx(exact["perplexity"], rel=0.01)
    assert "|prec:bfloat16|vocab:" in near["signature"]
    assert near["signature"].replace("|prec:bfloat16", "") == exact["signature"]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_for_terminals(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    windows = [HeldOutWindow(torch.zeros(3, 2), torch.zeros(3, 2), np.arange(5), goes_on=False)]
    assert list(watched_windows(iter(windows), 5)) == windows
    assert ("0/5" if is_terminal else "") in stream.getvalue()
    assert bool(stream.getvalue()) == is_terminal


def test_the_signature_names_what_a_number_depends_on(trained: Trained) -> None:
    vocab = sha256(trained.run_dir / "snapshots" / "step-00000017" / "vocab.txt")
    data = sha256(trained.folder / "test.txt")
    assert figures(trained)["signature"] == (
        "ppl|tok:ws|unk:incl|eos:incl|ctx:stream1|adapt:none"
        f"|vocab:{vocab[:8]}|data:{data[:8]}|lmtrain:{__version__}"
    )
    assert "|ctx:stream3|" in figures(trained, "--streams", 3)["signature"]
    assert "|ctx:line|" in figures(trained, "--context", "line")["signature"]


def test_it_finds_what_training_found(trained: Trained) -> None:
    rows = map(json.loads, (trained.run_dir / "metrics.jsonl").read_text().splitlines())
    logged: dict[int, dict[str, float]] = {}
    for row in rows:  # a line an event
        logged.setdefault(row["step"], {}).update(row)
    assert figures(trained)["perplexity"] == pytest.approx(logged[25]["test/perplexity"], rel=1e-6)
    for step in (9, 17, 25):
        found = figures(trained, "--snapshot", step, data="valid.txt")
        assert found["perplexity"] == pytest.approx(logged[step]["valid/perplexity"], rel=1e-6)
        assert found["accuracy"] == pytest.approx(logged[step]["valid/accuracy"])


@pytest.mark.parametrize(("which", "step"), [([], 17), (["best"], 17), (["last"], 25), (["9"], 9)])
def test_which_snapshot(which: list[str], step: int, trained: Trained) -> None:
    options = [word for value in which for word in ("--snapshot", value)]
    assert figures(trained, *options)["snapshot"] == f"runs/tiny/snapshots/step-{step:08d}"


def test_a_snapshot_alone_is_a_model(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.run_dir / "snapshots" / "step-00000017", tmp_path / "model")
    arguments = ("--data", trained.folder / "test.txt", "--json")
    found = json.loads(lmtrain("eval", tmp_path / "model", *arguments).out)
    assert found["nll_nats"] == figures(trained)["nll_nats"]
    assert found["snapshot"] == str(tmp_path / "model")


def test_the_context_is_that_of_training_unless_told(trained: Trained, project: Path) -> None:
    line = figures(trained, "--context", "line")
    assert line["context"] == "line"
    assert line["nll_nats"] != figures(trained)["nll_nats"]
    assert figures(trained, "--context", "stream")["nll_nats"] == figures(trained)["nll_nats"]
    lmtrain("train", "--config", "config.yaml", "--set", "data.context=line", folder=project)
    found = json.loads(lmtrain("eval", "runs/tiny", "--data", "test.txt", "--json", folder=project).out)
    assert found["context"] == "line"


def test_the_batch_size_changes_no_figure(trained: Trained) -> None:
    line = figures(trained, "--context", "line")
    for size in (1, 3, 10, 1000):
        found = figures(trained, "--context", "line", "--batch-size", size)
        assert found["nll_nats"] == pytest.approx(line["nll_nats"], rel=1e-6)
        same = ("num_tokens", "num_oov", "accuracy", "signature")
        assert [found[name] for name in same] == [line[name] for name in same]


def test_streams_trade_context_for_speed(trained: Trained) -> None:
    found = figures(trained, "--streams", 4)
    assert found["context"] == "stream4"
    assert found["num_tokens"] == 61
    assert found["nll_nats"] != figures(trained)["nll_nats"]
    assert figures(trained, "--streams", 1000)["context"] == "stream61"


def test_standard_input(trained: Trained) -> None:
    text = (trained.folder / "test.txt").read_bytes()
    piped, read = figures(trained, data="-", stdin=text), figures(trained)
    different = {name for name in FIELDS if piped[name] != read[name]} - {"words_per_second"}
    assert different == {"data"}
    assert piped["data"] == "-"


@pytest.mark.parametrize(("text", "message"), [(b"", "empty"), (b"\xff\n", "not UTF-8")])
def test_standard_input_that_is_no_text(text: bytes, message: str, trained: Trained) -> None:
    outcome = lmtrain("eval", trained.run_dir, "--data", "-", stdin=text)
    assert outcome.code == 3
    assert outcome.err.startswith("lmtrain: standard input")
    assert message in outcome.err


def test_the_table(trained: Trained) -> None:
    found = figures(trained)
    outcome = lmtrain("eval", "runs/tiny", "--data", "test.txt", folder=trained.folder)
    assert outcome.err == ""
    pairs = {line[:17].strip(): line[17:].strip() for line in outcome.out.splitlines()}
    assert pairs["perplexity"] == f"{found['perplexity']:.4f}"
    assert pairs["without <eos>"] == f"{found['perplexity_without_eos']:.4f}"
    assert pairs["without <unk>"] == f"{found['perplexity_without_unk']:.4f}"
    assert pairs["bits per word"] == f"{found['bits_per_word']:.4f}"
    assert pairs["accuracy"] == f"{found['accuracy']:.4f}"
    assert pairs["tokens"] == "61"
    assert pairs["scored as <unk>"] == "1 (1.64%)"
    assert pairs["snapshot"] == found["snapshot"]
    assert pairs["signature"] == found["signature"]
    assert "of the source" not in pairs


def test_the_table_goes_on_with_ranks_and_unknown_words(trained: Trained) -> None:
    found = figures(trained)
    outcome = lmtrain("eval", "runs/tiny", "--data", "test.txt", folder=trained.folder)
    blocks = outcome.out.split("\n\n")
    rows = [line.split() for line in blocks[1].splitlines()]
    assert rows[0] == ["rank", "in", "training", "tokens", "share", "perplexity"]
    assert [row[0] for row in rows[1:]] == ["1-10", "<eos>", "<unk>"]  # there is no token of rank 11
    assert rows[-1][1] == "1"
    assert float(rows[1][3]) == pytest.approx(found["perplexity_by_rank"][0]["perplexity"], abs=0.006)
    assert blocks[2] == "unknown words: unicorn (1)\n"


def test_several_texts_make_a_table(trained: Trained) -> None:
    one, other = figures(trained), figures(trained, data="valid.txt")
    arguments = ("runs/tiny", "--data", "test.txt", "--data", "valid.txt")
    outcome = lmtrain("eval", *arguments, folder=trained.folder)
    header, *rows = (line.split() for line in outcome.out.partition("\n\n")[0].splitlines())
    assert header[:3] == ["text", "tokens", "ppl"]
    assert [row[0] for row in rows] == ["test.txt", "valid.txt", "together"]
    assert rows[0][1:3] == ["61", f"{one['perplexity']:.2f}"]
    assert rows[1][1:3] == ["61", f"{other['perplexity']:.2f}"]
    together = math.exp((one["nll_nats"] + other["nll_nats"]) / 122)
    assert rows[2][1:3] == ["122", f"{together:.2f}"]
    assert outcome.out.endswith(f"{one['signature']}\n{other['signature']}\n")
    pattern = lmtrain("eval", "runs/tiny", "--data", "[tv]*.txt", folder=trained.folder)
    assert [line.split()[0] for line in pattern.out.splitlines()[1:4]] == [
        "test.txt",
        "train.txt",
        "valid.txt",
    ]
    listed = json.loads(lmtrain("eval", *arguments, "--json", folder=trained.folder).out)
    assert [each["nll_nats"] for each in listed] == [one["nll_nats"], other["nll_nats"]]


def test_many_unknown_words_are_pointed_out(trained: Trained) -> None:
    outcome = lmtrain("eval", trained.run_dir, "--data", "-", "--json", stdin=b"the unicorn saw a unicorn\n")
    found = json.loads(outcome.out)
    assert found["oov_words"] == [{"word": "unicorn", "count": 2}, {"word": "a", "count": 1}]
    assert "-: 50.0% of the tokens are <unk>" in outcome.err
    assert f"({found['perplexity_without_unk']:.2f})" in outcome.err


def test_a_literal_unk_is_no_unknown_word(trained: Trained) -> None:
    outcome = lmtrain("eval", trained.run_dir, "--data", "-", "--json", stdin=b"the <unk> cat\n")
    found = json.loads(outcome.out)
    assert (found["num_oov"], found["oov_words"]) == (1, [])


def test_the_source_of_a_synthetic_text_is_set_beside_the_model(trained: Trained, project: Path) -> None:
    (project / "half.txt").write_text("the cat\n")
    (project / "half.logprobs.txt").write_text("-0.693147 -0.693147 -0.693147\n")  # 1/2 each
    outcome = lmtrain("eval", trained.run_dir, "--data", "half.txt", folder=project)
    figure, of_source, *_ = outcome.out.splitlines()
    above = re.fullmatch(r"  of the source +2\.0000 \((\S+) % above the best possible\)", of_source)
    assert above
    assert float(above[1]) == pytest.approx(100 * (float(figure.split()[1]) / 2 - 1), abs=0.06)


def test_the_corpus_is_not_needed(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.run_dir, tmp_path / "model")
    (tmp_path / "text.txt").write_text("the old cat\n")
    assert lmtrain("eval", "model", "--data", "text.txt", folder=tmp_path).code == 0
    assert lmtrain("generate", "model", folder=tmp_path).code == 0
    assert lmtrain("info", "model", folder=tmp_path).code == 0


def test_a_table_of_several_texts_fits_80_columns(trained: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "a-folder-of-many-letters" / "another-folder"
    folder.mkdir(parents=True)
    for name in ("one-text", "another-text"):
        (folder / f"{name}.txt").write_text("a unicorn of words it does not know\n" * 5)
    outcome = lmtrain("eval", trained.run_dir, "--data", folder / "*.txt")
    assert outcome.code == 0
    lines = outcome.out.partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == ["text", "another-text.txt", "one-text.txt", "together"]
    assert max(map(len, lines)) <= 80
