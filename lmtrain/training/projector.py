"""Word vectors for TensorBoard's embedding projector, which reads them from files beside the event files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from torch import Tensor

from lmtrain.files.atomic import write_file

_TENSORS, _METADATA, _CONFIG = "tensors.tsv", "metadata.tsv", "projector_config.pbtxt"


def write_embedding(directory: Path, vectors: Tensor, words: Sequence[str], counts: Sequence[int]) -> None:
    """Writes the vectors of words in place of earlier ones.

    The columns are ``word``, ``count`` and ``rank``. A label cannot contain what separates labels: any
    whitespace and control character in a word is shown as its number in Unicode.

    Args:
        directory: Of the event files; made if it is not there.
        vectors: (N, E).
        words: The N words, the most frequent first.
        counts: How often each occurs in the training text.

    Raises:
        StorageError: The disk or the system refused.
    """
    config = ProjectorConfig()
    config.embeddings.add(tensor_name="embedding", tensor_path=_TENSORS, metadata_path=_METADATA)
    rows = ("\t".join(f"{x:.5g}" for x in row) for row in vectors.tolist())
    labels = (
        f"{_label(word)}\t{count}\t{rank}"
        for rank, (word, count) in enumerate(zip(words, counts, strict=True), 1)
    )
    files: Mapping[str, str] = {
        _TENSORS: _lines(rows),
        _METADATA: _lines(["word\tcount\trank", *labels]),
        _CONFIG: str(config),  # names the others, so it comes last
    }
    for name, text in files.items():
        write_file(directory / name, text.encode())


def _label(word: str) -> str:
    return "".join(c if c.isprintable() and not c.isspace() else f"U+{ord(c):04X}" for c in word)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
