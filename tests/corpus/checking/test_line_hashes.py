from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.corpus.checking import line_hashes
from lmtrain.corpus.checking.line_hashes import (
    LineHashes,
    Overlap,
    Repetition,
    line_pieces,
    overlap,
    repetition,
)


def hashes_of(text: bytes, block_size: int = 7) -> LineHashes:
    found = LineHashes()
    for piece, ends in line_pieces(text[i : i + block_size] for i in range(0, len(text), block_size)):
        found.add(piece.split(), ends=ends)
    return found


@given(st.binary(max_size=60).map(lambda b: b.replace(b"\x00", b"\n")), st.integers(1, 60))
def test_lines_do_not_depend_on_how_the_text_is_cut(data: bytes, block_size: int) -> None:
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    blocks = (data[i : i + block_size] for i in range(0, len(data), block_size))
    assert list(line_pieces(blocks)) == [(line, True) for line in expected]


@given(st.text("ab \n", max_size=80), st.integers(1, 9))
def test_a_long_line_in_pieces_is_the_same_line(text: str, limit: int) -> None:
    data = text.encode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        whole = hashes_of(data)
        monkeypatch.setattr(line_hashes, "_PIECE_BYTES", 1)
        monkeypatch.setattr(line_hashes, "LONGEST_WORD", limit)
        cut = list(line_pieces(data[i : i + 1] for i in range(len(data))))
    assert b"".join(piece + b"\n" * ends for piece, ends in cut).rstrip(b"\n") == data.rstrip(b"\n")
    assert sum(ends for _, ends in cut) == len(whole)


def test_pieces_of_a_line_hash_as_the_line() -> None:
    whole, parts = LineHashes(), LineHashes()
    whole.add([b"a", b"b", b"c"], ends=True)
    for words, ends in (([b"a"], False), ([b"b", b"c"], False), ([], True)):
        parts.add(words, ends=ends)
    assert whole.hashes().tolist() == parts.hashes().tolist()
    assert whole.sizes().tolist() == parts.sizes().tolist() == [3]


def test_repetition() -> None:
    text = b"a b c d e\nx y\n a  b c d\te\r\nx y\nf g h i j\na b c d e\nf g h i j\n"
    assert repetition(hashes_of(text)) == Repetition(3, 3 / 5, [(1, 3), (5, 2)])
    assert repetition(hashes_of(b"")) == repetition(hashes_of(b"a\na\n")) == Repetition(0, 0.0, [])


def test_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_hashes, "_BATCH", 2)
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("x\n\nno no no no no\nx y\n  a b c d e\n")
    two.write_text("a b c d e\nf g h i j k")
    held_out = hashes_of(b"\nx y\nx z\nf g  h i j k\nl m n o p\na b c d e\n")
    assert overlap(held_out, [one, two]) == Overlap(
        *([str(one), str(two)], 5, 3, 3, 2), examples=[(4, str(two), 2), (6, str(one), 5)]
    )
    assert overlap(held_out, [one, two]).share == 2 / 3
    assert overlap(hashes_of(b"x\n"), [two]).share == 0.0


@given(st.lists(st.sampled_from(["a", "b c", "a b c d e", "e d c b a", ""])))
def test_a_text_is_all_in_itself(texts: list[str]) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write("".join(f"{text}\n" for text in texts).encode())
        file.flush()
        found = overlap(hashes_of(Path(file.name).read_bytes()), [Path(file.name)])
    assert found.num_lines == found.num_shared == sum(map(bool, texts))
    assert found.num_long_lines == found.num_shared_long
