"""The Penn Treebank's words, a line at a time: ``do n't``, ``dogs '``, ``hall .``, ``-LRB-``.

The rules are those of R. MacIntyre's ``tokenizer.sed`` (University of Pennsylvania, 1995); commas and colons
within numbers stay, as they do in the treebank. Where the program wants a sentence a line, a line here may
hold several: a full stop before a capital ends one, but for that of an abbreviation. Typographic quotation
marks count as plain ones. The rules are written out here since sacremoses 0.2.0, whose ``penn_tokenize``
raises, has ``can ' t`` for ``ca n't``.
"""

import re

from lmtrain.corpus.moses import MARKS

PLAIN_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
"""A character for a character, so that places in a line stay."""
BRACKETS = {"(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-", "{": "-LCB-", "}": "-RCB-"}

_ABBREVIATIONS = (
    "Mr|Mrs|Ms|Dr|Prof|Rev|Hon|St|Gen|Sen|Rep|Gov|Lt|Col|Capt|Cmdr|Sgt|Maj|Adm|Pres|Messrs|Jr|Sr|Inc|Corp|Co|Ltd|Bros"
    "|No|Vol|vs|etc|Mt|Ft|Ave|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec"
)
_END = r"(?=\s|$)"
_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r'(^|[\s(\[{<])"', r"\1 `` "),
        (r'"', " '' "),
        (r"\.\.\.", " ... "),
        (r"[;@#$%&?!\[\](){}<>]", r" \g<0> "),
        (r"[,:](?!\d)|(?<!\d)[,:]", r" \g<0> "),
        (r"--", " -- "),
        (r"(?<=[^.\s])\.(?=[\s')\]}>]*$)", " . "),
        (rf"(?<!\S)(?!(?:{_ABBREVIATIONS}|[A-Z])\.)([^.\s]+)\.(?=[\s')\]}}>]+[`(\[\s]*[A-Z])", r"\1 . "),
        (rf"(?i)(?<=\w)('s|'m|'d|'ll|'re|'ve|n't){_END}", r" \1"),
        (rf"(?<=[^'\s])'{_END}", " '"),
        (r"(?<!\S)'(?=[^'\s])(?!(?i:s|m|d|ll|re|ve|tis|twas|n)\b)(?!\d)", "` "),
        (rf"(?i)(?<!\S)(can)(not){_END}", r"\1 \2"),
        (rf"(?i)(?<!\S)(gim|lem)(me){_END}", r"\1 \2"),
        (rf"(?i)(?<!\S)(gon|wan)(na){_END}", r"\1 \2"),
        (rf"(?i)(?<!\S)(got)(ta){_END}", r"\1 \2"),
        (rf"(?i)(?<!\S)('t)(is|was){_END}", r"\1 \2"),
    )
]


def tokenize(line: str) -> list[str]:
    """The words of a line, without line ends; ``<unk>`` and ``<eos>`` are kept whole."""
    words: list[str] = []
    for index, part in enumerate(MARKS.split(line)):
        words.extend([part] if index % 2 else _tokens(part))
    return words


def _tokens(text: str) -> list[str]:
    text = text.translate(PLAIN_QUOTES)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return [BRACKETS.get(token, token) for token in text.split()]
