r"""N-best lists: what a recogniser took an utterance for, best guess first, each with its scores.

Four forms of files are read, told apart by the first line. Scores become natural logarithms.

=================  ==================================================  ===============================
SRILM              ``ascore lscore nwords w1 w2 …``                    base 10
NBestList1.0       ``(score) w1 w2 …``                                 bytelogs; one score for all
NBestList2.0       ``(score) w1 ( st: 0.1 et: 0.4 g: -20 a: -90 ) …``  bytelogs; g language, a acoustic
beams (NeMo)       ``w1 w2 …<TAB>score``                               natural; one score for all
=================  ==================================================  ===============================

A header begins the list of the next utterance, and so does a blank line, or, of beams, a number of lines.

Two forms are folders, told by what is in them. Words and scores are in files of their own, after an id.

======  =======================  ===============================================================
Kaldi   ``words_text``           ``utt-N w1 w2 …``; costs in ``acwt`` and, if that is there, ``lmwt.lmonly``
ESPnet  ``1best_recog``, …       ``utt w1 w2 …`` in ``text``, one natural logarithm for all in ``score``
======  =======================  ===============================================================

Source: SRILM's nbest-format(5); NeMo's ``eval_beamsearch_ngram``, ``--preds_output_folder``; Kaldi's
``steps/rnnlmrescore.sh``, ``archives.N``; ESPnet's ``espnet2/bin/asr_inference.py``.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from lmtrain.corpus.text import fields, without_marks
from lmtrain.errors import DataError, UsageError
from lmtrain.files.compression import COMPRESSED_SUFFIXES
from lmtrain.files.text_input import input_name, read_lines

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
COUNT = re.compile(r"\d+", re.ASCII)
_OTHER_FORMS = "; or NBestList headers, beams 'text<TAB>score', a folder of Kaldi or ESPnet"
PAUSE = "-pau-"
"""SRILM's, which is no word."""
_BYTELOG = math.log(1.0001) * 1024
"""Nats."""
_HEADER = re.compile(r"NBestList([12])\.0")
_SCORE = re.compile(rf"\(({NUMBER.pattern})\)", re.ASCII)
NUMBER_OF_HYPOTHESIS = re.compile(r"-\d+\Z", re.ASCII)
"""At the end of Kaldi's id of a hypothesis, ``utt-N``."""
_VALUE = re.compile(rf"(?:tensor\()?({NUMBER.pattern})(?:\)|, .*\))?", re.ASCII)
"""As Kaldi and ESPnet write one."""
_UNIT = re.compile(r"(\S+) \( ([^()]*) \)", re.ASCII)
_GROUP = 4096
"""Hypotheses that are handed out at once, about."""


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
    """Of the utterance, where that is told: by an id, or by the name of a file that has its list alone."""
    place: str
    """Where it begins, for messages."""
    hypotheses: list[Hypothesis] = field(default_factory=list)


def nbest_lists(
    path: Path,
    beam_size: int | None,
    refuse: Callable[[DataError], object],
    tell: Callable[[bytes], object] | None = None,
) -> Iterator[list[NbestList]]:
    """The lists of a file, or of a folder: of Kaldi, of ESPnet, or with a file an utterance.

    They come in groups, which are as large as they get without waiting for further input, up to a bound.

    Args:
        path: A file, ``-``, or a folder, whose files come in the order of their names.
        beam_size: How many lines an utterance has; of beams alone.
        refuse: Called with what is wrong with a line, which is left out if this returns.
        tell: Is told the bytes of all lists, in order; see ``read_lines``.

    Raises:
        DataError: The input cannot be read, or holds no list; what comes before has been handed out.
        UsageError: Where an utterance ends in a file of beams is not told.
    """
    if (path / "words_text").is_file():
        found: Iterator[NbestList | None] = _kaldi(path, refuse, tell)
    elif (path / "1best_recog").is_dir():
        found = _espnet(path, refuse, tell)
    elif path.is_dir():
        found = _file_by_file(path, refuse, tell)
    else:
        found = _lists_of(path, beam_size, refuse, tell)
    return _in_groups(found)


def _in_groups(lists: Iterable[NbestList | None]) -> Iterator[list[NbestList]]:
    """Ends a group where there is None, at the bound, and before what cannot be read."""
    group: list[NbestList] = []
    size = 0
    try:
        for each in lists:
            if each is not None:
                group.append(each)
                size += len(each.hypotheses)
            if group and (each is None or size >= _GROUP):
                yield group
                group, size = [], 0
    except DataError:
        if group:
            yield group
        raise
    if group:
        yield group


def _file_by_file(
    folder: Path, refuse: Callable[[DataError], object], tell: Callable[[bytes], object] | None
) -> Iterator[NbestList]:
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    if not files:
        raise DataError(f"{folder}: there is no file in it")
    for file in files:
        whole = NbestList(_stem(file), str(file))
        for part in filter(None, _lists_of(file, None, refuse, tell)):
            whole.hypotheses += part.hypotheses
        yield whole


