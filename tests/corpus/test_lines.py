"""Lines as they come in: whole ones, at once, wherever the bytes are cut."""

import os
import threading
from collections.abc import Iterator
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.corpus.lines import LineGroup, blocks_as_they_come, joined, line_groups
from lmtrain.errors import DataError


def groups(*blocks: bytes) -> list[LineGroup]:
    return list(line_groups(blocks, "text"))


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), data=st.data())
def test_wherever_a_text_is_cut_its_lines_are_the_same(text: str, data: st.DataObject) -> None:
    whole = ("x" + text).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    found = groups(*pieces)
    lines = [line for group in found for line in group.lines]
    assert lines == ("x" + text).removesuffix("\n").split("\n")
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
        ([b""], "text: empty"),
        ([], "text: empty"),
        ([b"one\nt\xfco\n"], r"text:2: not UTF-8 at byte 2 of the line \(0xfc\)"),
        ([b"one\n", b"two\nthr", b"ee \xff\n"], r"text:3: not UTF-8 at byte 7"),
        ([b"one\ntwo \xc3"], "text:2: not UTF-8 at byte 5"),
        ([b"one\nt\0o\n"], "text:2: binary"),
        ([b"\xff\xfeo\0"], "text: UTF-16"),
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
        groups = line_groups(blocks_as_they_come(source), "pipe")
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
        blocks = list(blocks_as_they_come(source))
    thread.join()
    assert b"".join(blocks) == text
    assert len(blocks) < 400  # and not one for each write


@given(st.lists(st.binary(max_size=9)))
def test_what_is_in_memory_comes_at_once(parts: list[bytes]) -> None:
    text = b"".join(parts)
    assert list(blocks_as_they_come(BytesIO(text))) == ([text] if text else [])
    assert b"".join(joined(parts)) == text


def test_small_blocks_are_joined() -> None:
    def blocks() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 1000

    found = list(joined(blocks()))
    assert sum(map(len, found)) == 1_000_000
    assert len(found) == 4
