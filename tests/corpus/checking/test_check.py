import codecs
import gzip
import hashlib
import json
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from lmtrain.corpus.checking.check import check_text
from lmtrain.corpus.checking.text_report import Fault, TextReport
from lmtrain.corpus.corpus import build_vocabulary, load_corpus
from lmtrain.corpus.text import TextRules, mark_lines
from lmtrain.errors import DataError

function_scoped = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "text.txt"


def report_of(path: Path, text: bytes, **options: object) -> TextReport:
    path.write_bytes(text)
    return check_text(path, **options)  # type: ignore[arg-type]


def kinds(report: TextReport) -> list[str]:
    return [odd.kind for odd in report.suspicions]


def test_figures(path: Path) -> None:
    text = b"The cat saw the <unk>\n\nthe cat saw the dog and it the"
    report = report_of(path, text)
    assert report.is_usable
    assert (report.num_bytes, report.sha256) == (len(text), hashlib.sha256(text).hexdigest())
    assert (report.num_lines, report.num_empty_lines, report.num_words, report.num_tokens) == (3, 1, 13, 16)
    assert (report.num_types, report.num_types_lowercase, report.num_singletons) == (8, 7, 5)
    assert (report.num_unk, report.longest_line) == (1, (3, 8))
    assert report.faults == report.suspicions == []
    assert report.unknown is report.overlap is None


def test_a_compressed_text_gives_the_same_report(path: Path, tmp_path: Path) -> None:
    text = b"a b\n" * 1000 + b"\xff\n"
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(text))
    assert check_text(packed) == report_of(path, text)


def test_every_fault_is_counted_and_the_first_are_listed(path: Path) -> None:
    lines = [
        *(b"good", b"caf\xe9 \xff", b"a <eos> b <eos>", b"a\0b\0c", b"\xc3"),
        *[b"\xff\xfe \xff \xe9t\xe9"] * 20,
    ]
    report = report_of(path, b"\n".join(lines), max_faults=7)
    assert not report.is_usable
    assert report.num_faults == 5 + 20 * 5
    assert report.faults == [
        Fault(2, 4, "not UTF-8 (0xe9)"),
        Fault(2, 6, "not UTF-8 (0xff)"),
        Fault(3, None, "holds <eos>, which every line end already stands for; remove it"),
        Fault(4, 2, "binary: a NUL"),
        Fault(5, 1, "not UTF-8 (0xc3)"),
        Fault(6, 1, "not UTF-8 (0xff)"),
        Fault(6, 2, "not UTF-8 (0xfe)"),
    ]
    assert report.num_lines == 25


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", Fault(1, None, "empty: there is no word in it")),
        (b" \n\n", Fault(1, None, "empty: there is no word in it")),
        (codecs.BOM_UTF8 + b"\n", Fault(1, None, "empty: there is no word in it")),
        ("a b\nc".encode("utf-16"), Fault(1, 1, "UTF-16, not UTF-8; convert the file")),
        (
            b"PK\x03\x04 a b\n\xff",
            Fault(1, 1, "a workbook (.xlsx, .ods) or another archive, not text; save it as text in UTF-8"),
        ),
        (codecs.BOM_UTF8 + b"a \xff\n", Fault(1, 6, "not UTF-8 (0xff)")),
        (b"a " + b"x" * 1_100_000, Fault(1, None, "a word of more than 1,048,576 bytes; is this text?")),
    ],
)
def test_a_text_that_cannot_be_used(path: Path, text: bytes, fault: Fault) -> None:
    report = report_of(path, text)
    assert (report.num_faults, report.faults) == (1, [fault])
    assert report.sha256 == hashlib.sha256(text).hexdigest()


