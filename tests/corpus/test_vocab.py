import gzip
import hashlib
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.corpus.corpus import build_vocabulary
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import EOS, UNK, Vocabulary, read_vocabulary, read_word_list
from lmtrain.errors import DataError, ModelError

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda word: word.encode().split() == [word.encode()] and "\0" not in word
)


def test_words_are_ordered_by_count_then_code_point() -> None:
    counts = {"b": 2, "a": 2, "é": 2, "Z": 2, EOS: 4, "c": 5, UNK: 3, "d": 1}
    assert Vocabulary.from_counts(counts).words == ("c", EOS, UNK, "Z", "a", "b", "é", "d")


def test_words_may_be_counted_as_bytes() -> None:
    counts = {"世": 2, "é": 2, "𝄞": 2, EOS: 1}
    as_bytes = {word.encode(): count for word, count in reversed(counts.items())}
    assert Vocabulary.from_counts(as_bytes) == Vocabulary.from_counts(counts)


@pytest.mark.parametrize(
    ("max_vocab", "min_count", "expected"),
    [
        (None, 1, ("a", EOS, "b", "c", "d", UNK)),
        (None, 2, ("a", EOS, "b", "c", UNK)),
        (None, 3, ("a", EOS, "b", UNK)),
        (2, 1, ("a", EOS, "b", UNK)),
        (1, 3, (UNK, "a", EOS)),  # <unk> stands for b, c and d: 7 tokens
    ],
)
def test_limits_leave_out_rare_words_but_never_the_specials(
    max_vocab: int | None, min_count: int, expected: tuple[str, ...]
) -> None:
    counts = {"a": 6, "b": 4, "c": 2, "d": 1, EOS: 5}
    assert Vocabulary.from_counts(counts, max_vocab, min_count).words == expected


@pytest.mark.parametrize("counts", [{"a": 2, "b": 2, EOS: 9}, {UNK: 5, EOS: 9}])
def test_no_vocabulary_left(counts: dict[str, int]) -> None:
    with pytest.raises(DataError, match="no vocabulary left: max_vocab=7 and min_count=3"):
        Vocabulary.from_counts(counts, max_vocab=7, min_count=3)


@given(st.lists(WORDS, unique=True), st.data())
def test_file_round_trip(words: list[str], data: st.DataObject) -> None:
    vocab = Vocabulary(tuple(data.draw(st.permutations(sorted({*words, UNK, EOS})))))
    read = Vocabulary.from_bytes(vocab.to_bytes())
    assert read == vocab
    assert (len(read), read.sha256) == (len(vocab), vocab.sha256)


def test_file_has_one_word_a_line_and_its_hash_is_that_of_the_vocabulary() -> None:
    vocab = Vocabulary(("a", UNK, "b\u2028c", EOS))
    content = "a\n<unk>\nb\u2028c\n<eos>\n".encode()
    assert vocab.to_bytes() == content
    assert vocab.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n<unk>\n", "<eos> is missing"),
        (b"a\n<eos>\n", "<unk> is missing"),
        (b"<unk>\na\n<eos>\na\n", "line 2: 'a' stands on line 4 too"),
        (b"<unk>\n\n<eos>\n", "line 2: '' is empty"),
        (b"<unk>\na b\n<eos>\n", "line 2: 'a b' is empty, or holds whitespace"),
        (b"<unk>\r\n<eos>\r\n", r"line 1: '<unk>\\r' is empty, or holds whitespace"),
        (b"<unk>\n<eos>\na\0\n", "line 3: .* NUL"),
        (b"<unk>\n<eos>\ncaf\xe9\n", "utf-8"),
        (b"<unk>\n<eos>\na", "cut off"),
        (b"", "cut off"),
    ],
)
def test_a_damaged_file_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=rf"^step-1/vocab\.txt: .*{message}"):
        Vocabulary.from_bytes(content, "step-1/vocab.txt")


def test_ids() -> None:
    vocab = Vocabulary(("the", EOS, UNK, "café"))
    assert (vocab.eos_id, vocab.unk_id, len(vocab)) == (1, 2, 4)
    assert [vocab.id_of(word) for word in ("café", "cafe", "\udcff", UNK)] == [3, 2, 2, 2]
    assert "café" in vocab
    assert "cafe" not in vocab
    assert vocab.encode_line(["the", "cafe"]) == [0, 2, 1]
    assert vocab.encode_line([]) == [1]
    assert vocab.encode_text("the café <eos>\n".encode()).tolist() == [0, 3, 1]
    assert vocab.decode([0, 2, 1]) == ["the", UNK, EOS]


