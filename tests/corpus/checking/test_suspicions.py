import pytest

from lmtrain.corpus.checking.suspicions import suspicious_words


def kinds(*words: str) -> list[str]:
    return [odd.kind for odd in suspicious_words(dict.fromkeys(words, 1))]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("glued_punctuation", ['"Hello', "there,", "(so", "it)", "why?", "«était", "été»"]),
        ("escapes", ["&quot;", "R&amp;D", "&#91;", "&apos;s"]),
        ("foreign_marks", ["<s>", "</s>", "<UNK>", "[UNK]", "<PAD>"]),
        ("control_characters", ["a\x07", "\x1b[0m", "a\x85b"]),
        (
            "invisible_characters",
            ["New\u00a0York", "soft\u00adhyphen", "\ufeffThe", "zero\u200bwidth", "a\u3000b"],
        ),
        ("misread_characters", ["cafÃ©", "Itâ€™s", "caf\ufffd"]),
        ("not_nfc", ["cafe\u0301"]),
        ("long_words", ["x" * 61]),
    ],
)
def test_a_word_that_looks_odd_is_told(kind: str, words: list[str]) -> None:
    for word in words:
        assert kinds(word) == [kind], word


def test_ordinary_words_are_not() -> None:
    words = [
        "Mr.",
        "U.S.",
        "3,000",
        "n't",
        "'s",
        "'90s",
        "don't",
        "@-@",
        "&",
        "a&b",
        ",",
        ".",
        '"',
        "(",
        ")",
        "--",
        "...",
        "<unk>",
        "N",
        "é",
        "世界",
        "ß",
        "x-ray",
        "9:30",
    ]
    assert kinds(*words) == []


def test_a_little_punctuation_is_not_worth_telling() -> None:
    assert list(suspicious_words({"a": 999, "b,": 1})) == []
    (odd,) = suspicious_words({"a": 990, "b,": 8, "c,": 2})
    assert (odd.count, odd.share, odd.examples) == (10, 0.01, ["b, (8)", "c, (2)"])


def test_examples_can_be_printed() -> None:
    words = {"\u200b\x1b": 2, "x" * 100: 1}
    examples = [example for odd in suspicious_words(words) for example in odd.examples]
    assert all(example.isprintable() and len(example) < 50 for example in examples)
    assert r"\u200b\x1b (2)" in examples
