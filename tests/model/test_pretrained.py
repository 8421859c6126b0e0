"""Word vectors in word2vec's text format."""

import gzip
from pathlib import Path

import pytest
import torch

from lmtrain.errors import DataError
from lmtrain.model.pretrained import load_word_vectors

IDS = {"the": 0, "cat": 1, "<unk>": 2}


def test_known_rows_are_replaced_and_coverage_reported(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("4 2\nthe 1 2\ndog 3 4\ncat -0.5 1e-3\ncat 9 9\n")
    embedding = torch.full((3, 2), 7.0)
    coverage = load_word_vectors(path, IDS, embedding)
    assert embedding.tolist() == [[1, 2], [-0.5, pytest.approx(1e-3)], [7, 7]]
    assert (coverage.num_found, coverage.vocab_size) == (2, 3)
    assert str(coverage) == "2 of 3 words (66.7%) have a pretrained vector"


def test_glove_has_no_header(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("cat 1 2\n")
    embedding = torch.zeros(3, 2)
    assert load_word_vectors(path, IDS, embedding).num_found == 1
    assert embedding[1].tolist() == [1, 2]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf2 2\ncat 1 2\nthe 3 4\n",
        gzip.compress(b"2 2\ncat 1 2\nthe 3 4\n", mtime=0),
        b"2\t2\ncat\t1\t2\nthe\t3\t4\n",
        b"2 2 \r\ncat 1 2 \r\nthe 3 4 \r\n",
    ],
)
def test_a_file_may_have_several_forms(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "vectors"
    path.write_bytes(content)
    embedding = torch.zeros(3, 2)
    assert load_word_vectors(path, IDS, embedding).num_found == 2
    assert embedding.tolist() == [[3, 4], [1, 2], [0, 0]]


def test_words_with_spaces_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("cat 1 2\n. . . 3 4\nthe 5 6\n")
    embedding = torch.zeros(3, 2)
    assert load_word_vectors(path, IDS, embedding).num_found == 2
    assert embedding[0].tolist() == [5, 6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the 1 2 3\n", ":1: a vector of 3 numbers; embedding_dim is 2"),
        (b"1 2\nthe 1 x\n", ":2: not a word vector"),
        (b"3 2\ncat 1 1\ndog 1 1\ncaf\xe9 1 1\n", ":4: not UTF-8 at byte 4"),
        (b"1 2\nthe \0\0\0\0\0\0\0\0\n", ":2: binary.*word2vec's binary format has to be converted"),
        (b"2 2\ncat 1 1\nthe 1 nan\n", ":3: nan is not finite"),
        (b"the 1 1e39\n", ":1: 1e39 is not finite in float32"),
        (b"3 2\nthe 1 1\ncat 1 1\n", ":1: announces 3 vectors, but 2 follow"),
        (b"1 2\nthe 1 1\ncat 1 1\n", ":1: announces 1 vectors, but 2 follow"),
        (b"1 3\nthe 1 1 1\n", ":1: vectors of 3 numbers; embedding_dim is 2"),
        (b"the 1 1\rcat 1 1\r", ":1: a carriage return within the line"),
    ],
)
def test_bad_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_word_vectors(path, IDS, torch.zeros(3, 2))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.txt: no such file"):
        load_word_vectors(tmp_path / "nowhere.txt", IDS, torch.zeros(3, 2))
