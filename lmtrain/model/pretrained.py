"""Word vectors from elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lmtrain.errors import DataError


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
    well. Each further line is a word and its numbers, separated by spaces. Where a word stands twice, the
    first counts.

    Args:
        path: UTF-8 text.
        ids: The id of each word of the vocabulary.
        embedding: (V, E), changed in place.

    Raises:
        DataError: The file is missing or not of this format, or its vectors are not of size E.
    """
    size = embedding.shape[1]
    found: set[int] = set()
    is_of_our_size = False
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                word, *values = line.rstrip().split(" ")
                if number == 1 and len(values) == 1 and word.isdecimal() and values[0].isdecimal():
                    continue
                if len(values) > size and is_of_our_size:
                    continue  # a word with a space in it, as GloVe's largest file has; none of ours has one
                if len(values) != size:
                    raise DataError(
                        f"{path}:{number}: a vector of {len(values)} numbers; embedding_dim is {size}"
                    )
                is_of_our_size = True
                index = ids.get(word)
                if index is not None and index not in found:
                    embedding[index] = torch.tensor([float(value) for value in values])
                    found.add(index)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8; word2vec's binary format has to be converted to text") from error
    except ValueError as error:
        raise DataError(f"{path}:{number}: not a word vector: {error}") from error
    if not torch.isfinite(embedding).all():
        raise DataError(f"{path}: holds values that are not finite")
    return Coverage(len(found), embedding.shape[0])