def test_a_vocabulary_does_not_change() -> None:
    vocab = Vocabulary((UNK, EOS))
    with pytest.raises(FrozenInstanceError):
        vocab.words = ("a",)  # type: ignore[misc]


@pytest.mark.parametrize(
    "content",
    [
        b"a\nb\n\xc3\xa9\xc2\xa0\n",
        b"\xef\xbb\xbfa\r\nb\r\n\xc3\xa9\xc2\xa0",
        b"a 3\nb 2\n\xc3\xa9\xc2\xa0 1\n",  # fairseq, OpenNMT
        b"a\t-3.25\nb\t0\n\xc3\xa9\xc2\xa0\t-1e-05\n",  # SentencePiece
        gzip.compress(b"a\nb\n\xc3\xa9\xc2\xa0\n", mtime=0),
    ],
)
def test_lists_of_words(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    assert read_word_list(path) == {"a", "b", "é\u00a0"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\nthe cat\n", r"words\.txt:2: 2 words; one word a line"),
        (b"the cat sees a dog\n", r"words\.txt:1: 5 words; one word a line"),
        (b"a\rb\r", r"words\.txt:1: a carriage return"),
        (b"a\ncaf\xe9\n", r"words\.txt:2: not UTF-8 at byte 4"),
        (b"", r"words\.txt: empty"),
    ],
)
def test_what_is_no_list_of_words_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_word_list(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<unk>\nthe\n<eos>\n", "<unk> the <eos>"),
        ("the\n</s>\n<s>\n<UNK>\n", "the <eos> <s> <unk>"),
        ("<eps> 0\n</s> 4\n<oov> 2\r\n#0 3\nthe\t1\n", "<eps> the <unk> #0 <eos>"),
        ("<blank>\n[UNK]\n<sos/eos>\n</s>\n", "<blank> <unk> <sos/eos> <eos>"),
        ("<eos>\n</s>\n<UNK>\n<unk>\n", "<eos> </s> <UNK> <unk>"),
    ],
)
def test_fixed_words_keep_their_ids(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content.encode())
    assert read_vocabulary(path).words == tuple(words.split())


def test_the_words_that_are_ours_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("a\n.\n</s>\n?\n")
    assert read_vocabulary(path, unk="?", eos=".").words == ("a", "<eos>", "</s>", "<unk>")
    with pytest.raises(DataError, match="!! is there, and a model needs an unknown word"):
        read_vocabulary(path, unk="!!")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\n\n", r":2: expected a word a line or, on all lines, 'word id'; here are 0"),
        ("a 0\nb\n", r":2: expected a word a line or, on all lines, 'word id'; here are 1"),
        ("a\nb 1\n", r":2: expected a word a line"),
        ("a 0 0\n", r":1: expected a word a line"),
        ("a 0\nb x\n", r":2: 'x' is no id"),
        ("a 0\nb -1\n", r":2: '-1' is no id"),
        ("a 0\nb 0\n", r":2: id 0 is that of 'a' too"),
        ("a 0\nb 2\n", r": no word has the id 1; ids go from 0 to 2 without a gap"),
        ("a 1\nb 2\n", r": no word has the id 0;"),
        ("a\n<eos>\n<unk>\na\n", r":4: 'a' stands on line 1 too"),
        ("a\n<eos>\n", r": none of <unk>, <UNK>, <oov>, <OOV>, \[UNK\] is there"),
        ("a\n<unk>\n", r": none of <eos>, </s>, <sos/eos>, \[SEP\] is there, .* an end of lines"),
    ],
)
def test_what_is_no_fixed_vocabulary_is_refused(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_vocabulary(path)


@pytest.mark.skipif(not DATA.exists(), reason="needs the real corpora, which are not bundled")
@pytest.mark.parametrize(("corpus", "size"), [("ptb", 10_000), ("wikitext-2", 33_278)])
def test_real_corpora(corpus: str, size: int, tmp_path: Path) -> None:
    path = DATA / corpus / "train.txt"
    vocab = build_vocabulary([path], TextRules(), cache_dir=tmp_path)
    assert len(vocab) == size
    assert vocab.words[0] == "the"
