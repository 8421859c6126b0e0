"""Prompts are lines: as they stand, as they come, and refused with their place."""

import io
import os
import threading
from pathlib import Path

import pytest

from lmtrain.corpus.prompts import file_prompts, lines_of, read_prompts
from lmtrain.errors import DataError


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"the cat\nthe dog\n", ["the cat", "the dog"]),
        (b"the cat\nthe dog", ["the cat", "the dog"]),
        (b"\n\nthe\n", ["", "", "the"]),
        (b" the  cat \r\nthe\r\n", [" the  cat ", "the"]),
        (b"\xef\xbb\xbfthe\n\xef\xbb\xbfcat\n", ["the", "\ufeffcat"]),
        ("café\x0b\u2028\n".encode(), ["café\x0b\u2028"]),
    ],
)
def test_each_line_is_a_prompt(data: bytes, lines: list[str], tmp_path: Path) -> None:
    assert list(read_prompts(io.BytesIO(data), "x")) == lines
    (tmp_path / "prompts.txt").write_bytes(data)
    assert list(file_prompts(tmp_path / "prompts.txt")) == lines


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x: empty, there is no prompt in it"),
        (b"a\nb \xff\n", "x:2: not UTF-8 at byte 3 of the line (0xff); convert the file to UTF-8"),
        (b"a\n\nb\0\n", "x:3: binary, not text: a NUL at byte 2 of the line"),
        ("a\n".encode("utf-16"), "x: UTF-16, not UTF-8 (it starts with its byte-order mark)"),
        (b"a\n" + b"b" * (1 << 20) + b"\n", "x:2: a prompt of more than 1,048,576 bytes; is this text?"),
    ],
)
def test_what_is_no_prompt_is_refused_with_its_place(data: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        list(read_prompts(io.BytesIO(data), "x"))
    assert str(caught.value) == message


def test_a_stream_may_hold_no_line() -> None:
    assert list(lines_of(io.BytesIO(b""), "x")) == []


@pytest.mark.parametrize(("name", "message"), [("none.txt", "no such file"), ("", "directory")])
def test_a_file_that_cannot_be_read(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        list(file_prompts(tmp_path / name))


def test_a_line_is_there_before_the_next_is_written() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as stream, open(writing, "wb", buffering=0) as end:  # noqa: PTH123
        timer = threading.Timer(20, end.close)  # so that a reader that waits for more fails, not hangs
        timer.start()
        lines = lines_of(stream, "x")
        for line in ("one", "two"):
            end.write(f"{line}\n".encode())
            assert next(lines) == line
            assert not end.closed
        timer.cancel()
