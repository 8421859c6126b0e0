"""Lines as they come in: whole ones, at once, wherever the bytes are cut."""

import bz2
import codecs
import gzip
import io
import lzma
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from unittest.mock import patch

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.errors import DataError
from lmtrain.files.text_input import (
    STANDARD_INPUT,
    LineGroup,
    checked_text,
    file_blocks,
    line_groups,
    read_lines,
    regular_file_stat,
    table_lines,
)

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}
every_format = pytest.mark.parametrize("suffix", COMPRESS)


def groups(*blocks: bytes) -> list[LineGroup]:
    return list(line_groups(blocks, "text"))


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), data=st.data())
def test_wherever_a_text_is_cut_its_lines_are_the_same(text: str, data: st.DataObject) -> None:
    whole = ("x" + text).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    found = groups(*pieces)
    lines = [line for group in found for line in group.lines]
    assert lines == [line.removesuffix("\r") for line in ("x" + text).removesuffix("\n").split("\n")]
    assert [group.first_number for group in found] == [
        1 + sum(len(before.lines) for before in found[:i]) for i in range(len(found))
    ]


def test_a_line_is_handed_on_as_soon_as_it_is_complete() -> None:
    blocks = iter([b"one\ntwo\nthr", b"ee\n", b"four"])
    found = line_groups(blocks, "text")
    assert next(found) == LineGroup(1, ["one", "two"])
    assert next(blocks) == b"ee\n"  # it had not been asked for
    assert list(found) == [LineGroup(3, ["thrfour"])]


def test_a_byte_order_mark_is_dropped() -> None:
    assert groups(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n") == [LineGroup(1, ["one", "\ufefftwo"])]


def test_empty_lines_are_lines() -> None:
    assert groups(b"\n\n") == [LineGroup(1, ["", ""])]


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([b"one\nt\xfco\n"], r"text:2: not UTF-8 at byte 2 of the line \(0xfc\)"),
        ([b"one\n", b"two\nthr", b"ee \xff\n"], r"text:3: not UTF-8 at byte 7"),
        ([b"one\ntwo \xc3"], "text:2: not UTF-8 at byte 5"),
        ([b"one\nt\0o\n"], "text:2: binary"),
        ([b"\xff\xfeo\0"], "text: UTF-16.*; save it as UTF-8: of a table, 'CSV UTF-8'"),
        ([b"PK", b"\3\4\0"], r"text: a workbook \(.xlsx, .ods\) or another archive, not text; save it"),
        ([b"\xd0\xcf\x11\xe0\xa1"], r"text: a workbook \(.xls\)"),
    ],
)
def test_what_is_no_text_is_refused(blocks: list[bytes], message: str) -> None:
    with pytest.raises(DataError, match=message):
        groups(*blocks)


def test_a_line_without_end_is_refused() -> None:
    """However much more there is: it is not kept in memory."""
    read = []

    def blocks() -> Iterator[bytes]:
        yield b"one\n"
        while True:
            read.append(1 << 20)
            yield b"word " * (1 << 18)

    with pytest.raises(DataError, match=r"text:2: a line of more than 16,777,216 bytes; is this text\?"):
        list(line_groups(blocks(), "text"))
    assert sum(read) <= 17 << 20
    (group,) = groups(*[b"word "] * 200_000)
    assert len(group.lines[0].split()) == 200_000


