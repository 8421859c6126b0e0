"""``lmtrain data``."""

from pathlib import Path

from program import files_in, lmtrain


def test_list() -> None:
    outcome = lmtrain("data", "list")
    assert (outcome.code, outcome.err) == (0, "")
    names = [line.split()[0] for line in outcome.out.splitlines()]
    assert names == ["counting", "toy-english"]


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
