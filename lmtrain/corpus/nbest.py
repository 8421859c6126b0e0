r"""N-best lists: what a recogniser took an utterance for, best guess first, each with its scores.

Four forms are read, told apart by the first line. Scores become natural logarithms.

=================  ==================================================  ===============================
SRILM              ``ascore lscore nwords w1 w2 …``                    base 10
NBestList1.0       ``(score) w1 w2 …``                                 bytelogs; one score for all
NBestList2.0       ``(score) w1 ( st: 0.1 et: 0.4 g: -20 a: -90 ) …``  bytelogs; g language, a acoustic
beams (NeMo)       ``w1 w2 …<TAB>score``                               natural; one score for all
=================  ==================================================  ===============================

A header begins the list of the next utterance, and so does a blank line, or, of beams, a number of lines.

Source: SRILM's nbest-format(5); NeMo's ``eval_beamsearch_ngram``, ``--preds_output_folder``.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lmtrain.corpus.text import fields, without_marks
from lmtrain.errors import DataError, UsageError
from lmtrain.files.compression import COMPRESSED_SUFFIXES
from lmtrain.files.text_input import input_name, read_lines

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
COUNT = re.compile(r"\d+", re.ASCII)
PAUSE = "-pau-"
"""SRILM's, which is no word."""
_BYTELOG = math.log(1.0001) * 1024
"""Nats."""
_HEADER = re.compile(r"NBestList([12])\.0")
_SCORE = re.compile(rf"\(({NUMBER.pattern})\)", re.ASCII)
_UNIT = re.compile(r"(\S+) \( ([^()]*) \)", re.ASCII)


@dataclass(frozen=True)
class Hypothesis:
    """A guess at what was said; scores in nats, higher is better."""

    text: str
    """The words with spaces between them, without pauses and the marks of sentences."""
    acoustic: float
    """Of the acoustic model, or what the recogniser made of all its models where it tells no more."""
    first_pass: float
    """Of the recogniser's language model; 0 where it is not told apart."""
    num_words: int
    """As the list counts them, or else the number of words."""
    place: str = ""
    """Where it stands, for messages."""


@dataclass
class NbestList:
    """The hypotheses for an utterance, in the order of the list."""

    name: str | None
    """Of the utterance, where its list is a file of its own."""
    place: str
    """Where it begins, for messages."""
    hypotheses: list[Hypothesis] = field(default_factory=list)


def nbest_lists(
    path: Path,
    beam_size: int | None,
    refuse: Callable[[DataError], object],
    tell: Callable[[bytes], object] | None = None,
) -> Iterator[NbestList]:
    """The lists of a file, or of a folder that has a file an utterance.

    Args:
        path: A file, ``-``, or a folder, whose files come in the order of their names.
        beam_size: How many lines an utterance has; of beams alone.
        refuse: Called with what is wrong with a line, which is left out if this returns.
        tell: Is told the bytes of all lists, in order; see ``read_lines``.

    Raises:
        DataError: The input cannot be read, or holds no list.
        UsageError: Where an utterance ends in a file of beams is not told.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        if not files:
            raise DataError(f"{path}: there is no file in it")
        for file in files:
            whole = NbestList(_stem(file), str(file))
            for part in _lists_of(file, None, refuse, tell):
                whole.hypotheses += part.hypotheses
            yield whole
        return
    yield from _lists_of(path, beam_size, refuse, tell)


def _lists_of(
    path: Path,
    beam_size: int | None,
    refuse: Callable[[DataError], object],
    tell: Callable[[bytes], object] | None,
) -> Iterator[NbestList]:
    name, parse, present, size = input_name(path), None, None, 0
    for number, line in _lines(path, tell):
        place = f"{name}:{number}"
        header = _HEADER.fullmatch(line.strip())
        if header or not line.strip():
            if present:
                yield present
            present = NbestList(None, place) if header else None
            if header:
                parse = _decipher1 if header[1] == "1" else _decipher2
            continue
        parse = parse or (_beam if is_beam(line) else _srilm)
        if parse is not _beam and beam_size:
            raise UsageError(
                "--beam-size is for beams, 'text<TAB>score'; the lists tell themselves where they end"
            )
        if present and beam_size and size == beam_size:  # counted with the lines that were left out
            yield present
            present = None
        if present is None:
            present, size = NbestList(None, place), 0
        size += 1
        try:
            present.hypotheses.append(parse(line, place))
        except DataError as error:
            refuse(error)
    if present:
        yield present


def _lines(path: Path, tell: Callable[[bytes], object] | None = None) -> Iterator[tuple[int, str]]:
    for first_number, lines in read_lines(path, tell):
        yield from enumerate(lines, first_number)


def is_beam(line: str) -> bool:
    """Whether a line is ``text<TAB>score``, and not SRILM's with tabs between its fields."""
    text, tab, score = line.rpartition("\t")
    return bool(tab and "\t" not in text and NUMBER.fullmatch(score.strip()))