def test_a_pipe_is_read_as_it_is_written() -> None:
    """A program that writes a line and waits for the answer is not left waiting."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        groups = read_lines(Path(f"/dev/fd/{source.fileno()}"))
        for number in range(1, 4):
            sink.write(b"word\n" * number)
            assert next(groups).lines == ["word"] * number
        sink.write(b"end")
        sink.close()
        assert next(groups).lines == ["end"]
        assert next(groups, None) is None


def test_a_pipe_that_is_full_is_read_in_large_blocks() -> None:
    reading, writing = os.pipe()
    text = b"word\n" * 400_000

    def write() -> None:
        with os.fdopen(writing, "wb") as sink:
            sink.write(text)

    thread = threading.Thread(target=write)
    with os.fdopen(reading, "rb") as source:
        thread.start()
        blocks = list(file_blocks(Path(f"/dev/fd/{source.fileno()}"), 1 << 18))
    thread.join()
    assert b"".join(blocks) == text
    assert len(blocks) < 400  # and not one for each write


@given(st.binary(max_size=99), st.integers(1, 20))
def test_standard_input_is_read_whole(data: bytes, block_bytes: int) -> None:
    data = b"x" + data
    with patch.object(sys, "stdin", io.TextIOWrapper(BytesIO(data))):
        assert b"".join(file_blocks(STANDARD_INPUT, block_bytes)) == data


@every_format
@given(text=st.text("aé世 \r\n\ufeff", max_size=30), block_bytes=st.integers(1, 40), data=st.data())
def test_the_same_lines_whatever_the_form(
    suffix: str, text: str, block_bytes: int, data: st.DataObject
) -> None:
    """Compressed or not, of one member or two, from a file or a stream, with a mark, with either line end."""
    text = "x" + text
    if data.draw(st.booleans(), "CRLF"):
        text = text.replace("\r", "").replace("\n", "\r\n")
    expected = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    raw = codecs.BOM_UTF8 * data.draw(st.booleans(), "mark") + text.encode()
    cut = data.draw(st.integers(0, len(raw)), "cut")
    raw = COMPRESS[suffix](raw[:cut]) + COMPRESS[suffix](raw[cut:])
    with patch.object(sys, "stdin", io.TextIOWrapper(BytesIO(raw))):
        assert _lines_of(STANDARD_INPUT, block_bytes) == expected
    with tempfile.NamedTemporaryFile() as file:
        file.write(raw)
        file.flush()
        assert _lines_of(Path(file.name), block_bytes) == expected
        assert [line for _, lines in read_lines(Path(file.name)) for line in lines] == expected


def _lines_of(path: Path, block_bytes: int) -> list[str]:
    groups = line_groups(file_blocks(path, block_bytes), "text")
    return [line for group in groups for line in group.lines]


@given(st.binary(max_size=20), st.integers(1, 7))
def test_a_fault_has_its_place_wherever_the_text_is_cut(tail: bytes, size: int) -> None:
    text = codecs.BOM_UTF8 + "é\naé".encode() + tail + b"\xff"
    blocks = [text[i : i + size] for i in range(0, len(text), size)]
    whole, cut = (pytest.raises(DataError), pytest.raises(DataError))
    with whole as expected:
        list(checked_text([text], "text"))
    with cut as found:
        list(checked_text(blocks, "text"))
    if b"\0" not in tail:  # which is found first in a block, whatever else is wrong with it
        assert str(found.value) == str(expected.value)


def test_lines_of_an_input(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"text\.txt: empty, there is no line in it"):
        list(read_lines(path))
    path.write_bytes(b"one\r\ntwo\n")
    assert list(table_lines(path)) == [(1, "one"), (2, "two")]
    path.write_bytes(b"one\ntwo\rthree\n")
    with pytest.raises(DataError, match=r"text\.txt:2: a carriage return within the line"):
        list(table_lines(path))


def test_file_blocks_are_the_file(tmp_path: Path) -> None:
    content = b"x" + os.urandom(100_000)
    path = tmp_path / "file"
    path.write_bytes(content)
    blocks = list(file_blocks(path))
    assert b"".join(blocks) == content
    assert len(blocks) > 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (Path.mkdir, "a directory; name"),
        (os.mkfifo, "not a regular file"),
        (
            lambda path: path.symlink_to("nowhere/text.txt"),
            "a link to nowhere/text.txt, which does not exist",
        ),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "corpus.txt"
    make(path)
    with pytest.raises(DataError) as error:
        regular_file_stat(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_an_empty_name_is_told() -> None:
    with pytest.raises(DataError, match=r"\.: a directory \(as an empty name is\)"):
        list(file_blocks(Path()))


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "corpus.txt"
    path.write_text("a\n")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"corpus\.txt: cannot be read: Permission denied"):
        list(file_blocks(path))


def test_a_name_that_the_locale_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        str(path).encode("latin-1")

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso-8859-1")
    with pytest.raises(DataError, match=r"日\.txt: no file can be named so in this locale \(iso-8859-1\)"):
        regular_file_stat(Path("日.txt"))
