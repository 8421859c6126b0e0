import gzip
import hashlib
import json
import math
import os
import random
import statistics
from pathlib import Path

import pytest

from lmtrain.corpus.synthetic import synthetic
from lmtrain.corpus.synthetic.synthetic import (
    SYNTHETIC,
    SourceLogProbs,
    counting,
    source_log_probs,
    toy_english,
    write_synthetic,
)
from lmtrain.errors import DataError, StorageError, UsageError

SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("toy") / "made" / "with parents"
    write_synthetic("toy-english", out)
    return out


@pytest.fixture
def few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of toy-english, where it does not matter how many."""
    monkeypatch.setattr(synthetic, "_NUM_LINES", {"train": 300, "valid": 100, "test": 100})


def words_of(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text(encoding="utf-8").splitlines()]


# --- counting


def test_counting_repeats_each_integer_its_own_number_of_times() -> None:
    assert counting(n=4, repeats=2) == ["1 2 2 3 3 3", "1 2 2 3 3 3"]
    lines = counting()
    assert len(lines) == 100
    assert [len(line.split()) for line in set(lines)] == [45]


def test_counting_writes_three_equal_texts_without_log_probabilities(tmp_path: Path) -> None:
    written = write_synthetic("counting", tmp_path)
    assert written == [tmp_path / f"{split}.txt" for split in SPLITS]
    assert {path.read_text(encoding="utf-8") for path in written} == {
        "\n".join(counting()) + "\n",
    }
    assert source_log_probs(written[0]) is None


# --- toy-english: entropy


def test_sample_mean_agrees_with_the_exact_entropy_and_length() -> None:
    rng = random.Random(7)
    num_sentences = 20_000
    drawn = [toy_english().sample(rng).log_probs for _ in range(num_sentences)]
    mean_length, entropy = toy_english().expected_length(), toy_english().entropy()

    lengths = [len(log_probs) for log_probs in drawn]
    error = statistics.stdev(lengths) / math.sqrt(num_sentences)
    assert statistics.fmean(lengths) == pytest.approx(mean_length, abs=3 * error)
    assert error < 0.05

    # Nats beyond the expected entropy of as many tokens: mean 0, whatever the lengths.
    excess = [-math.fsum(log_probs) - entropy * len(log_probs) for log_probs in drawn]
    error = statistics.stdev(excess) / math.sqrt(num_sentences)
    assert statistics.fmean(excess) == pytest.approx(0.0, abs=3 * error)
    assert error / mean_length < 0.005


def test_expected_length_is_that_of_a_readable_sentence() -> None:
    assert 9 <= toy_english().expected_length() <= 13


# --- toy-english: files


def test_files_and_sizes(corpus: Path) -> None:
    names = [f"{split}{kind}" for split in SPLITS for kind in (".txt", ".logprobs.txt")]
    assert sorted(path.name for path in corpus.iterdir()) == sorted([*names, "source.json"])
    assert [len(words_of(corpus / f"{split}.txt")) for split in SPLITS] == [40_000, 4_000, 4_000]


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("train.txt", "8f59ab5c7e74e5db799685870896845e7579fb132ea6fe86af00bea31f3253a9"),
        ("train.logprobs.txt", "812d5bc1e02ce17a8ba3019bccb3d98ad8554e7dcd89729cc05288787fc96dbc"),
        ("valid.txt", "9e84b426e690972dfff17827eef3eeb7be03234c920ae2186fa4efc7c8eb4cb7"),
        ("valid.logprobs.txt", "227477e3ab40baebe7e3bc621d598e3b8064bb2bde53a24c63b3f4fb23bac2cb"),
        ("test.txt", "6fe92c2a7fa3ca70254b55667ac6b0498937e060ae54c21f53146a0f573d0623"),
        ("test.logprobs.txt", "2d36131a46c111bab1d2bdb7f0c6b18181cf08111536740b006cea1e904c75a3"),
        ("source.json", "39d76a107dc4f6a793504d841694e3693ba05b79e1e53ada1f9ae45df13776ec"),
    ],
)
def test_seed_1_gives_the_same_bytes_on_every_platform(corpus: Path, name: str, digest: str) -> None:
    assert hashlib.sha256((corpus / name).read_bytes()).hexdigest() == digest


@pytest.mark.usefixtures("few_lines")
def test_another_seed_and_another_split_give_another_text(tmp_path: Path) -> None:
    folders = [tmp_path / "1", tmp_path / "2"]
    for seed, folder in enumerate(folders, 1):
        write_synthetic("toy-english", folder, seed=seed)
    texts = [folder / f"{split}.txt" for folder in folders for split in SPLITS]
    assert len({tuple(path.read_text(encoding="utf-8").split()[:100]) for path in texts}) == 6


def test_source_json_states_the_exact_entropy(corpus: Path) -> None:
    source = json.loads((corpus / "source.json").read_text(encoding="utf-8"))
    assert source == {
        "name": "toy-english",
        "seed": 1,
        "entropy_nats_per_token": pytest.approx(toy_english().entropy(), abs=1e-9),
        "perplexity": pytest.approx(math.exp(toy_english().entropy()), abs=1e-8),
        "expected_sentence_length": pytest.approx(toy_english().expected_length(), abs=1e-9),
        "lines": {"train": 40_000, "valid": 4_000, "test": 4_000},
        "generator": "lmtrain data synth toy-english --seed 1",
    }


def test_sidecar_holds_what_parsing_the_text_gives(corpus: Path) -> None:
    sentences = [toy_english().parse(words) for words in words_of(corpus / "test.txt")]
    rows = [[float(x) for x in row] for row in words_of(corpus / "test.logprobs.txt")]
    assert rows == [[round(x, 6) for x in sentence.log_probs] for sentence in sentences]
    assert "-0.000000" not in (corpus / "test.logprobs.txt").read_text(encoding="utf-8")

    source = source_log_probs(corpus / "test.txt")
    assert source is not None
    assert source.num_tokens == sum(len(sentence.words) + 1 for sentence in sentences)
    total = -math.fsum(x for sentence in sentences for x in sentence.log_probs)
    assert source.nll_nats == pytest.approx(total, rel=1e-6)
    assert source.perplexity == pytest.approx(math.exp(total / source.num_tokens), rel=1e-6)


# --- reading a sidecar


def test_perplexity_of_a_fair_choice_of_four() -> None:
    assert SourceLogProbs(10 * math.log(4), 10).perplexity == pytest.approx(4.0)


def write_pair(folder: Path, text: str, numbers: str) -> Path:
    (folder / "x.logprobs.txt").write_text(numbers, encoding="utf-8")
    path = folder / "x.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_source_log_probs_sums_over_words_and_line_ends(tmp_path: Path) -> None:
    path = write_pair(tmp_path, "a b\nc\n", "-1 -2 0\n-0.5 0\n")
    assert source_log_probs(path) == SourceLogProbs(nll_nats=3.5, num_tokens=5)


@pytest.mark.parametrize(
    ("text", "numbers", "message"),
    [
        ("a\nb\n", "-1 0\n", "x.logprobs.txt:2: the file of its log-probabilities ends here"),
        ("a\n", "-1 0\n-1 0\n", "x.logprobs.txt:2: the text ends here"),
        ("a\nb c\n", "-1 0\n-1 0\n", "x.logprobs.txt:2: 2 numbers for 3 tokens"),
        ("a\n", "-1 zero\n", "x.logprobs.txt:1: could not convert"),
        ("a\n", "-1 nan\n", "x.logprobs.txt:1: a log-probability is finite"),
        ("a\n", "-inf 0\n", "x.logprobs.txt:1: a log-probability is finite"),
        ("a\n", "0.5 0\n", "x.logprobs.txt:1: a log-probability is finite"),
    ],
)
def test_a_sidecar_that_does_not_match_is_refused(
    tmp_path: Path, text: str, numbers: str, message: str
) -> None:
    with pytest.raises(DataError, match=f"{message}.*; write the corpus anew"):
        source_log_probs(write_pair(tmp_path, text, numbers))


def test_words_are_cut_at_ascii_whitespace_alone(tmp_path: Path) -> None:
    path = write_pair(tmp_path, "a\u00a0b\u2028c\r\n\n", "-1 0\n0\n")
    assert source_log_probs(path) == SourceLogProbs(nll_nats=1.0, num_tokens=3)


def test_a_compressed_text_has_the_same_sidecar(tmp_path: Path) -> None:
    path = write_pair(tmp_path, "a b\n", "-1 0 -1\n")
    packed = path.with_name("x.txt.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert source_log_probs(packed) == source_log_probs(path) == SourceLogProbs(2.0, 3)


def test_a_missing_text_is_refused(tmp_path: Path) -> None:
    path = write_pair(tmp_path, "a\n", "-1 0\n")
    path.unlink()
    with pytest.raises(DataError, match=r"x\.txt: no such file"):
        source_log_probs(path)


# --- writing


@pytest.mark.parametrize(("name", "nearest"), [("toy-engilsh", "toy-english"), ("count", "counting")])
def test_unknown_name_is_told_the_nearest(tmp_path: Path, name: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {nearest}\\?") as caught:
        write_synthetic(name, tmp_path / "out")
    assert all(known in str(caught.value) for known in SYNTHETIC)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("few_lines")
@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_file_that_stands_in_the_way_is_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / "valid.txt").write_text("my own text\n")
    with pytest.raises(UsageError, match=r"valid\.txt: is another file, and nothing is overwritten"):
        write_synthetic(name, tmp_path)
    assert (tmp_path / "valid.txt").read_text() == "my own text\n"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("few_lines")
def test_writing_the_same_again_is_no_harm(tmp_path: Path) -> None:
    write_synthetic("toy-english", tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_synthetic("toy-english", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(UsageError, match="is another file"):
        write_synthetic("toy-english", tmp_path, seed=2)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    write_synthetic("counting", tmp_path)
    (tmp_path / "valid.txt").unlink()
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError, match="the disk is full"):
        write_synthetic("counting", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.txt", "train.txt"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(StorageError, match=r"out.* cannot be written: .*--out"):
        write_synthetic("counting", tmp_path / "out")


def test_what_is_certain_has_log_probability_nought(corpus: Path) -> None:
    rows = "".join(
        path.read_text() for path in corpus.iterdir() if path.name not in ("train.txt", "valid.txt")
    )
    assert " 0.000000" in rows
    assert "-0.000000" not in rows