def srilm_fields(line: str, place: str) -> tuple[str, str, str, str]:
    """Acoustic score, language model's score, number of words, and the words, of a line of SRILM's form.

    Raises:
        DataError: The line, which is at ``place``, has another form.
    """
    found = fields(line, 3)
    if not (len(found) > 2 and all(map(NUMBER.fullmatch, found[:2])) and COUNT.fullmatch(found[2])):
        raise DataError(
            f"{place}: expected 'ascore lscore nwords w1 w2 …', two finite numbers and a count before "
            "the words"
        )
    acoustic, language, count, *words = found
    return acoustic, language, count, " ".join(fields("".join(words)))


def _srilm(line: str, place: str) -> Hypothesis:
    acoustic, language, count, words = srilm_fields(line, place)
    of_ten = math.log(10)
    return Hypothesis(_words(words), float(acoustic) * of_ten, float(language) * of_ten, int(count), place)


def _decipher1(line: str, place: str) -> Hypothesis:
    score, words = _scored(line, place)
    return _counted(words, place, score)


def _decipher2(line: str, place: str) -> Hypothesis:
    """Units within the time of the word before them are phones and states of it, and no words."""
    _, rest = _scored(line, place)
    units = _UNIT.findall(rest)
    if " ".join(f"{word} ( {values} )" for word, values in units) != rest:
        raise DataError(f"{place}: expected '(score) w1 ( st: … et: … g: … a: … ) w2 …'")
    words, acoustic, language, end = [], 0.0, 0.0, -math.inf
    for word, text in units:
        keys, values = text.split()[::2], text.split()[1::2]
        if not {"st:", "et:", "g:", "a:"} <= set(keys) or not all(map(NUMBER.fullmatch, values)):
            raise DataError(f"{place}: {word}: expected 'st:', 'et:', 'g:' and 'a:', each with a number")
        value = dict(zip(keys, map(float, values), strict=False))
        if value["st:"] < end:
            continue
        end = value["et:"]
        words.append(word)
        acoustic += value["a:"] * _BYTELOG
        language += value["g:"] * _BYTELOG
    return _counted(" ".join(words), place, acoustic, language)


def _scored(line: str, place: str) -> tuple[float, str]:
    first, *rest = fields(line)
    if not (score := _SCORE.fullmatch(first)):
        raise DataError(f"{place}: expected '(score) w1 w2 …', as the header says")
    return float(score[1]) * _BYTELOG, " ".join(rest)


def _beam(line: str, place: str) -> Hypothesis:
    if not is_beam(line):
        raise DataError(f"{place}: expected 'text<TAB>score', a finite number after the words")
    text, _, score = line.rpartition("\t")
    return _counted(text, place, float(score))


def _counted(words: str, place: str, acoustic: float, first_pass: float = 0.0) -> Hypothesis:
    text = _words(words)
    return Hypothesis(text, acoustic, first_pass, len(fields(text)), place)


def _words(words: str) -> str:
    return " ".join(word for word in fields(without_marks(words)) if word != PAUSE)


def _stem(path: Path) -> str:
    """The name of an utterance: that of its file without endings of compression and of the form."""
    return Path(path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED_SUFFIXES else path.name).stem


def read_references(path: Path, list_names: Sequence[str | None]) -> list[list[str]]:
    """What was said, the words of each utterance in the order of the lists.

    A line is an utterance: its words, or an object of a NeMo manifest, with ``text``, in the order of the
    lists. Where lists have names, it begins with that of its utterance, and lines come in any order.

    Raises:
        DataError: The file cannot be read, or is not of these utterances.
    """
    names = [name for name in list_names if name is not None]
    said: list[list[str]] = []
    by_name: dict[str, list[str]] = {}
    for number, line in _lines(path):
        words = fields(_text_of(line, f"{input_name(path)}:{number}"))
        if names:
            by_name |= {words[0]: words[1:]} if words else {}
        else:
            said.append(words)
    if missing := next((name for name in names if name not in by_name), None):
        raise DataError(f"{input_name(path)}: no line begins with {missing!r}, the name of a list")
    said = [by_name[name] for name in names] if names else said
    if len(said) != len(list_names):
        raise DataError(
            f"{input_name(path)}: {len(said):,} references, where there are {len(list_names):,} lists; it "
            "has a line an utterance (--beam-size says how many lines one has in a file of beams)"
        )
    return [fields(without_marks(" ".join(words))) for words in said]


def _text_of(line: str, place: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        return str(json.loads(line)["text"])
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{place}: begins as a JSON object, and is none with 'text'") from None