@function_scoped
@example(text=b"BZhang")
@example(text=b"PK\x03\x04")
@example(text=b"\xd0\xcf\x11\xe0")
@given(st.binary(max_size=40) | st.text("ab<eos>\0é \n\r\t\ufeff", max_size=40).map(str.encode))
def test_usable_is_what_training_takes(path: Path, text: bytes) -> None:
    assume(not text.startswith((b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")))  # compressed
    report = report_of(path, text)
    try:
        tokens = b"".join(mark_lines([text], TextRules(), "text")).split()
    except DataError:
        assert not report.is_usable
    else:
        assert report.is_usable
        assert report.num_tokens == len(tokens)
        assert report.num_lines == tokens.count(b"<eos>")


def test_unknown_words_are_counted_as_in_evaluation(path: Path, tmp_path: Path) -> None:
    train = tmp_path / "train.txt"
    train.write_text("the cat sat\nThe dog\n")
    for rules in (TextRules(), TextRules(lowercase=True), TextRules(moses="en")):
        vocab = build_vocabulary([train], rules, cache_dir=tmp_path)
        text = b"THE cat , sat! <unk>\nbirds birds\n"
        report = report_of(path, text, vocab=frozenset(vocab.words), rules=rules, vocab_name="model")
        corpus = load_corpus([path], vocab, rules, tmp_path)
        assert report.unknown is not None
        assert report.unknown.num_oov == corpus.num_oov
        assert report.unknown.oov_rate == corpus.num_oov / corpus.num_tokens
        assert report.unknown.most_frequent[0] == ("birds", 2)


def test_unknown_words_of_a_text_with_faults_are_not_counted(path: Path) -> None:
    assert report_of(path, b"a\xff\n", vocab=frozenset("a")).unknown is None


@pytest.mark.parametrize(
    ("kind", "text", "count"),
    [
        ("carriage_returns", b"a b\r\nc\r\nd\n", 2),
        ("inner_carriage_returns", b"a b\rc\rd\r", 2),
        ("inner_carriage_returns", b"a b\rc\nd\n", 1),
        ("inner_carriage_returns", b"a " * 40_000 + b"\r" + b"a " * 40_000 + b"\n", 1),
        ("form_feeds", b"a\fb\n\v\nc\n", 2),
        ("runs_of_spaces", b"a  b\nc\td\n  e f  \n", 2),
        ("glued_full_stops", b"It ends.\nSo .\nAnd so on.\n", 2),
        ("long_lines", b"a " * 1001 + b"\nb\n", 1),
        ("repeated_lines", b"a b c d e\nf\na b c d e\n", 1),
        ("glued_punctuation", b"Well, he said\n", 1),
    ],
)
def test_a_line_that_looks_odd_is_told(path: Path, kind: str, text: bytes, count: int) -> None:
    report = report_of(path, text)
    assert report.is_usable
    found = {suspicion.kind: suspicion.count for suspicion in report.suspicions}
    assert found.pop(kind) == count
    assert set(found) <= {"long_lines"}


def test_lines_of_ordinary_text_are_not_odd(path: Path) -> None:
    text = b" = Title = \n \n He came to the U.S. \n \n The end . \n" + b"a b\n" * 40
    assert kinds(report_of(path, text)) == []


def test_leakage(path: Path, tmp_path: Path) -> None:
    train = tmp_path / "train.txt"
    train.write_text("x\nthis very line leaked out\n")
    report = report_of(path, b"a\nthis very  line leaked out\n", train=[train])
    assert report.overlap is not None
    assert (report.overlap.share, report.overlap.examples) == (1.0, [(2, str(train), 2)])
    assert json.loads(json.dumps(report.to_dict()))["overlap"]["num_shared_long"] == 1


def test_a_long_line_takes_no_memory(path: Path) -> None:
    text = b"some words of a text without any line " * 200_000
    path.write_bytes(text)
    tracemalloc.start()
    try:
        report = check_text(path)
        assert tracemalloc.get_traced_memory()[1] < len(text) / 2
    finally:
        tracemalloc.stop()
    assert (report.num_words, report.num_lines) == (8 * 200_000, 1)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.txt: no such file"):
        check_text(tmp_path / "gone.txt")


@pytest.mark.parametrize(
    ("name", "lines", "tokens", "types"),
    [("ptb/valid", 3_370, 73_760, 6_021), ("wikitext-2/valid", 3_760, 217_646, 13_776)],
)
def test_real_corpora_are_quiet(shared_data: Path, name: str, lines: int, tokens: int, types: int) -> None:
    report = check_text(shared_data / f"{name}.txt")
    assert report.is_usable
    assert (report.num_lines, report.num_tokens) == (lines, tokens)
    assert {"glued_punctuation", "glued_full_stops", "escapes"}.isdisjoint(kinds(report))


def test_faults_of_one_kind_are_listed_up_to_the_same_number(path: Path) -> None:
    report = report_of(path, b"a\0\n" * 20, max_faults=7)
    assert (report.num_faults, len(report.faults)) == (20, 7)


def test_words_that_cannot_be_decoded_are_counted_each(path: Path) -> None:
    assert report_of(path, b"\xff \xfe \xff a\n").num_words == 4


def test_a_long_word_at_the_end_of_a_line_takes_no_longer_than_others(path: Path) -> None:
    started = time.process_time()
    report = report_of(path, (b"a " + b"b" * 60_000 + b"\n") * 9 + b"a " + b"b" * 200_000 + b".\n")
    assert time.process_time() - started < 5  # it once took ten seconds a line
    assert "glued_full_stops" in kinds(report)
