"""Lines of a text by their hashes: which repeat, and which occur in another text, in 9 bytes a line.

Lines are compared by their words, whatever whitespace stands between them. Hashes have 64 bits: among ten
million lines, two that differ have the same with a probability of one in 370,000.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmtrain.corpus.text import LONGEST_WORD, WHITESPACE
from lmtrain.files.text_input import file_blocks

LONG_ENOUGH = 5
"""Words of a line whose repetition says something; shorter ones are headings and exclamations."""

_NUM_EXAMPLES = 5
_BATCH = 1 << 16
_PIECE_BYTES = 1 << 16


def line_pieces(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The lines of a text without their ends, and whether each ends there.

    A line of more than 64 KiB comes in pieces, cut between words, which must not be longer than 1 MiB.
    """
    rest, is_open = b"", False
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line, True
            is_open = False
        if len(rest) > _PIECE_BYTES:
            cut = max(map(rest.rfind, WHITESPACE))
            if cut <= 0 and len(rest) > LONGEST_WORD:
                cut = len(rest)
            if cut > 0:
                yield rest[:cut], False
                rest, is_open = rest[cut:], True
    if rest or is_open:
        yield rest, True


class LineHashes:
    """The lines of a text, in order; to be filled a line, or a piece of one, at a time."""

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._sizes = array("B")
        self._open = blake2b(digest_size=8)
        self._num_words = 0

    def add(self, words: Sequence[bytes], *, ends: bool) -> None:
        """Adds words to the line that is open, and ends it or not."""
        if words:
            self._open.update(b" ".join(words) + b" ")
            self._num_words += len(words)
        if ends:
            self._hashes.append(int.from_bytes(self._open.digest()))
            self._sizes.append(min(self._num_words, 255))
            self._open, self._num_words = blake2b(digest_size=8), 0

    def __len__(self) -> int:
        return len(self._hashes)

    def clear(self) -> None:
        """Forgets all lines but the one that is open."""
        del self._hashes[:], self._sizes[:]

    def hashes(self) -> NDArray[np.uint64]:
        """Of all lines, shape (lines,)."""
        return np.array(self._hashes, dtype=np.uint64)

    def sizes(self) -> NDArray[np.uint8]:
        """Their words, shape (lines,); 255 stands for more, too."""
        return np.array(self._sizes, dtype=np.uint8)


@dataclass(frozen=True)
class Repetition:
    """Lines of a text that occur in it more than once, of ``LONG_ENOUGH`` words or more.

    Attributes:
        num_repeated: Lines that repeat an earlier one.
        share: Of the lines of that length.
        examples: The most repeated: line number, and how often it occurs.
    """

    num_repeated: int
    share: float
    examples: list[tuple[int, int]]


def repetition(lines: LineHashes) -> Repetition:
    """What repeats in a text."""
    numbers = np.flatnonzero(lines.sizes() >= LONG_ENOUGH)
    if not numbers.size:
        return Repetition(0, 0.0, [])
    _, firsts, counts = np.unique(lines.hashes()[numbers], return_index=True, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_NUM_EXAMPLES]
    examples = [(int(numbers[firsts[i]]) + 1, int(counts[i])) for i in most if counts[i] > 1]
    num_repeated = numbers.size - counts.size
    return Repetition(
        num_repeated, num_repeated / numbers.size, sorted(examples, key=lambda e: (-e[1], e[0]))
    )


@dataclass(frozen=True)
class Overlap:
    """Lines of a held-out text that occur in the training text as well.

    Attributes:
        train: The files of the training text.
        num_lines: Lines of the held-out text with any word.
        num_shared: Those of them that occur in the training text.
        num_long_lines: Lines of ``LONG_ENOUGH`` words or more.
        num_shared_long: Those of them that occur in the training text.
        examples: Of these: line number, file of the training text, line number there.
    """

    train: list[str]
    num_lines: int
    num_shared: int
    num_long_lines: int
    num_shared_long: int
    examples: list[tuple[int, str, int]]

    @property
    def share(self) -> float:
        """Of the lines of ``LONG_ENOUGH`` words or more."""
        return self.num_shared_long / self.num_long_lines if self.num_long_lines else 0.0


def overlap(held_out: LineHashes, train: Sequence[Path]) -> Overlap:
    """What a held-out text shares with training texts, which are read as a stream.

    Raises:
        DataError: A training text cannot be read.
    """
    hashes, sizes = held_out.hashes(), held_out.sizes()
    unique = np.unique(hashes[sizes > 0])
    origins: dict[int, tuple[str, int]] = {}
    for path in train:
        for first_number, batch in _batches(path):
            for index in np.flatnonzero(np.isin(batch, unique)).tolist():
                origins.setdefault(int(batch[index]), (str(path), first_number + index))
    shared = np.isin(hashes, np.fromiter(origins, np.uint64, len(origins))) & (sizes > 0)
    is_long = sizes >= LONG_ENOUGH
    examples = np.flatnonzero(shared & is_long)[:_NUM_EXAMPLES].tolist()
    return Overlap(
        [str(path) for path in train],
        int((sizes > 0).sum()),
        int(shared.sum()),
        int(is_long.sum()),
        int((shared & is_long).sum()),
        [(index + 1, *origins[int(hashes[index])]) for index in examples],
    )


def _batches(path: Path) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """The hashes of a text's lines in parts, each with the number of its first line."""
    lines, first_number = LineHashes(), 1
    for piece, ends in line_pieces(file_blocks(path)):
        lines.add(piece.split(), ends=ends)
        if len(lines) == _BATCH:
            yield first_number, lines.hashes()
            first_number += len(lines)
            lines.clear()
    yield first_number, lines.hashes()