def _kaldi(
    folder: Path, refuse: Callable[[DataError], object], tell: Callable[[bytes], object] | None
) -> Iterator[NbestList]:
    said = _by_id(folder / "words_text", tell)
    acoustic = _Scores(folder / "acwt", refuse, tell)
    has_language = (folder / "lmwt.lmonly").is_file()
    language = _Scores(folder / "lmwt.lmonly", refuse, tell) if has_language else None
    lists: dict[str, NbestList] = {}
    for key, (words, place) in said.items():
        name = NUMBER_OF_HYPOTHESIS.sub("", key)
        try:
            if name == key:
                raise DataError(f"{place}: expected 'utt-N w1 w2 …', the hypothesis's number after a hyphen")
            present = lists.setdefault(name, NbestList(name, place))
            scores = -acoustic.of(key, place), -language.of(key, place) if language else 0.0
            present.hypotheses.append(_counted(words, place, *scores))
        except DataError as error:
            refuse(error)
    yield from lists.values()


def _espnet(
    folder: Path, refuse: Callable[[DataError], object], tell: Callable[[bytes], object] | None
) -> Iterator[NbestList]:
    lists: dict[str, NbestList] = {}
    for number in count(1):
        part = folder / f"{number}best_recog"
        if not part.is_dir():
            break
        said, scores = _by_id(part / "text", tell), _Scores(part / "score", refuse, tell)
        for name, (words, place) in said.items():
            present = lists.setdefault(name, NbestList(name, place))
            try:
                present.hypotheses.append(_counted(words, place, scores.of(name, place)))
            except DataError as error:
                refuse(error)
    yield from lists.values()


def _by_id(path: Path, tell: Callable[[bytes], object] | None) -> dict[str, tuple[str, str]]:
    """What follows the first word of each line, and where it stands, by that word."""
    found: dict[str, tuple[str, str]] = {}
    for number, line in _lines(path, tell):
        key, *rest = fields(line, 1) or [""]
        if key in found:
            raise DataError(f"{path}:{number}: begins with {key!r}, as a line before does")
        if key:
            found[key] = ("".join(rest), f"{path}:{number}")
    return found


class _Scores:
    """A file of ``id number``; lines that have another form are refused and say nothing."""

    def __init__(
        self, path: Path, refuse: Callable[[DataError], object], tell: Callable[[bytes], object] | None
    ) -> None:
        self._path = path
        self._values: dict[str, float] = {}
        for key, (text, place) in _by_id(path, tell).items():
            if value := _VALUE.fullmatch(text.strip()):
                self._values[key] = float(value[1])
            else:
                refuse(DataError(f"{place}: expected an id and a finite number"))

    def of(self, key: str, place: str) -> float:
        """That of an id, which stands at ``place``."""
        if key not in self._values:
            raise DataError(f"{place}: there is no score of {key!r} in {self._path}")
        return self._values[key]


def _lists_of(
    path: Path,
    beam_size: int | None,
    refuse: Callable[[DataError], object],
    tell: Callable[[bytes], object] | None,
) -> Iterator[NbestList | None]:
    """None stands where reading on may wait."""
    name, parse, present, size, is_read = input_name(path), None, None, 0, False
    for first_number, lines in read_lines(path, tell):
        for number, line in enumerate(lines, first_number):
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
                is_read = True
            except DataError as error:
                refuse(error if is_read or parse is not _srilm else DataError(f"{error}{_OTHER_FORMS}"))
        yield None
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


@dataclass(frozen=True)
class References:
    """What was said, an utterance a line: its words, or an object of a NeMo manifest, with ``text``."""

    name: str
    """Of the file, for messages."""
    lines: list[list[str]]
    """Their fields."""

    @classmethod
    def read(cls, path: Path) -> "References":
        """Those of a file.

        Raises:
            DataError: It cannot be read.
        """
        name = input_name(path)
        return cls(name, [fields(_text_of(line, f"{name}:{number}")) for number, line in _lines(path)])

    def of(self, list_names: Sequence[str | None]) -> list[list[str]]:
        """The words of each utterance in the order of the lists.

        Where lists have names, a line begins with that of its utterance, and lines come in any order.

        Raises:
            DataError: They are not of these utterances.
        """
        names = [name for name in list_names if name is not None]
        by_name: dict[str, list[str]] = {}
        for name, *words in filter(None, self.lines if names else []):
            if by_name.setdefault(name, words) != words:
                raise DataError(f"{self.name}: two lines that differ begin with {name!r}")
        if missing := next((name for name in names if name not in by_name), None):
            raise DataError(f"{self.name}: no line begins with {missing!r}, the name of a list")
        said = [by_name[name] for name in names] if names else self.lines
        if len(said) != len(list_names):
            raise DataError(
                f"{self.name}: {len(said):,} references, where there are {len(list_names):,} lists; it "
                "has a line an utterance (--beam-size says how many lines one has in a file of beams)"
            )
        return [fields(without_marks(" ".join(words))) for words in said]


def begin_with_ids(references: Sequence[Sequence[str]], lists: Sequence[Sequence[str]]) -> bool:
    """Whether references begin with the ids of utterances: words that differ, and no hypothesis has.

    Args:
        references: The words of each utterance; fewer than three say nothing.
        lists: The hypotheses for each.
    """
    firsts = [words[0] if words else "" for words in references]
    return (
        len(firsts) > 2
        and len(set(firsts)) == len(firsts)
        and not any(
            first in fields(text) for first, texts in zip(firsts, lists, strict=True) for text in texts
        )
    )


def _text_of(line: str, place: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        return str(json.loads(line)["text"])
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{place}: begins as a JSON object, and is none with 'text'") from None
