"""Files of the embedding projector: what TensorBoard's own reader makes of them."""

from pathlib import Path

import pytest
import torch
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from lmtrain.errors import StorageError
from lmtrain.training.projector import write_embedding


def test_vectors_and_labels_stand_on_the_same_lines(tmp_path: Path) -> None:
    vectors = torch.tensor([[1.0, -2.5e-7], [123456.0, 0.1]])
    write_embedding(tmp_path / "board", vectors, ["the", "<eos>"], [7, 5])
    config = text_format.Parse((tmp_path / "board" / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    lines = (tmp_path / "board" / embedding.tensor_path).read_text().splitlines()
    read = torch.tensor([[float(x) for x in line.split("\t")] for line in lines])
    torch.testing.assert_close(read, vectors, rtol=1e-4, atol=0)
    assert (
        tmp_path / "board" / embedding.metadata_path
    ).read_text() == "word\tcount\trank\nthe\t7\t1\n<eos>\t5\t2\n"


# What a word may contain: anything but ASCII whitespace and NUL.
@pytest.mark.parametrize(
    ("word", "label"),
    [
        ('"quoted"', '"quoted"'),
        ("naïve→", "naïve→"),
        ("a\u2028b", "aU+2028b"),
        ("a\x85b", "aU+0085b"),
        ("a\x1cb", "aU+001Cb"),
        ("\u3000", "U+3000"),
        ("a\u200bb", "aU+200Bb"),
    ],
)
def test_a_label_is_one_cell(word: str, label: str, tmp_path: Path) -> None:
    write_embedding(tmp_path, torch.zeros(1, 2), [word], [1])
    assert (tmp_path / "metadata.tsv").read_bytes().decode() == f"word\tcount\trank\n{label}\t1\t1\n"


def test_earlier_files_are_replaced(tmp_path: Path) -> None:
    for size in (3, 2):
        write_embedding(tmp_path, torch.zeros(size, 2), ["a"] * size, [1] * size)
    assert len((tmp_path / "tensors.tsv").read_text().splitlines()) == 2
    assert len(list(tmp_path.iterdir())) == 3


def test_a_refusing_system_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_embedding(tmp_path / "file" / "below", torch.zeros(1, 1), ["a"], [1])
