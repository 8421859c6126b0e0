import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lmtrain.corpus.stimuli import read_stimuli
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.corpus.words import Unknown, parts_of, words_of
from lmtrain.errors import DataError

TOKENIZERS = {"ws": TextRules(), "moses": TextRules(moses="en"), "penn": TextRules(penn=True)}
RULES = [
    TextRules(lowercase, rules.moses, rules.penn, numbers)
    for rules, lowercase, numbers in itertools.product(TOKENIZERS.values(), (False, True), (None, "N"))
]
WITHOUT_MARKS = [replace(rules, no_punctuation=True) for rules in RULES]


def parts(line: str, rules: TextRules) -> list[list[str]]:
    return [[part.text for part in word.parts] for word in words_of(line, rules, "line 1")]


def test_known_lines() -> None:
    line = "“Don't” pay Dr. Lee 1,000 (now)."
    penn = TextRules(lowercase=True, penn=True, numbers="N")
    assert parts(line, penn) == [
        ["``", "do", "n't", "''"],
        ["pay"],
        ["dr."],
        ["lee"],
        ["N"],
        ["-lrb-", "now", "-rrb-", "."],
    ]
    first = words_of(line, penn, "line 1")[0]
    assert (first.text, first.start, first.end) == ("“Don't”", 0, 7)
    assert [(part.start, part.end) for part in first.parts] == [(0, 1), (1, 3), (3, 6), (6, 7)]
    assert parts("Don't go.", TextRules(moses="en")) == [["Don", "'t"], ["go", "."]]
    assert parts("Don't go.", TextRules()) == [["Don't"], ["go."]]


def test_punctuation_that_is_left_out_leaves_the_words_where_they_are() -> None:
    rules = TextRules(lowercase=True, penn=True, no_punctuation=True)
    words = words_of("“Don't,” he said — (5 % of the dogs' $3) .", rules, "line 1")
    assert [[part.text for part in word.parts] for word in words] == [
        ["do", "n't"],
        ["he"],
        ["said"],
        [],
        ["5"],
        ["%"],
        ["of"],
        ["the"],
        ["dogs", "'"],
        ["$", "3"],
        [],
    ]
    assert [(part.start, part.end) for part in words[0].parts] == [(1, 3), (3, 6)]
    assert parts("the dog , -lrb- end.", TextRules(no_punctuation=True)) == [
        ["the"],
        ["dog"],
        [],
        [],
        ["end."],
    ]


@pytest.mark.parametrize("rules", TOKENIZERS.values(), ids=TOKENIZERS)
def test_marks_of_sentences_have_their_places_and_are_not_read(rules: TextRules) -> None:
    words = words_of("<s> the hall </s> ", rules, "line 1")
    assert [word.text for word in words] == ["<s>", "the", "hall", "</s>"]
    assert [[part.text for part in word.parts] for word in words] == [[], ["the"], ["hall"], []]
    assert (words[1].start, words[1].parts[0].start) == (4, 4)
    inside = words_of("a </s> b", rules, "line 1")
    assert len(inside[1].parts) > 0


@settings(deadline=None, max_examples=60)
@given(st.text(st.one_of(st.sampled_from("aBn't'\"`.,-($1:<>…\u201c\u2019\u00a0\x01 \t"), st.characters())))
@pytest.mark.parametrize("rules", [*RULES, *WITHOUT_MARKS], ids=lambda rules: rules.name)
def test_every_word_is_there_once_and_its_parts_lie_within(rules: TextRules, text: str) -> None:
    assume("<eos>" not in text.lower())
    line = text.replace("\n", " ").encode(errors="ignore").decode()
    words = words_of(line, rules, "line 1")
    assert [word.text for word in words] == [word.decode() for word in line.encode().split()]
    end = 0
    for word in words:
        assert line[word.start : word.end] == word.text
        assert word.parts or rules.no_punctuation or word.text in ("<s>", "</s>")
        end = max(end, word.start)
        for part in word.parts:
            assert end <= part.start < part.end <= word.end
            end = part.end


@pytest.mark.parametrize("rules", [*RULES, *WITHOUT_MARKS], ids=lambda rules: rules.name)
def test_the_model_reads_what_it_would_have_read(rules: TextRules) -> None:
    lines = [
        'He can\'t say: "No, (not) 12,000 U.S. dollars..."',
        "the dogs' bowl , 3.5 % .",
        "<unk> 'Tis",
        "",
    ]
    for line in lines:
        assert parts_of(words_of(line, rules, "line 1")) == rules.split(line)


@pytest.mark.parametrize("rules", TOKENIZERS.values(), ids=TOKENIZERS)
def test_real_sentences_come_back(rules: TextRules, shared_data: Path) -> None:
    path = shared_data / "stimuli" / "agreement" / "linzen.text"
    lines = [line.removesuffix("<eos>") for line in path.read_text(encoding="utf-8").split("\n")[:1000]]
    assert len(lines) == 1000
    for line in lines:
        words = words_of(line, rules, "line")
        assert " ".join(word.text for word in words) == " ".join(line.split(" ")).strip()
        assert parts_of(words) == rules.split(line)  # none was read as it stands for want of a place
        kept = "".join(line[part.start : part.end] for word in words for part in word.parts)
        assert kept == line.replace(" ", "")  # no character is lost, none is there twice


def test_a_line_that_holds_its_own_end_is_refused() -> None:
    for rules in RULES:
        with pytest.raises(DataError, match=r"line 1: the text itself holds <eos>"):
            words_of("a <eos> b", rules, "line 1")


def test_unknown_words_are_named_with_their_lines() -> None:
    vocab = Vocabulary(("<unk>", "<eos>", "the", "hall", "."))
    lines = [words_of(line, TextRules(penn=True), "line") for line in ("The hall.", "the the", "")]
    unknown = Unknown.of(lines, vocab)
    assert [(number, word.text) for number, word in unknown.words] == [(1, "The")]
    assert (unknown.share, unknown.lexical_share) == (1 / 4, 1 / 4)
    comma = Unknown.of([words_of("the hall, hall", TextRules(penn=True), "line")], vocab)
    assert (comma.share, comma.lexical_share) == (1 / 3, 0)
    assert Unknown.of([], vocab).share == 0
    assert Unknown.of([words_of("the <unk>", TextRules(), "line")], vocab).words == ()


def test_natural_stories_has_a_word_a_row_and_every_one_has_parts(shared_data: Path) -> None:
    path = shared_data / "stimuli" / "natural-stories" / "all_stories.tok"
    stimuli = read_stimuli(path, "word")
    assert (stimuli.kind, len(stimuli.table.rows), len(stimuli.sentences)) == ("words", 10_256, 10)
    for rules in TOKENIZERS.values():
        words = [word.text for sentence in stimuli.sentences for word in sentence.words(rules, "stories")]
        assert words == stimuli.table.column("word")
