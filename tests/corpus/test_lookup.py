import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.corpus.lookup import WordTable

UNKNOWN = 1_000_000
# Few letters, and lengths around the 16 bytes of a key, so that many words share their beginning.
WORDS = st.text("ab\x01é世", min_size=1, max_size=20).map(str.encode)


@given(st.lists(WORDS, min_size=1, unique=True), st.data())
def test_agrees_with_a_dict(words: list[bytes], data: st.DataObject) -> None:
    ids_by_word = {word: index for index, word in enumerate(words)}
    asked = data.draw(st.lists(st.one_of(st.sampled_from(words), WORDS)))
    spaces = [data.draw(st.text(" \t\n\r\v\f", min_size=1, max_size=3)).encode() for _ in asked]
    text = b"".join(word + space for word, space in zip(asked, spaces, strict=True))
    ids = WordTable(words).encode(text, UNKNOWN)
    assert ids.dtype == np.int32
    assert ids.tolist() == [ids_by_word.get(word, UNKNOWN) for word in asked]


@pytest.mark.parametrize("beginning", [b"", b"8_bytes:", b"sixteen_bytes_:_"])
def test_many_words_each_keep_their_id(beginning: bytes) -> None:
    words = [beginning + b"%d" % number for number in range(50_000)]
    ids = WordTable(words[::2]).encode(b" ".join(words), UNKNOWN)
    assert ids[::2].tolist() == list(range(25_000))
    assert set(ids[1::2].tolist()) == {UNKNOWN}


def test_a_text_need_not_begin_or_end_with_space() -> None:
    table = WordTable([b"a", b"of-just-16-bytes", b"of-just-16-bytes-and-more"])
    text = b"of-just-16-bytes-and-more of-just-16-bytes-or of-just-16-bytes"
    assert table.encode(text, -7).tolist() == [2, -7, 1]
    assert table.encode(b"", -7).tolist() == []
