import codecs

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lmtrain.corpus.text import TextRules, is_punctuation, mark_lines
from lmtrain.errors import DataError

# Letters of one to four bytes, one that grows when lower-cased, spaces that are no ASCII whitespace.
ALPHABET = "abΣé世𝄞İ<>\u00a0\u2028\x1c \t\r\v\f\n\n"

RULES = TextRules()


def blocks_of(text: bytes, size: int) -> list[bytes]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def tokens(text: bytes, rules: TextRules = RULES, block_size: int = 7) -> list[str]:
    marked = mark_lines(blocks_of(text, block_size), rules, "text")
    return [word.decode() for part in marked for word in part.split()]


def reference_tokens(text: str) -> list[str]:
    lines = text.encode().split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [word.decode() for line in lines for word in [*line.split(), b"<eos>"]]


@given(st.text(ALPHABET), st.booleans(), st.booleans(), st.integers(1, 50))
def test_words_do_not_depend_on_how_the_text_is_cut(
    text: str, has_mark: bool, lowercase: bool, block_size: int
) -> None:
    expected = reference_tokens(text.lower() if lowercase else text)
    assume(set(expected) - {"<eos>"})
    encoded = codecs.BOM_UTF8 * has_mark + text.encode()
    assert tokens(encoded, TextRules(lowercase), block_size) == expected


@given(st.text(ALPHABET), st.booleans())
def test_a_line_in_memory_splits_as_a_line_of_a_file(text: str, lowercase: bool) -> None:
    line = text.replace("\n", " ")
    rules = TextRules(lowercase)
    assert rules.split("x" + line) == tokens(("x" + line).encode(), rules)[:-1]


def test_a_line_of_arguments_may_hold_bytes_that_are_not_utf8() -> None:
    assert TextRules(lowercase=True).split("A \udcff\udcfe B") == ["a", "\udcff\udcfe", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\nc\n", "a b <eos> c <eos>"),
        ("a b\nc", "a b <eos> c <eos>"),
        ("a\n\n \nb\n", "a <eos> <eos> <eos> b <eos>"),
        ("a b\r\nc\r\n", "a b <eos> c <eos>"),
        ("a ", "a <eos>"),
        ("\ufeffa b\n", "a b <eos>"),
        ("a\n\ufeffb\n", "a <eos> \ufeffb <eos>"),
        ("New York\u00a0City\n", "New York\u00a0City <eos>"),
    ],
)
def test_lines_and_words(text: str, expected: str) -> None:
    assert tokens(text.encode()) == expected.split(" ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "text: empty"),
        (b" \n\r\n\t", "text: empty"),
        (codecs.BOM_UTF8 + b"\n", "text: empty"),
        (b"a b\nc \0d\n", "text:2: binary, not text: a NUL at byte 3 of the line"),
        (b"a b\n\ncaf\xe9 \n", "text:3: not UTF-8 at byte 4 of the line (0xe9)"),
        ("é é é é é é ".encode() + b"\xff\n", "text:1: not UTF-8 at byte 19 of the line (0xff)"),
        (codecs.BOM_UTF8 + b"a \xff\n", "text:1: not UTF-8 at byte 6 of the line (0xff)"),
        (b"a\xc3", "text:1: not UTF-8 at byte 2 of the line (0xc3)"),
        ("a b\n".encode("utf-16"), "text: UTF-16, not UTF-8"),
        (codecs.BOM_UTF32_LE + "a b\n".encode("utf-32-le"), "text: UTF-32, not UTF-8"),
        (b"a\nb <eos>\n", "text:2: the text itself holds <eos>"),
    ],
)
@pytest.mark.parametrize("block_size", [1, 5, 1000])
def test_bad_text_is_refused_with_its_place(text: bytes, message: str, block_size: int) -> None:
    with pytest.raises(DataError) as error:
        tokens(text, block_size=block_size)
    assert str(error.value).startswith(message)


def test_lower_casing_cannot_smuggle_in_an_end_of_line() -> None:
    with pytest.raises(DataError, match=r"text:1: the text itself holds <eos>"):
        tokens(b"a <EOS>\n", TextRules(lowercase=True))
    assert tokens(b"a <EOS> x<eos>\n") == ["a", "<EOS>", "x<eos>", "<eos>"]


def test_a_file_without_whitespace_does_not_fill_the_memory() -> None:
    endless = iter(lambda: b"x" * 100_000, b"")
    with pytest.raises(DataError, match="a word of more than 1,048,576 bytes"):
        list(mark_lines(endless, RULES, "text"))


def test_rules_have_short_names() -> None:
    assert [TextRules(lowercase).name for lowercase in (False, True)] == ["ws", "ws+lower"]
    names = [TextRules(lowercase, "en").name for lowercase in (False, True)]
    assert names == ["moses-en", "moses-en+lower"]


def test_punctuation_can_be_left_out_of_a_text() -> None:
    rules = TextRules(lowercase=True, penn=True, no_punctuation=True)
    assert rules.name == "penn+lower+nopunct"
    for size in (1, 7, 100):
        found = tokens("It's 5 % (of it).\n...\nU.S. — and\n".encode(), rules, size)
        assert " ".join(found) == "it 's 5 % of it <eos> <eos> u.s. and <eos>"
    assert rules.words("No, <unk> !", "line 1") == ["no", "<unk>"]
    with pytest.raises(DataError, match="empty, there is no word in it"):
        tokens(b"...\n", rules)


def test_signs_and_genitives_are_no_punctuation() -> None:
    marks = [",", ".", "--", "...", "``", "''", "`", "-LRB-", "-lrb-", "\u2014", "?!", "\u201c"]
    others = ["%", "$", "&", "#", "'", "a.", "'s", "<unk>", "-5", "\\*", "+", "n't"]
    assert [is_punctuation(token) for token in marks + others] == [True] * len(marks) + [False] * len(others)
