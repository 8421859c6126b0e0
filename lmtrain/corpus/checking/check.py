"""A text file looked through before it is trained on: what it holds, what is wrong with it, what looks odd.

It is read to the end whatever is wrong with it. What training would refuse is a *fault*; what it would take,
though a person may have meant something else, is a *suspicion* (``lmtrain.corpus.checking.suspicions``).
"""

import codecs
import hashlib
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from heapq import nlargest
from pathlib import Path

from lmtrain.corpus.checking.line_hashes import LineHashes, Repetition, line_pieces, overlap, repetition
from lmtrain.corpus.checking.suspicions import Suspicion, suspicious_words
from lmtrain.corpus.checking.text_report import Fault, TextReport, Unknown
from lmtrain.corpus.text import EOS, EOS_BYTES, LONGEST_WORD, TextRules, mark_lines
from lmtrain.corpus.vocab import UNK
from lmtrain.files.text_input import OTHER_MARKS, WORKBOOKS, file_blocks, regular_file_stat

_NUM_UNKNOWN_SHOWN = 10
_LONG_LINE = 1000  # words
_SENTENCE_END = re.compile(rb"[^\s.]{2}\.[\"')\]]*$")
# Of lines: what it is and what can be done, and the share of lines from which on it is worth telling.
_LINE_SIGNS = {
    "glued_full_stops": (
        "lines that end in a word with its full stop: not tokenised? data.tokenizer: moses splits it off",
        0.05,
    ),
    "long_lines": (
        f"lines of more than {_LONG_LINE:,} words: with data.context: line, each is one sequence",
        0.0,
    ),
    "runs_of_spaces": (
        "lines with tabs or several spaces in a row: harmless, whitespace of any kind separates words",
        0.0,
    ),
    "carriage_returns": (
        "lines that end in a carriage return: harmless here, a part of the last word for other programs",
        0.0,
    ),
    "inner_carriage_returns": (
        "carriage returns within lines are read as spaces: if lines are meant to end there, lines are lost;"
        r" convert them with tr '\r' '\n'",
        0.0,
    ),
    "form_feeds": (
        "lines with form feeds or vertical tabs, which separate words here and not in SRILM and KenLM",
        0.0,
    ),
}
_REPEATED_FROM = 0.01  # of the lines of some length


def check_text(
    path: Path,
    vocab: Container[str] | None = None,
    rules: TextRules | None = None,
    *,
    vocab_name: str = "",
    train: Sequence[Path] = (),
    max_faults: int = 10,
) -> TextReport:
    """Looks through a text.

    Memory grows with the number of different words and, by 9 bytes each, of lines; not with the length
    of lines, nor with the training texts.

    Args:
        path: The file, compressed or not.
        vocab: Words to look for unknown ones against.
        rules: How text becomes the words of that vocabulary; by default whitespace alone separates them.
        vocab_name: What the report calls it.
        train: Training texts, to look for lines of theirs.
        max_faults: So many are listed; all are counted.

    Raises:
        DataError: A file is missing, damaged or cannot be read.
    """
    regular_file_stat(path)
    scan = _Scan(max_faults)
    scan.read(file_blocks(path))
    counts = {word.decode(errors="replace"): count for word, count in scan.counts.items()}
    unknown = None
    if vocab is not None and not scan.num_faults:
        used = counts if rules in (None, TextRules()) else _counts_by(path, rules or TextRules())
        unknown = _unknown(used, vocab, vocab_name, scan.num_lines)
    repeated = repetition(scan.lines)
    return TextReport(
        sha256=scan.digest.hexdigest(),
        num_bytes=scan.num_bytes,
        num_lines=scan.num_lines,
        num_empty_lines=scan.num_empty_lines,
        num_words=scan.counts.total(),
        num_types=len(counts),
        num_types_lowercase=len({word.lower() for word in counts}),
        num_singletons=sum(count == 1 for count in counts.values()),
        num_unk=counts.get(UNK, 0),
        longest_line=scan.longest_line,
        num_faults=scan.num_faults,
        faults=scan.faults,
        suspicions=[*suspicious_words(counts), *_suspicious_lines(scan, repeated)],
        repetition=repeated,
        unknown=unknown,
        overlap=overlap(scan.lines, train) if train else None,
    )


