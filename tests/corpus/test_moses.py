import importlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtrain.corpus import moses
from lmtrain.corpus.corpus import build_vocabulary
from lmtrain.corpus.text import TextRules, mark_lines
from lmtrain.errors import DataError, UsageError

RULES = TextRules(moses="en")
ALPHABET = "abA.,'\"!<>&\ufeff\u00a0é \t\n\n"


def tokens(text: bytes, rules: TextRules = RULES, block_size: int = 7) -> list[str]:
    blocks = (text[i : i + block_size] for i in range(0, len(text), block_size))
    return [word.decode() for part in mark_lines(blocks, rules, "text") for word in part.split()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('"Don\'t," he said (twice).', '" Don \'t , " he said ( twice ) .'),
        ("Mr. Smith paid $3.50 & left the U.S. today.", "Mr. Smith paid $ 3.50 & left the U.S. today ."),
        ("the <unk> of <unk>.", "the <unk> of < unk > ."),
        ("One. <eos> Two.", "One . <eos> Two ."),
        ("", ""),
        (" ".join(["<unk>"] * 2000), " ".join(["<unk>"] * 2000)),
    ],
)
def test_known_lines(line: str, words: str) -> None:
    assert moses.tokenize(line, "en") == words.split()


def test_languages_differ() -> None:
    assert moses.tokenize("l'eau", "fr") == ["l'", "eau"]
    assert moses.tokenize("l'eau", "en") == ["l", "'eau"]


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no rules for 'xx'; it knows as, bn, .*en, "):
        moses.tokenize("a", "xx")


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    moses._tokenizer.cache_clear()
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r"pip install 'lmtrain\[moses\]'"):
        moses.tokenize("a", "en")


@settings(deadline=None)
@given(st.text(ALPHABET), st.booleans(), st.integers(1, 50))
def test_words_do_not_depend_on_how_the_text_is_cut(text: str, lowercase: bool, block_size: int) -> None:
    rules = TextRules(lowercase, "en")
    lines = ("x" + text).split("\n")
    if not lines[-1]:
        lines.pop()
    expected = [word for line in lines for word in [*rules.split(line), "<eos>"]]
    assert tokens(("x" + text).encode(), rules, block_size) == expected


def test_lines_and_places_stay_what_they_are() -> None:
    assert tokens("\ufeffHi there!\n\nBye.".encode()) == [
        "Hi",
        "there",
        "!",
        "<eos>",
        "<eos>",
        "Bye",
        ".",
        "<eos>",
    ]
    with pytest.raises(DataError, match=r"text:2: not UTF-8 at byte 4 of the line"):
        tokens(b"Hi!\nBye\xff\n")
    with pytest.raises(DataError, match=r"text:2: the text itself holds <eos>"):
        tokens(b"Hi!\nBye. <eos>\n")
    with pytest.raises(DataError, match=r"text: a line of more than 1,048,576 bytes"):
        tokens(b"a " * 600_000, block_size=1 << 15)


def test_counts_of_different_rules_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("Stop, stop!\n")
    found = [
        {*build_vocabulary([path], rules, cache_dir=tmp_path).words} - {"<unk>", "<eos>"}
        for rules in (TextRules(), TextRules(moses="en"), TextRules(lowercase=True, moses="en"))
    ]
    assert found == [{"Stop,", "stop!"}, {"Stop", "stop", ",", "!"}, {"stop", ",", "!"}]
