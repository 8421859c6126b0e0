"""Word vectors from elsewhere."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lmtrain.errors import DataError, NotTextError
from lmtrain.files.text_input import table_lines


@dataclass(frozen=True)
class Coverage:
    """How much of a vocabulary a file of vectors knows."""

    num_found: int
    vocab_size: int

    def __str__(self) -> str:
        share = self.num_found / self.vocab_size
        return f"{self.num_found:,} of {self.vocab_size:,} words ({share:.1%}) have a pretrained vector"


@torch.no_grad()
def load_word_vectors(path: Path, ids: Mapping[str, int], embedding: Tensor) -> Coverage:
    """Reads vectors in word2vec's text format into the rows of an embedding; other rows keep their values.

    The first line may be the header ``count dimensions``; GloVe's files, which have none, are read as
    well. Each further line is a word and its numbers, separated by spaces or tabs. Where a word stands
    twice, the first counts.

    Args:
        path: UTF-8 text; see :mod:`lmtrain.files.text_input`.
        ids: The id of each word of the vocabulary.
        embedding: (V, E), changed in place.

    Raises:
        DataError: The file is missing or not of this format, or its vectors are not of size E.
    """
    size = embedding.shape[1]
    found: set[int] = set()
    num_announced, num_vectors = None, 0
    for number, line in _lines(path):
        word, *values = line.replace("\t", " ").rstrip(" ").split(" ")
        if number == 1 and len(values) == 1 and word.isdecimal() and values[0].isdecimal():
            num_announced, announced_size = int(word), int(values[0])
            if announced_size != size:
                raise DataError(f"{path}:1: vectors of {announced_size} numbers; embedding_dim is {size}")
            continue
        num_vectors += 1
        if len(values) > size and num_vectors > 1:
            continue  # a word with a space in it, as GloVe's largest file has; none of ours has one
        if len(values) != size:
            raise DataError(f"{path}:{number}: a vector of {len(values)} numbers; embedding_dim is {size}")
        index = ids.get(word)
        if index is not None and index not in found:
            embedding[index] = torch.tensor(_numbers(values, f"{path}:{number}"))
            found.add(index)
    if num_announced not in (None, num_vectors):
        raise DataError(
            f"{path}:1: announces {num_announced:,} vectors, but {num_vectors:,} follow; cut off?"
        )
    return Coverage(len(found), embedding.shape[0])


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        yield from table_lines(path)
    except NotTextError as error:
        raise DataError(f"{error}; word2vec's binary format has to be converted to text") from None


def _numbers(values: list[str], place: str) -> list[float]:
    try:
        numbers = list(map(float, values))
    except ValueError as error:
        raise DataError(f"{place}: not a word vector: {error}") from None
    for value, number in zip(values, numbers, strict=True):
        if abs(number) > torch.finfo(torch.float32).max or math.isnan(number):
            raise DataError(f"{place}: {value} is not finite in float32")
    return numbers
