"""Moses's tokeniser, a line at a time, as sacremoses ported it: punctuation becomes words of its own.

Nothing is escaped (``&quot;``, ``-LRB-``): the words are those that stand in the text. ``<unk>`` and
``<eos>`` are kept whole where they are words already; what they separate is tokenised apart, as lines are.
"""

import importlib
import re
from functools import cache
from typing import Any

from lmtrain.errors import UsageError

MARKS = re.compile(r"(?<!\S)(<unk>|<eos>)(?!\S)")


def tokenize(line: str, language: str) -> list[str]:
    """The words of a line.

    Args:
        line: Text without line ends.
        language: Its code, such as ``en``.

    Raises:
        UsageError: sacremoses is not installed, or has no rules for the language.
    """
    tokenizer = _tokenizer(language)
    words: list[str] = []
    for index, part in enumerate(MARKS.split(line)):
        is_mark = index % 2 == 1
        words.extend([part] if is_mark else tokenizer.tokenize(part, escape=False))
    return words


@cache
def _tokenizer(language: str) -> Any:
    try:
        sacremoses = importlib.import_module("sacremoses")
        corpus = importlib.import_module("sacremoses.corpus")
    except ImportError:
        raise UsageError("Moses's tokeniser is not installed: pip install 'lmtrain[moses]'") from None
    # For an unknown language sacremoses would silently take the rules of English.
    known = sorted(set(corpus.NonbreakingPrefixes().available_langs.values()))
    if language not in known:
        raise UsageError(f"Moses's tokeniser has no rules for {language!r}; it knows {', '.join(known)}")
    return sacremoses.MosesTokenizer(language)
