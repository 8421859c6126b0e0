import hashlib
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lmtrain.corpus import cache, corpus
from lmtrain.corpus.corpus import build_vocabulary, encode_text, load_corpus
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import EOS, UNK, Vocabulary
from lmtrain.errors import DataError, StorageError

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
RULES = TextRules()
VOCAB = Vocabulary(("a", EOS, "b", "é", UNK))
TEXT = "a b é\nx a\n\n<unk> b"
IDS = [0, 2, 3, 1, 4, 0, 1, 1, 4, 2, 1]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def texts_unread(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Files just written count as old; once called, no text can be read any more."""

    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} is read")

    def forbid() -> None:
        monkeypatch.setattr(cache, "file_blocks", refuse)
        monkeypatch.setattr(corpus, "file_blocks", refuse)

    monkeypatch.setattr(cache, "_TIMESTAMP_TICK_NS", -1_000_000_000)
    return forbid


def test_known_text(text: Path, tmp_path: Path) -> None:
    encoded = load_corpus([text], VOCAB, RULES, tmp_path)
    assert encoded.ids.tolist() == IDS
    assert (encoded.num_tokens, encoded.num_lines, encoded.num_oov) == (11, 4, 2)
    assert encoded.line_ends.tolist() == [3, 6, 7, 10]
    assert encoded.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert encoded.paths == (text,)


def test_ids_are_a_read_only_memory_map(text: Path, tmp_path: Path) -> None:
    ids = load_corpus([text], VOCAB, RULES, tmp_path).ids
    assert isinstance(ids, np.memmap)
    assert (ids.dtype, ids.ndim, ids.flags.writeable) == (np.int32, 1, False)


def test_several_files_follow_each_other(text: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("b\n")
    both = load_corpus([text, other], VOCAB, RULES, tmp_path)
    turned = load_corpus([other, text], VOCAB, RULES, tmp_path)
    assert both.ids.tolist() == [*IDS, 2, 1]
    assert turned.ids.tolist() == [2, 1, *IDS]
    assert both.sha256 != turned.sha256


def test_line_ends_and_counts_do_not_depend_on_how_ids_are_scanned(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "_SCAN_TOKENS", 3)
    encoded = load_corpus([text], VOCAB, RULES, tmp_path)
    assert encoded.line_ends.tolist() == [3, 6, 7, 10]
    assert encoded.line_ends.dtype == np.int64
    assert encoded.word_counts(6).tolist() == [2, 4, 2, 1, 2, 0]


@given(st.text("abcé世\u00a0 \t\r\n", min_size=1), st.integers(1, 20), st.booleans())
def test_decoding_gives_the_words_back_but_for_unknown_ones(
    content: str, block_size: int, lowercase: bool
) -> None:
    data = content.encode()
    assume(data.strip())
    blocks = [data[i : i + block_size] for i in range(0, len(data), block_size)]
    ids = np.concatenate(list(encode_text(blocks, VOCAB, TextRules(lowercase), "text")))
    lines = data.removesuffix(b"\n").split(b"\n")
    words = [word.decode() for line in lines for word in [*line.split(), EOS.encode()]]
    assert VOCAB.decode(ids) == [word if word in VOCAB else UNK for word in words]


def test_a_second_start_reads_no_text(text: Path, tmp_path: Path, texts_unread: Callable[[], None]) -> None:
    vocab = build_vocabulary([text], RULES, cache_dir=tmp_path)
    first = load_corpus([text], vocab, RULES, tmp_path)
    texts_unread()
    assert build_vocabulary([text], RULES, cache_dir=tmp_path) == vocab
    assert build_vocabulary([text], RULES, 2, 2, tmp_path).words == (EOS, UNK, "a", "b")
    second = load_corpus([text], vocab, RULES, tmp_path)
    assert second.ids.tolist() == first.ids.tolist()
    assert (second.num_lines, second.num_oov) == (first.num_lines, first.num_oov)
    assert second.sha256 == first.sha256


def test_a_copy_of_a_text_shares_its_entry(text: Path, tmp_path: Path) -> None:
    load_corpus([text], VOCAB, RULES, tmp_path)
    copy = tmp_path / "copy.txt"
    copy.write_bytes(text.read_bytes())
    assert load_corpus([copy], VOCAB, RULES, tmp_path).paths == (copy,)
    assert len(list(tmp_path.glob("ids/*.npy"))) == 1


def test_another_text_vocabulary_or_rule_is_another_entry(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a B\n")
    assert load_corpus([path], VOCAB, RULES, tmp_path).ids.tolist() == [0, 4, 1]
    assert load_corpus([path], VOCAB, TextRules(lowercase=True), tmp_path).ids.tolist() == [0, 2, 1]
    assert load_corpus([path], Vocabulary(("B", EOS, UNK)), RULES, tmp_path).ids.tolist() == [2, 0, 1]
    path.write_text("b B\n")
    assert load_corpus([path], VOCAB, RULES, tmp_path).ids.tolist() == [2, 4, 1]


def put(path: Path, start: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[start : start + len(data)] = data
    path.write_bytes(content)


def change_a_digit(record: Path) -> None:
    """Of the number of lines, which would be wrong from then on."""
    content = record.read_text()
    assert '"num_lines": 4' in content
    record.write_text(content.replace('"num_lines": 4', '"num_lines": 5'))


def rewrite_facts(path: Path, **changes: object) -> None:
    record = json.loads(path.read_bytes())
    record["facts"] |= changes
    path.write_text(json.dumps(record))


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "ids missing": lambda ids, record: ids.unlink(),
    "ids empty": lambda ids, record: ids.write_bytes(b""),
    "ids cut off": lambda ids, record: ids.write_bytes(ids.read_bytes()[:-4]),
    "ids too long": lambda ids, record: ids.write_bytes(ids.read_bytes() + b"\0\0\0\0"),
    "ids of another type": lambda ids, record: np.save(ids, np.array(IDS, ">i4")),
    "header damaged": lambda ids, record: ids.write_bytes(b"\0" * 20 + ids.read_bytes()[20:]),
    "end not written": lambda ids, record: ids.write_bytes(ids.read_bytes()[:-4] + b"\0\0\0\0"),
    "some ids zeroed": lambda ids, record: put(ids, 128, bytes(12)),
    "id out of range": lambda ids, record: put(ids, 130, b"\xff"),
    "one bit of the last id": lambda ids, record: put(ids, 128 + 40, b"\0"),
    "a digit of the record": lambda ids, record: change_a_digit(record),
    "foreign file": lambda ids, record: ids.write_text("hello"),
    "record missing": lambda ids, record: record.unlink(),
    "record cut off": lambda ids, record: record.write_bytes(record.read_bytes()[:-9]),
    "other count": lambda ids, record: rewrite_facts(record, num_tokens=10),
    "no count": lambda ids, record: rewrite_facts(record, num_tokens=None),
    "foreign facts": lambda ids, record: record.write_text(
        json.dumps(json.loads(record.read_bytes()) | {"facts": {}})
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_made_again(damage: str, text: Path, tmp_path: Path) -> None:
    load_corpus([text], VOCAB, RULES, tmp_path)
    (ids,), (record,) = tmp_path.glob("ids/*.npy"), tmp_path.glob("ids/*.json")
    sound = ids.read_bytes(), record.read_bytes()
    DAMAGES[damage](ids, record)
    encoded = load_corpus([text], VOCAB, RULES, tmp_path)
    assert encoded.ids.tolist() == IDS
    assert (encoded.num_lines, encoded.num_oov) == (4, 2)
    assert (ids.read_bytes(), record.read_bytes()) == sound


@pytest.mark.parametrize("content", [None, b"", b"7 a\n", b"x"])
def test_damaged_counts_are_made_again(content: bytes | None, text: Path, tmp_path: Path) -> None:
    vocab = build_vocabulary([text], RULES, cache_dir=tmp_path)
    (counts,) = tmp_path.glob("counts/*.txt")
    sound = counts.read_bytes()
    if content is None:
        counts.unlink()
    else:
        counts.write_bytes(content)
    assert build_vocabulary([text], RULES, cache_dir=tmp_path) == vocab
    assert counts.read_bytes() == sound


def test_built_vocabulary_is_that_of_the_files(text: Path, tmp_path: Path) -> None:
    text.write_text("a A b\nB b c\n")
    for rules, words in ((RULES, "a A b B b c"), (TextRules(lowercase=True), "a a b b b c")):
        counts = Counter([*words.split(), EOS, EOS])
        for max_vocab, min_count in ((None, 1), (2, 1), (None, 2)):
            expected = Vocabulary.from_counts(counts, max_vocab, min_count)
            assert build_vocabulary([text], rules, max_vocab, min_count, tmp_path) == expected


def test_encoding_at_once_does_no_harm(text: Path, tmp_path: Path) -> None:
    text.write_text(TEXT * 20_000, encoding="utf-8")
    folder = tmp_path / "cache"
    with ThreadPoolExecutor(4) as pool:
        encoded = list(pool.map(load_corpus, repeat([text], 4), repeat(VOCAB), repeat(RULES), repeat(folder)))
    assert len({each.ids.tobytes() for each in encoded}) == 1
    assert sorted(item.suffix for item in folder.rglob("*.*")) == [".json", ".npy"]


def test_the_cache_folder_can_be_set_by_the_environment(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMTRAIN_CACHE", str(tmp_path / "elsewhere"))
    build_vocabulary([text], RULES)
    load_corpus([text], VOCAB, RULES)
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {"counts", "ids"}


def test_a_cache_that_cannot_be_written_is_told_with_a_way_out(text: Path) -> None:
    with pytest.raises(StorageError, match="LMTRAIN_CACHE"):
        load_corpus([text], VOCAB, RULES, text)
    with pytest.raises(StorageError, match="LMTRAIN_CACHE"):
        build_vocabulary([text], RULES, cache_dir=text)


def test_a_text_that_changes_while_it_is_read_is_refused(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "content_hash", lambda path, cache_dir: "0" * 64)
    with pytest.raises(DataError, match=r"text\.txt: changed while it was being read"):
        load_corpus([text], VOCAB, RULES, tmp_path)
    assert list((tmp_path / "ids").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"a\n\0\n", "binary"),
        (b"a\ncaf\xe9\n", "not UTF-8"),
    ],
)
def test_bad_texts_are_named_and_leave_nothing_in_the_cache(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"bad\.txt:.* {message}"):
        load_corpus([path], VOCAB, RULES, tmp_path)
    with pytest.raises(DataError, match=rf"bad\.txt:.* {message}"):
        build_vocabulary([path], RULES, cache_dir=tmp_path)
    assert [item for item in tmp_path.rglob("*") if item.is_file()] == [path]


def test_no_file_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no text file"):
        load_corpus([], VOCAB, RULES, tmp_path)


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    peaks = []
    for repeats in (20_000, 200_000):
        path.write_text("a b c\n" * repeats)
        tracemalloc.start()
        load_corpus([path], build_vocabulary([path], RULES, cache_dir=tmp_path), RULES, tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.skipif(not DATA.exists(), reason="needs the real corpora, which are not bundled")
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("ptb", {"train": (42_068, 929_589), "valid": (3_370, 73_760), "test": (3_761, 82_430)}),
        ("wikitext-2", {"train": (36_718, 2_088_628), "valid": (3_760, 217_646), "test": (4_358, 245_569)}),
    ],
)
def test_real_corpora(name: str, counts: dict[str, tuple[int, int]], tmp_path: Path) -> None:
    vocab = build_vocabulary([DATA / name / "train.txt"], RULES, cache_dir=tmp_path)
    for split, expected in counts.items():
        path = DATA / name / f"{split}.txt"
        encoded = load_corpus([path], vocab, RULES, tmp_path)
        assert (encoded.num_lines, encoded.num_tokens) == expected
        assert encoded.line_ends.size == encoded.num_lines
    words = path.read_text(encoding="utf-8").replace("\n", f" {EOS} ").split()
    assert vocab.decode(encoded.ids) == [word if word in vocab else UNK for word in words]
    assert encoded.num_oov == words.count(UNK)
