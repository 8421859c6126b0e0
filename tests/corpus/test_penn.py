import pytest

from lmtrain.corpus import penn


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("I don't think it's John's.", "I do n't think it 's John 's ."),
        ("We'll see they've won; CAN'T you?", "We 'll see they 've won ; CA N'T you ?"),
        ("the viewers' opinions of the '80s", "the viewers ' opinions of the '80s"),
        ('"Yes," she said (twice).', "`` Yes , '' she said -LRB- twice -RRB- ."),
        ("\u201cDon\u2019t\u201d 'quoted' words", "`` Do n't '' ` quoted ' words"),
        ("Mr. Smith paid $3.50, or 1,000 at 7:30.", "Mr. Smith paid $ 3.50 , or 1,000 at 7:30 ."),
        ("I cannot; gonna -- 'tis... so.", "I can not ; gon na -- 't is ... so ."),
        ("a,b: c 1/2 U.S. well-known", "a , b : c 1/2 U.S. well-known"),
        (
            "He left. Mr. J. Smith of the U.S. Army did not.",
            "He left . Mr. J. Smith of the U.S. Army did not .",
        ),
        (
            '"Go." She went (far). "So." it said. no',
            "`` Go . '' She went -LRB- far -RRB- . `` So. '' it said. no",
        ),
        ("the <unk> of <unk>", "the <unk> of <unk>"),
        ("do n't -LRB- `` x '' -RRB- .", "do n't -LRB- `` x '' -RRB- ."),
        ("", ""),
        (" \t ", ""),
    ],
)
def test_known_lines(line: str, words: str) -> None:
    assert penn.tokenize(line) == words.split()
