import bz2
import gzip
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmtrain.corpus.cache import content_hash
from lmtrain.corpus.corpus import build_vocabulary, load_corpus
from lmtrain.corpus.text import TextRules
from lmtrain.errors import DataError
from lmtrain.files.compression import text_name
from lmtrain.files.text_input import file_blocks

RULES = TextRules()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}
every_format = pytest.mark.parametrize("suffix", COMPRESS)


def text_of(path: Path) -> bytes:
    return b"".join(file_blocks(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.text("abé \n", min_size=1).filter(str.strip), st.sampled_from(sorted(COMPRESS)), st.integers(0, 50))
def test_compressing_a_text_changes_neither_ids_nor_hash(
    tmp_path: Path, text: str, suffix: str, cut: int
) -> None:
    data = text.encode()
    plain, packed = tmp_path / "text.txt", tmp_path / f"text.txt{suffix}"
    plain.write_bytes(data)
    packed.write_bytes(COMPRESS[suffix](data[:cut]) + COMPRESS[suffix](data[cut:]))  # of two members
    vocab = build_vocabulary([plain], RULES, cache_dir=tmp_path / "one")
    assert build_vocabulary([packed], RULES, cache_dir=tmp_path / "two") == vocab
    corpora = [load_corpus([path], vocab, RULES, tmp_path / path.suffix) for path in (plain, packed)]
    assert corpora[0].ids.tolist() == corpora[1].ids.tolist()
    assert content_hash(packed, tmp_path) == content_hash(plain, tmp_path) == corpora[1].sha256


@every_format
def test_the_content_says_what_a_file_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(COMPRESS[suffix](b"a b\n" * 50_000))
    assert text_of(path) == b"a b\n" * 50_000
    other = tmp_path / "text.gz"
    other.write_bytes(COMPRESS[suffix](b"a b\n"))
    assert text_of(other) == b"a b\n"


@every_format
def test_a_name_that_promises_too_much_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"text.txt{suffix}"
    path.write_bytes(b"plain text\n" * 3)
    with pytest.raises(DataError, match=rf"text\.txt\{suffix}: damaged, or not a \{suffix} file"):
        text_of(path)


@every_format
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    packed = COMPRESS[suffix](bytes(range(33, 126)) * 3000 + b"\n" + repr(list(range(20_000))).encode())
    path = tmp_path / f"text.txt{suffix}"
    path.write_bytes(packed[: int(len(packed) * kept)])
    with pytest.raises(DataError, match=rf"text\.txt\{suffix}: cut off"):
        text_of(path)


@every_format
def test_what_precedes_the_cut_is_handed_out(tmp_path: Path, suffix: str) -> None:
    whole = "\n".join(map(str, range(180_000))).encode()  # of more than one block of bzip2
    path = tmp_path / f"text{suffix}"
    packed = COMPRESS[suffix](whole)
    path.write_bytes(packed[:-20])
    found: list[bytes] = []
    with pytest.raises(DataError, match="cut off"):
        found.extend(file_blocks(path, 1 << 24))
    text = b"".join(found)
    assert len(text) > 500_000
    assert whole.startswith(text)


@every_format
def test_a_damaged_file_is_refused(tmp_path: Path, suffix: str) -> None:
    packed = bytearray(COMPRESS[suffix](repr(list(range(20_000))).encode()))
    packed[len(packed) // 2] ^= 0xFF
    packed[len(packed) // 2 + 1] ^= 0xFF
    if suffix == ".zst":  # which has no checksum by default
        packed[4:8] = b"\xff\xff\xff\xff"
    path = tmp_path / f"text.txt{suffix}"
    path.write_bytes(packed)
    with pytest.raises(DataError, match=rf"text\.txt\{suffix}: (damaged|cut off)"):
        text_of(path)


@every_format
def test_what_follows_a_compressed_text_must_be_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"text.txt{suffix}"
    path.write_bytes(COMPRESS[suffix](b"a b\n") + b"garbage")
    with pytest.raises(DataError, match=r"damaged|cut off"):
        text_of(path)


@every_format
def test_a_bomb_takes_no_memory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bomb{suffix}"
    pair = b"aa" if suffix == ".bz2" else b"a "  # of others, bzip2 takes half a minute
    path.write_bytes(COMPRESS[suffix](pair * 25_000_000))
    tracemalloc.start()
    try:
        assert sum(map(len, file_blocks(path))) == 50_000_000
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_an_xz_header_that_asks_for_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.xz"
    packed = bytearray(lzma.compress(b"a b\n"))
    # The block header: size, flags, filter id, size of properties, dictionary size; then its CRC32.
    start = 12
    size = 4 * (packed[start] + 1)
    packed[start + 4] = 36  # 2^30 bytes
    packed[start + size - 4 : start + size] = crc32(packed[start : start + size - 4]).to_bytes(4, "little")
    path.write_bytes(packed)
    with pytest.raises(DataError, match=r"[Mm]emory"):
        text_of(path)


@pytest.mark.parametrize("name", ["train.txt", "train.txt.gz", "train.txt.bz2", "train.txt.zst"])
def test_a_text_has_its_name_without_the_compression(name: str) -> None:
    assert text_name(Path("x") / name) == "train.txt"
