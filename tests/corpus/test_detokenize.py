"""Readable text from that of a corpus: real-looking cases, and nothing lost on the way."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrain.corpus.detokenize import detokenize

PTB = {
    "we do n't think it 's over": "we don't think it's over",
    "i 'm sure they 'll say we 've lost and you 're out": "i'm sure they'll say we've lost and you're out",
    "ca n't wo n't he 'd": "can't won't he'd",
    "the networks ' ratings and ford 's profit": "the networks' ratings and ford's profit",
    "mr. <unk> 's u.s. unit": "mr. <unk>'s u.s. unit",
    "a profit of $ N million or N N": "a profit of $N million or N N",
    "c$ N to us$ N.N # N": "c$N to us$N.N #N",
    "the $ sign": "the $ sign",
    "a $ N-a-share offer of $ NEC": "a $N-a-share offer of $ NEC",
    "`` yes , '' he said .": '"yes," he said.',
    "the bank -lrb- of england -rrb- said": "the bank (of england) said",
    "-LCB- a -RCB- -lsb- b -rsb-": "{a} [b]",
    "rock 'n roll of the '80s": "rock 'n roll of the '80s",
}
WIKITEXT = {
    "a 5 @-@ year @-@ old child": "a 5-year-old child",
    "1 @,@ 000 @,@ 000 at 2 @.@ 5 %": "1,000,000 at 2.5%",
    'He said , " go away ! " , and left ( quietly ) .': 'He said, "go away!", and left (quietly).',
    " = = Early life = = ": "== Early life ==",
    " = = = Iraq , 2003 – 11 = = = ": "=== Iraq, 2003–11 ===",
    " = Homarus gammarus = ": "= Homarus gammarus =",
    "the ' Shadow ' of the Jackets ' captain": "the 'Shadow' of the Jackets' captain",
    "the U.S. ' s fleet and O 'Brien in a coup d 'état": "the U.S.'s fleet and O'Brien in a coup d'état",
    "20 ° C , £ 5 , $ 1 @.@ 5 million ; see [ 1 ] : yes ?": "20°C, £5, $1.5 million; see [1]: yes?",
    "30 ° north": "30° north",
    "at 06 : 30 , won 3 – 0 in 1998 – 99 ; 2 1 / 2": "at 06:30, won 3–0 in 1998–99; 2 1/2",
    "65 km / h and / or 2 m / s": "65 km/h and/or 2 m/s",
    "In 2001 : 1 @,@ 000 men – some say 900 – left": "In 2001: 1,000 men – some say 900 – left",
    "cost US $ 5 , a $ 6 fee , the US $": "cost US$5, a $6 fee, the US $",
    "music of the ' 80s , and ' so ' on": "music of the '80s, and 'so' on",
    "“ so ” it is … and so ...": "“so” it is… and so...",
    '" one " and " two': '"one" and "two',
    "America \u2019 s": "America\u2019s",
}
ALREADY_READABLE = (
    "",
    "the cat sat on the mat",
    'He said, "go away!", and left (quietly): it\'s 5% of $1,000.',
    "the dogs' dinner - such as it was - cost £5; don't ask",
)
LOOSE = (
    "@-@",
    "@,@",
    "@.@",
    "(",
    ")",
    "-lrb-",
    "-RRB-",
    '"',
    "'",
    "``",
    "''",
    "n't",
    "'s",
    "s",
    "=",
    "$",
    "N",
)
TEXT = st.lists(st.one_of(st.sampled_from([*LOOSE, ",", ".", "%", "°", "C", "…", "\n"]), st.text(max_size=4)))


def letters(text: str) -> str:
    return re.sub(r"[\W_]", "", re.sub(r"(?<![^ \n])-[lr][rsc]b-(?![^ \n])", "", text, flags=re.IGNORECASE))


@pytest.mark.parametrize(("text", "readable"), [*PTB.items(), *WIKITEXT.items()])
def test_what_people_write(text: str, readable: str) -> None:
    assert detokenize(text) == readable


@pytest.mark.parametrize("text", [*ALREADY_READABLE, *PTB.values(), *WIKITEXT.values()])
def test_readable_text_stays_as_it_is(text: str) -> None:
    assert detokenize(text) == text


def test_lines_are_on_their_own() -> None:
    assert detokenize('" a\n" b " .\n\n') == '"a\n"b".\n\n'


@given(words=TEXT)
def test_no_letter_is_lost(words: list[str]) -> None:
    text = re.sub(r"[\t\r\v\f]", " ", " ".join(words))
    assert letters(detokenize(text)) == letters(text)


@given(words=st.lists(st.sampled_from([*LOOSE[:7], '"', *LOOSE[11:], "a", "5", ",", ".", "?", "%", ";"])))
def test_what_was_put_together_is_readable(words: list[str]) -> None:
    once = detokenize(" ".join(words))
    assert detokenize(once) == once


@pytest.mark.parametrize("corpus", ["ptb", "wikitext-2"])
def test_real_text(corpus: str, shared_data: Path) -> None:
    lines = (shared_data / corpus / "valid.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        readable = detokenize(line)
        assert letters(readable) == letters(line)
        assert detokenize(readable) == readable
        assert not re.search(r" [,.;:?!)\]](?= |$)| @.@ | 's ", readable)