class _Scan:
    """One reading of a text, from its first byte to its last."""

    def __init__(self, max_faults: int) -> None:
        self.counts: Counter[bytes] = Counter()
        self.lines = LineHashes()
        self.digest = hashlib.sha256()
        self.num_bytes = self.num_lines = self.num_empty_lines = self.num_faults = 0
        self.faults: list[Fault] = []
        self.longest_line = (0, 0)
        self.odd_lines: dict[str, _OddLines] = {kind: _OddLines() for kind in _LINE_SIGNS}
        self._max_faults = max_faults
        # Of the line that is open; the position is in bytes, of the piece within its line.
        self._num_words = self._position = self._num_returns = 0
        self._has_runs = self._has_feeds = False

    def read(self, blocks: Iterable[bytes]) -> None:
        """Reads all of it."""
        is_start, is_foreign = True, False
        for piece, ends in line_pieces(self._hashed(blocks)):
            if is_start:
                is_start, is_foreign = False, self._is_no_utf8_text(piece)
                if piece.startswith(codecs.BOM_UTF8):
                    piece = piece.removeprefix(codecs.BOM_UTF8)
                    self._position = len(codecs.BOM_UTF8)
            if not is_foreign:
                self._look_at(piece, ends)
        if not self.counts and not is_foreign:
            self._note(1, None, "empty: there is no word in it")

    def _hashed(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.digest.update(block)
            self.num_bytes += len(block)
            yield block

    def _is_no_utf8_text(self, piece: bytes) -> bool:
        reasons = {mark: f"{encoding}, not UTF-8; convert the file" for mark, encoding in OTHER_MARKS.items()}
        reasons |= {mark: f"{kind}, not text; save it as text in UTF-8" for mark, kind in WORKBOOKS.items()}
        for mark, reason in reasons.items():
            if piece.startswith(mark):
                self._note(1, 1, reason)
                return True
        return False

    def _look_at(self, piece: bytes, ends: bool) -> None:
        self._find_faults(piece)
        words = piece.split()
        self.counts.update(words)
        self.lines.add(words, ends=ends)
        self._num_words += len(words)
        self._has_runs = self._has_runs or b"  " in piece.strip() or b"\t" in piece
        self._num_returns += piece.count(b"\r")
        self._has_feeds = self._has_feeds or b"\f" in piece or b"\v" in piece
        self._position += len(piece)
        if ends:
            self.num_lines += 1
            self._look_at_line(piece, words)
            self._num_words = self._position = self._num_returns = 0
            self._has_runs = self._has_feeds = False

    def _look_at_line(self, piece: bytes, words: Sequence[bytes]) -> None:
        self.num_empty_lines += not self._num_words
        if self._num_words > self.longest_line[1]:
            self.longest_line = (self.num_lines, self._num_words)
        num_inner_returns = self._num_returns - piece.endswith(b"\r")
        signs: dict[str, int] = {
            "carriage_returns": piece.endswith(b"\r") and not num_inner_returns,
            "inner_carriage_returns": num_inner_returns,
            "form_feeds": self._has_feeds,
            "runs_of_spaces": self._has_runs,
            "glued_full_stops": bool(words and self._num_words > 1 and _SENTENCE_END.search(words[-1])),
            "long_lines": self._num_words > _LONG_LINE,
        }
        for kind, sign in signs.items():
            if sign:
                self.odd_lines[kind].add(self.num_lines, int(sign))

    def _find_faults(self, piece: bytes) -> None:
        line = self.num_lines + 1
        try:
            piece.decode()
        except UnicodeDecodeError:
            self._find_wrong_bytes(piece, line)
        if b"\0" in piece:
            self._note(line, self._position + piece.index(b"\0") + 1, "binary: a NUL")
        if EOS_BYTES in piece and EOS_BYTES in piece.split():
            self._note(line, None, f"holds {EOS}, which every line end already stands for; remove it")
        if len(piece) > LONGEST_WORD and max(map(len, piece.split())) > LONGEST_WORD:
            self._note(line, None, f"a word of more than {LONGEST_WORD:,} bytes; is this text?")

    def _find_wrong_bytes(self, piece: bytes, line: int) -> None:
        # What is not listed is only counted, so that gigabytes that are no text take no longer than text.
        start = 0
        while len(self.faults) < self._max_faults:
            try:
                piece[start:].decode()
                return
            except UnicodeDecodeError as error:
                place = self._position + start + error.start + 1
                self._note(line, place, f"not UTF-8 (0x{piece[start + error.start]:02x})")
                start += error.end
        rest = piece[start:]
        self.num_faults += rest.decode(errors="replace").count("\ufffd") - rest.count("\ufffd".encode())

    def _note(self, line: int, byte: int | None, message: str) -> None:
        self.num_faults += 1
        if len(self.faults) < self._max_faults:
            self.faults.append(Fault(line, byte, message))


class _OddLines:
    """How often lines are odd in one way, how many they are, and the first of them."""

    def __init__(self) -> None:
        self.count = self.num_lines = 0
        self.first: list[int] = []

    def add(self, number: int, times: int) -> None:
        self.count += times
        self.num_lines += 1
        if len(self.first) < 5:
            self.first.append(number)


def _suspicious_lines(scan: _Scan, repeated: Repetition) -> Iterator[Suspicion]:
    for kind, (message, from_share) in _LINE_SIGNS.items():
        odd = scan.odd_lines[kind]
        if odd.count and odd.num_lines >= from_share * scan.num_lines:
            examples = [f"line {number:,}" for number in odd.first]
            yield Suspicion(kind, message, odd.count, odd.num_lines / scan.num_lines, examples)
    if repeated.num_repeated and repeated.share >= _REPEATED_FROM:
        examples = [f"line {number:,} ({times:,} times)" for number, times in repeated.examples]
        message = "lines of 5 words or more that repeat an earlier one"
        yield Suspicion("repeated_lines", message, repeated.num_repeated, repeated.share, examples)


def _counts_by(path: Path, rules: TextRules) -> dict[str, int]:
    """How often each word occurs when a text is read by other rules, line ends left out."""
    counts: Counter[bytes] = Counter()
    for text in mark_lines(file_blocks(path), rules, str(path)):
        counts.update(text.split())
    del counts[EOS_BYTES]
    return {word.decode(): count for word, count in counts.items()}


def _unknown(counts: Mapping[str, int], vocab: Container[str], name: str, num_lines: int) -> Unknown:
    unknown = {word: count for word, count in counts.items() if word not in vocab and word != UNK}
    most = nlargest(_NUM_UNKNOWN_SHOWN, unknown, key=lambda word: (unknown[word], word))
    num_oov = sum(unknown.values()) + counts.get(UNK, 0)
    num_tokens = sum(counts.values()) + num_lines
    return Unknown(name, num_oov, num_oov / num_tokens, len(unknown), [(w, unknown[w]) for w in most])
