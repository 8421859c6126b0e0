"""``lmtrain data``."""

from pathlib import Path

from program import files_in, lmtrain


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


def test_the_seed_decides(tmp_path: Path) -> None:
    for folder, options in (("one", ()), ("two", ("--seed", 2))):
        assert lmtrain("data", "synth", "toy-english", "--out", tmp_path / folder, *options).code == 0
    one, two = (files_in(tmp_path / folder) for folder in ("one", "two"))
    assert one.keys() == two.keys() >= {"train.txt", "train.logprobs.txt", "source.json"}
    assert one["train.txt"] != two["train.txt"]
