"""Words that a corpus keeps apart, put together again as people write them.

Knows the conventions of the Penn Treebank (``do n't``, ``viewers ' opinions``, double backticks as quotation
marks, ``-lrb-``, ``$ N``) and of WikiText (``5 @-@ year @-@ old``, ``1 @,@ 000``, ``= = Heading = =``, spaces
before punctuation). What was thrown away when a corpus was made stays lost: case, the words behind ``<unk>``,
numbers behind ``N``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_BRACKETS = {"-lrb-": "(", "-lsb-": "[", "-lcb-": "{", "-rrb-": ")", "-rsb-": "]", "-rcb-": "}"}
_JOINTS = {"@-@": "-", "@,@": ",", "@.@": "."}
_OPENING = {"(", "[", "{", "“", "\u2018", "„"}
_CLOSING = {")", "]", "}", "”", "%", ",", ".", ";", ":", "!", "?", "…", "..."}
_UNITS_BEFORE = re.compile(r"[a-z]{0,2}[$£€¥₹]|#", re.IGNORECASE)
"""``$``, ``us$``, ``c$``: joined to a number after them."""
_NUMBER = re.compile(r"[.,]?\d|N(?![A-Za-z])")
_CONTRACTION = re.compile(r"n['\u2019]t|['\u2019](s|m|d|re|ve|ll|t)", re.IGNORECASE)
_ELISION = re.compile(r"[dlo] ['\u2019]\w.*", re.IGNORECASE)
"""``O 'Brien``, ``d 'état``."""
_TIGHT = re.compile(r"\d+ [–/] \d+|\d{1,3} : \d{1,3}|and / or|k?m / [hs]")
"""``1943 – 44``, ``1 / 2``, ``06 : 30``, ``km / h``: three words without spaces in between."""
_COUNTRY_BEFORE = re.compile(r"(US|CA|AU|NZ|HK) \$")
_DECADE = re.compile(r"\d0s")
_ENDS_IN_S = re.compile(r"[sxz]$", re.IGNORECASE)


@dataclass
class _Piece:
    """A word, and whether it stands close to its neighbours."""

    text: str
    joins_left: bool = False
    joins_right: bool = False


def detokenize(text: str) -> str:
    """Text in the convention of a corpus as readable text, line by line.

    No letter or digit is lost or added, but for those of bracket names such as ``-lrb-``.

    Args:
        text: Words between spaces; any run of them, and those at the ends of a line, count as one and none.
    """
    return "\n".join(_join(_pieces(re.findall(r"[^ \t\r\v\f]+", line))) for line in text.split("\n"))


def _join(pieces: Sequence[_Piece]) -> str:
    parts: list[str] = []
    sticks = True  # at the start of a line there is no space
    for piece in pieces:
        parts.append(piece.text if sticks or piece.joins_left else f" {piece.text}")
        sticks = piece.joins_right
    return "".join(parts)


def _pieces(words: Sequence[str]) -> list[_Piece]:
    quotes = {'"': _Quotes('"', words), "'": _Quotes("'", words)}
    pieces = []
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        after = words[i + 1] if i + 1 < len(words) else ""
        if word in quotes:
            pieces.append(quotes[word].piece(before, after))
        else:
            pieces.append(_piece(word, before, after))
    return pieces


def _piece(word: str, before: str, after: str) -> _Piece:
    """A word that is no quotation mark of unknown direction."""
    bracket = _BRACKETS.get(word.lower(), word)
    if word in _JOINTS:
        is_between = bool(before and after)
        return _Piece(_JOINTS[word] if is_between else word, is_between, is_between)
    if _TIGHT.fullmatch(f"{before} {word} {after}"):
        return _Piece(word, joins_left=True, joins_right=True)
    if word in ("``", "''"):
        return _Piece('"', joins_left=word == "''", joins_right=word == "``")
    if bracket in _OPENING:
        return _Piece(bracket, joins_right=True)
    if bracket in _CLOSING or _CONTRACTION.fullmatch(word) or _ELISION.fullmatch(f"{before} {word}"):
        return _Piece(bracket, joins_left=True)
    if word == "\u2019":
        return _Piece(word, joins_left=True, joins_right=after == "s")
    if word == "=":  # = = Heading = =
        return _Piece(word, joins_left=before == "=")
    if word == "°":
        return _Piece(word, joins_left=True, joins_right=after in ("C", "F"))
    if _UNITS_BEFORE.fullmatch(word):
        is_before = _NUMBER.match(after) is not None
        return _Piece(word, is_before and bool(_COUNTRY_BEFORE.fullmatch(f"{before} {word}")), is_before)
    return _Piece(word)


class _Quotes:
    """The marks of one kind in a line: they open and close by turns, two in a row together.

    An apostrophe before a single s, after a word in s, or that no other follows, is that of a possessive and
    not a quotation mark; the latter two unless a quotation is open. Nor is that of ``' 80s``.
    """

    def __init__(self, mark: str, words: Sequence[str]) -> None:
        self._mark = mark
        self._left = words.count(mark)
        self._is_open = False
        self._last = _Piece(mark)

    def piece(self, before: str, after: str) -> _Piece:
        """The next mark of the line, between these words."""
        self._left -= 1
        if before != self._mark:
            self._last = self._next(before, after)
        return self._last

    def _next(self, before: str, after: str) -> _Piece:
        if self._mark == "'" and after == "s":
            return _Piece(self._mark, joins_left=True, joins_right=True)
        if self._mark == "'" and _DECADE.fullmatch(after):
            return _Piece(self._mark, joins_right=True)
        if self._is_open:
            self._is_open = False
            return _Piece(self._mark, joins_left=True)
        if self._mark == "'" and (self._left == 0 or _ENDS_IN_S.search(before)):
            return _Piece(self._mark, joins_left=True)
        self._is_open = True
        return _Piece(self._mark, joins_right=True)
