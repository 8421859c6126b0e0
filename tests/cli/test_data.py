"""``lmtrain data``."""

import json
import signal
from pathlib import Path

import pytest
from program import Trained, files_in, lmtrain

from lmtrain.corpus.fetching import fetch
from lmtrain.corpus.synthetic import synthetic


def test_list() -> None:
    outcome = lmtrain("data", "list")
    assert (outcome.code, outcome.err) == (0, "")
    names = [line.split()[0] for line in outcome.out.splitlines() if line.startswith("  ")]
    assert names == ["ptb", "wikitext-2", "wikitext-103", "counting", "toy-english"]
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_fetch_prints_the_files_it_wrote(tmp_path: Path, shared_data: Path) -> None:
    command = ("data", "fetch", "ptb", "--mirror", shared_data)
    outcome = lmtrain(*command, folder=tmp_path)
    assert outcome.code == 0
    assert outcome.out.splitlines() == [f"data/ptb/{split}.txt" for split in ("train", "valid", "test")]
    assert files_in(tmp_path / "data" / "ptb") == files_in(shared_data / "ptb")
    again = lmtrain(*command, "--to", "data/ptb", folder=tmp_path)
    assert (again.code, again.out) == (0, outcome.out)
    assert again.err.count("is there already") == 3


def test_a_server_that_hangs_up_does_not_end_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = []
    monkeypatch.setattr(
        fetch, "fetch", lambda *arguments: handlers.append(signal.getsignal(signal.SIGPIPE)) or []
    )
    assert lmtrain("data", "fetch", "ptb").code == 0
    assert handlers == [signal.SIG_IGN]


def test_fetch_ends_with_the_code_of_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "ptb").mkdir()
    (tmp_path / "ptb" / "test.txt").write_text("another file\n")
    for arguments, code, message in (
        (("ptb", "--mirror", "gone"), 3, "no such folder"),
        (("ptb", "--mirror", "."), 3, "no source has all of it right"),
        (("ptb", "--mirror", "http://127.0.0.1:9"), 6, "Connection refused"),
        (("ptb", "--mirror", ".", "--to", "ptb"), 2, "nothing is overwritten"),
        (("tpb",), 2, "did you mean ptb?"),
    ):
        outcome = lmtrain("data", "fetch", *arguments, folder=tmp_path)
        assert (outcome.code, outcome.out) == (code, "")
        assert message in outcome.err


def test_synth_prints_the_files_it_writes(tmp_path: Path) -> None:
    outcome = lmtrain("data", "synth", "counting", "--out", "data/counting", folder=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    names = [f"data/counting/{split}.txt" for split in ("train", "valid", "test")]
    assert outcome.out.splitlines() == names
    assert sorted(files_in(tmp_path)) == sorted(names)
    assert (tmp_path / names[0]).read_text().startswith("1 2 2 3 3 3 4 4 4 4 5")


def test_the_seed_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_NUM_LINES", {"train": 300, "valid": 100, "test": 100})
    for folder, options in (("one", ()), ("two", ("--seed", 2))):
        assert lmtrain("data", "synth", "toy-english", "--out", tmp_path / folder, *options).code == 0
    one, two = (files_in(tmp_path / folder) for folder in ("one", "two"))
    assert one.keys() == two.keys() >= {"train.txt", "train.logprobs.txt", "source.json"}
    assert one["train.txt"] != two["train.txt"]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    (tmp_path / "train.txt").write_text("a line of five words\nand this is another one\n" * 30)
    (tmp_path / "valid.txt").write_text("a line of five words\nthe unknown\n")
    (tmp_path / "bad.txt").write_bytes(b"caf\xe9\nfine\n\xff\n")
    return tmp_path


def test_check_prints_a_table_of_80_columns(texts: Path) -> None:
    outcome = lmtrain("data", "check", "valid.txt", "--train", "tr*.txt", folder=texts)
    assert (outcome.code, outcome.err) == (0, "")
    rows = {line[:15].strip(): line[15:] for line in outcome.out.splitlines()}
    assert rows["lines"] == "2, of which 0 empty"
    assert rows["tokens"] == "9, one <eos> a line included"
    assert rows["long lines"] == "1 of 1 of 5 words or more (100.00%)"
    assert "               line 1 is train.txt:1" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_check_lists_faults_and_ends_with_3(texts: Path) -> None:
    outcome = lmtrain("data", "check", "bad.txt", folder=texts)
    assert outcome.code == 3
    assert (
        "faults: 2\n  line 1, byte 4: not UTF-8 (0xe9)\n  line 3, byte 1: not UTF-8 (0xff)\n" in outcome.out
    )
    assert outcome.err == "lmtrain: bad.txt: cannot be used: 2 faults, the first in line 1\n"
    as_json = lmtrain("data", "check", "bad.txt", "--json", folder=texts)
    assert (as_json.code, as_json.err) == (3, outcome.err)
    report = json.loads(as_json.out)
    assert (report["file"], report["is_usable"], report["num_faults"]) == ("bad.txt", False, 2)
    assert report["faults"][1] == {"line": 3, "byte": 1, "message": "not UTF-8 (0xff)"}


def test_check_reads_standard_input(texts: Path) -> None:
    outcome = lmtrain("data", "check", "-", "--json", stdin=b"a b\n", folder=texts)
    assert json.loads(outcome.out)["num_words"] == 2
    assert "standard input: cannot be used: 1 fault" in lmtrain("data", "check", "-", stdin=b"").err


def test_check_against_a_model_or_a_list(texts: Path, trained: Trained) -> None:
    (texts / "words.txt").write_text("a\nline\nof\nfive\nwords\nthe\n")
    for vocab, num_oov in ((texts / "words.txt", 1), (trained.run_dir, 6)):
        outcome = lmtrain("data", "check", "valid.txt", "--vocab", vocab, "--json", folder=texts)
        assert outcome.code == 0
        assert json.loads(outcome.out)["unknown"]["num_oov"] == num_oov
    evaluated = lmtrain("eval", trained.run_dir, "--data", "valid.txt", "--json", folder=texts)
    assert json.loads(evaluated.out)["num_oov"] == 6


def test_a_list_of_words_may_have_a_byte_order_mark_and_odd_spaces(texts: Path) -> None:
    (texts / "odd.txt").write_text("the x\u00a0 \x1b[2J\n")
    (texts / "words.txt").write_text("\ufeffthe \r\nx\u00a0\r\n")
    outcome = lmtrain("data", "check", "odd.txt", "--vocab", "words.txt", folder=texts)
    assert "unknown        1 (25.00% of tokens) to words.txt\n" in outcome.out
    assert "1  \\x1b[2J\n" in outcome.out
    assert "\x1b" not in outcome.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("gone.txt",), 3, "gone.txt: no such file"),
        (("valid.txt", "--train", "gone.txt"), 3, "gone.txt: no such file"),
        (("valid.txt", "--train", "*.zst"), 3, "no file matches"),
        (("valid.txt", "--vocab", "gone"), 4, "gone: neither a run directory"),
        (("valid.txt", "--vocab", "bad.txt"), 3, "bad.txt:1: not UTF-8 at byte"),
        (
            ("valid.txt", "--snapshot", "best"),
            2,
            "--snapshot picks from the run directory that --vocab names",
        ),
    ],
)
def test_check_ends_with_the_code_of_what_is_wrong(
    texts: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    outcome = lmtrain("data", "check", *arguments, folder=texts)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
