"""Text files as one long array of word ids, encoded once and memory-mapped from then on."""

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lmtrain.corpus.cache import CacheEntry, checksum, content_hash, default_cache_dir, hashed, writing
from lmtrain.corpus.text import TextRules, mark_lines
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import DataError, StorageError
from lmtrain.files.text_input import Watch, file_blocks, plain_size, unwatched

_SCAN_TOKENS = 1 << 20


@dataclass(frozen=True, eq=False)
class Corpus:
    """An encoded text.

    Attributes:
        ids: All tokens, one ``<eos>`` at the end of each line; int32, shape (num_tokens,), a
            read-only memory map.
        num_lines: Lines, which is also the number of ``<eos>`` tokens.
        num_oov: Tokens scored as ``<unk>``, unknown words and literal ``<unk>`` alike.
        eos_id: The id of ``<eos>``.
        sha256: Of the text, decompressed: that of the file, or of several files' own in order.
        paths: The text files.
    """

    ids: NDArray[np.int32]
    num_lines: int
    num_oov: int
    eos_id: int
    sha256: str
    paths: tuple[Path, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens, ``<eos>`` included."""
        return self.ids.size

    @cached_property
    def line_ends(self) -> NDArray[np.int64]:
        """Where in ``ids`` the ``<eos>`` tokens are, ascending; int64, shape (num_lines,)."""
        return np.concatenate([start + np.flatnonzero(ids == self.eos_id) for start, ids in self._pieces()])

    def word_counts(self, vocab_size: int) -> NDArray[np.int64]:
        """How often each word occurs, shape (vocab_size,). Reads the whole text."""
        counts = np.zeros(vocab_size, dtype=np.int64)
        for _, ids in self._pieces():
            counts += np.bincount(ids, minlength=vocab_size)
        return counts

    def beginning(self, num_tokens: int) -> "Corpus":
        """Its first lines, one at least: about so many tokens."""
        if num_tokens >= self.num_tokens:
            return self
        num_lines = max(1, int(np.searchsorted(self.line_ends, num_tokens)))
        ids = self.ids[: self.line_ends[num_lines - 1] + 1]
        return Corpus(ids, num_lines, self.num_oov, self.eos_id, self.sha256, self.paths)

    def _pieces(self) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """Parts of ``ids`` with their starts: what is made of all at once would be an array of their size."""
        for start in range(0, self.num_tokens, _SCAN_TOKENS):
            yield start, self.ids[start : start + _SCAN_TOKENS]


def build_vocabulary(
    paths: Sequence[Path],
    rules: TextRules,
    max_vocab: int | None = None,
    min_count: int = 1,
    cache_dir: Path | None = None,
    watch: Watch = unwatched,
) -> Vocabulary:
    """The vocabulary of text files, as :meth:`Vocabulary.from_counts`; words are counted only once.

    Args:
        paths: The training text.
        rules: How text becomes words.
        max_vocab: How many words to keep, beside ``<unk>`` and ``<eos>``; None keeps all.
        min_count: Words that occur less often are left out.
        cache_dir: Where the counts are kept; by default :func:`default_cache_dir`.
        watch: Shows how far counting has come.

    Raises:
        DataError: A file is missing, empty or not UTF-8 text, or no word is left.
        StorageError: The cache folder cannot be written.
    """
    cache_dir = cache_dir or default_cache_dir()
    digests = _content_hashes(paths, cache_dir)
    entry = CacheEntry(cache_dir, "counts", {"texts": digests, "rules": rules.name})
    counts = _read_counts(entry)
    if counts is None:
        counts = Counter()
        for text in _marked_files(paths, digests, rules, "counting words of", watch):
            counts.update(text.split())
        _write_counts(entry, counts)
    return Vocabulary.from_counts(counts, max_vocab, min_count)


def load_corpus(
    paths: Sequence[Path],
    vocab: Vocabulary,
    rules: TextRules,
    cache_dir: Path | None = None,
    watch: Watch = unwatched,
) -> Corpus:
    """Opens text files as ids; they are encoded the first time only.

    Args:
        paths: The text files, in order.
        vocab: Words that are not in it become ``<unk>``.
        rules: How text becomes words.
        cache_dir: Where the ids are kept; by default :func:`default_cache_dir`.
        watch: Shows how far encoding has come.

    Raises:
        DataError: A file is missing, empty or not UTF-8 text.
        StorageError: The cache folder cannot be written.
    """
    cache_dir = cache_dir or default_cache_dir()
    digests = _content_hashes(paths, cache_dir)
    identity = {"texts": digests, "rules": rules.name, "vocabulary": vocab.sha256}
    entry = CacheEntry(cache_dir, "ids", identity)
    encoded = _open_ids(entry)
    if encoded is None:
        payload = entry.payload(".npy")
        with writing(payload) as file:
            facts = _write_ids(file, _marked_files(paths, digests, rules, "encoding", watch), vocab)
        entry.write({**facts, "crc32": checksum(payload)})
        encoded = _open_ids(entry)
    if encoded is None:
        raise StorageError(f"{cache_dir}: the cache does not give back what was written to it")
    ids, num_lines, num_oov = encoded
    return Corpus(ids, num_lines, num_oov, vocab.eos_id, _joint_hash(digests), tuple(paths))


def encode_text(
    blocks: Iterable[bytes], vocab: Vocabulary, rules: TextRules, name: str
) -> Iterator[NDArray[np.int32]]:
    """Encodes a text that is read but once, such as standard input.

    Args:
        blocks: The text in bytes, cut anywhere; see :func:`lmtrain.files.text_input.file_blocks`.
        vocab: Words that are not in it become ``<unk>``.
        rules: How text becomes words.
        name: What errors call the text.

    Yields:
        The ids, ``<eos>`` included, in order; int32, of shape (tokens,), a block's worth each.

    Raises:
        DataError: The text is empty or not UTF-8 text.
    """
    return map(vocab.encode_text, mark_lines(blocks, rules, name))


def _content_hashes(paths: Sequence[Path], cache_dir: Path) -> list[str]:
    if not paths:
        raise DataError("no text file is named")
    return [content_hash(path, cache_dir) for path in paths]


def _joint_hash(digests: Sequence[str]) -> str:
    # The hash of a single file stays what `sha256sum` prints, for anyone to check.
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _marked_files(
    paths: Sequence[Path], digests: Sequence[str], rules: TextRules, what: str, watch: Watch
) -> Iterator[bytes]:
    for path, digest in zip(paths, digests, strict=True):
        blocks = watch(_unchanged_blocks(path, digest), f"{what} {path.name}", plain_size(path))
        yield from mark_lines(blocks, rules, str(path))


def _unchanged_blocks(path: Path, sha256: str) -> Iterator[bytes]:
    """The bytes of a file; at their end, refuses them if they are not those of the hash."""
    digest = hashlib.sha256()
    yield from hashed(file_blocks(path), digest)
    if digest.hexdigest() != sha256:
        raise DataError(f"{path}: changed while it was being read; start again")


def _write_counts(entry: CacheEntry, counts: Counter[bytes]) -> None:
    payload = b"\n".join(b"%d %s" % (count, word) for word, count in counts.items())
    with writing(entry.payload(".txt")) as file:
        file.write(payload)
    entry.write({"sha256": hashlib.sha256(payload).hexdigest()})


def _read_counts(entry: CacheEntry) -> Counter[bytes] | None:
    facts = entry.read()
    if facts is None:
        return None
    try:
        payload = entry.payload(".txt").read_bytes()
    except OSError:
        return None
    if hashlib.sha256(payload).hexdigest() != facts.get("sha256"):
        return None
    fields = payload.split()
    return Counter(dict(zip(fields[1::2], map(int, fields[::2]), strict=True)))


def _npy_header(num_tokens: int) -> bytes:
    header = io.BytesIO()
    layout = {"descr": "<i4", "fortran_order": False, "shape": (num_tokens,)}
    np.lib.format.write_array_header_1_0(header, layout)
    return header.getvalue()


def _write_ids(file: BinaryIO, texts: Iterable[bytes], vocab: Vocabulary) -> dict[str, int]:
    """Writes the ids of marked texts as a ``.npy`` file and returns what was counted on the way."""
    num_tokens = num_lines = num_oov = 0
    file.write(_npy_header(0))
    for text in texts:
        ids = vocab.encode_text(text)
        file.write(ids.astype("<i4", copy=False).data)
        num_tokens += ids.size
        num_lines += int(np.count_nonzero(ids == vocab.eos_id))
        num_oov += int(np.count_nonzero(ids == vocab.unk_id))
    # The header has room for any length, so the final one takes the place of the first.
    file.seek(0)
    file.write(_npy_header(num_tokens))
    return {"num_tokens": num_tokens, "num_lines": num_lines, "num_oov": num_oov}


def _open_ids(entry: CacheEntry) -> tuple[NDArray[np.int32], int, int] | None:
    """The memory map, the number of lines and of OOV tokens; None if a part is missing or damaged."""
    facts = entry.read()
    path = entry.payload(".npy")
    try:
        if facts is None or checksum(path) != facts["crc32"]:
            return None
        ids: NDArray[np.int32] = np.load(path, mmap_mode="r", allow_pickle=False)
        return ids, facts["num_lines"], facts["num_oov"]
    except (KeyError, OSError, ValueError):
        return None
