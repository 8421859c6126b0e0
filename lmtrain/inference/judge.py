"""What a model says to questions: which of two alternatives surprises it more, which predictions hold."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt
import torch

from lmtrain.corpus.suites.question import Metric, Question, Stretch
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.corpus.words import Part, Word, words_of
from lmtrain.errors import DataError
from lmtrain.inference.score import Floats, token_nats
from lmtrain.inference.windows import asking_for, line_windows
from lmtrain.model.language_model import LanguageModel

_LINES_AT_ONCE = 2000

_METRICS: dict[Metric, Callable[[Floats], float]] = {
    "sum": np.sum,
    "mean": np.mean,
    "median": np.median,
    "range": np.ptp,
    "max": np.max,
    "min": np.min,
}


@dataclass(frozen=True)
class Verdict:
    """What became of a question.

    Attributes:
        holds: Whether the claim is true.
        is_tie: Whether the model does not decide: both alternatives are equally probable to it.
        has_unknown: Whether words that matter are unknown: those in which the lines differ, and what is
            measured where that is not a whole sentence.
        bits: The figure of each stretch.
    """

    holds: bool
    is_tie: bool
    has_unknown: bool
    bits: tuple[float, ...]


@dataclass(frozen=True)
class Line:
    """A line as a model reads it.

    Attributes:
        parts: Of its words, in order.
        ids: Of the parts and ``<eos>``, int32.
        nodes: Of these in the tree of all lines.
    """

    parts: list[Part]
    ids: npt.NDArray[np.int32]
    nodes: npt.NDArray[np.int64]

    def tokens(self, stretch: Stretch) -> slice:
        """Those of a stretch."""
        end = math.inf if stretch.end is None else stretch.end
        inside = [i for i, part in enumerate(self.parts) if stretch.start <= part.start < end]
        begin = inside[0] if inside else 0
        return slice(begin, begin + len(inside) + stretch.with_eos)


Watch = Callable[[Sequence[Sequence[Line]]], Iterable[Sequence[Line]]]
"""Hands on groups of lines, and may show how far it has come."""


class Judge:
    """Puts questions to a model.

    A token after the same beginning is scored once, whatever lines it stands in: what the model cannot tell
    apart costs exactly the same.

    Args:
        model: In training or evaluation mode, which it is left in.
        vocab: Of the model.
        rules: How text becomes its words.
        watch: Shows how far it has come.
        precision: What products are computed in; whatever the model was trained in.

    Attributes:
        words: Of each line that was read.
    """

    def __init__(
        self,
        model: LanguageModel,
        vocab: Vocabulary,
        rules: TextRules,
        watch: Watch = iter,
        precision: torch.dtype = torch.float32,
    ) -> None:
        self._model, self._vocab, self._rules = model, vocab, rules
        self._watch, self._precision = watch, precision
        self._tree: dict[tuple[int, int], int] = {}
        """By the node before and the id of a token, the node of the token."""
        self.words: dict[str, list[Word]] = {}

    def verdicts(self, questions: Sequence[Question]) -> list[Verdict]:
        """What becomes of each question.

        Raises:
            DataError: A line holds ``<eos>``, or the rules leave nothing of a stretch whose figure is no sum.
            ModelError: The model gives scores that are not numbers (NaN).
        """
        where = {s.line: question.place.where for question in questions for s in question.stretches}
        lines = {line: self._read(line, place) for line, place in where.items()}
        wanted = np.zeros(len(self._tree), dtype=np.bool_)
        for question, stretch in ((asked, s) for asked in questions for s in asked.stretches):
            nodes = lines[stretch.line].nodes[lines[stretch.line].tokens(stretch)]
            if question.metric != "sum" and not len(nodes):
                text = stretch.line[stretch.start : stretch.end].strip()
                raise DataError(
                    f"{question.place.where}: no word is read of the region {text!r} "
                    f"(tok:{self._rules.name}), which has no {question.metric} then"
                )
            wanted[nodes] = True
        bits = self._bits(lines.values(), wanted)
        return [self._verdict(question, lines, bits) for question in questions]

    def _read(self, line: str, where: str) -> Line:
        self.words[line] = words_of(line, self._rules, where)
        parts = [part for word in self.words[line] for part in word.parts]
        ids = self._vocab.encode_line(part.text for part in parts)
        nodes, node = [], -1
        for token in ids:
            node = self._tree.setdefault((node, token), len(self._tree))
            nodes.append(node)
        return Line(parts, np.array(ids, dtype=np.int32), np.array(nodes))

    def _bits(self, lines: Iterable[Line], wanted: npt.NDArray[np.bool_]) -> Floats:
        """The surprisals of the nodes that are wanted."""
        bits, missing = np.zeros(len(wanted)), wanted.copy()
        # Long ones first: of those that are their beginnings, little is left to be scored.
        ordered = sorted(lines, key=lambda line: len(line.ids), reverse=True)
        groups = [ordered[i : i + _LINES_AT_ONCE] for i in range(0, len(ordered), _LINES_AT_ONCE)]
        for group in self._watch(groups):
            read = [line for line in group if missing[line.nodes].any()]
            if not read:
                continue
            nodes, ids = np.concatenate([x.nodes for x in read]), np.concatenate([x.ids for x in read])
            is_asked = np.zeros(len(nodes), dtype=np.bool_)
            is_asked[np.unique(nodes, return_index=True)[1]] = True
            is_asked &= missing[nodes]
            ends = np.cumsum([len(line.ids) for line in read]) - 1
            windows = asking_for(line_windows(ids, ends, self._vocab.eos_id), is_asked)
            nats = token_nats(self._model, windows, len(ids), self._precision)
            bits[nodes[is_asked]] = nats[is_asked] / math.log(2)
            missing[nodes] = False
        return bits

    def _verdict(self, question: Question, lines: Mapping[str, Line], bits: Floats) -> Verdict:
        read = [(stretch, lines[stretch.line]) for stretch in question.stretches]
        measure = _METRICS[question.metric]
        figures = tuple(float(measure(bits[line.nodes[line.tokens(stretch)]])) for stretch, line in read)
        has_unknown = any(self._vocab.unk_id in ids for ids in _that_matter(read))
        return Verdict(question.holds(figures), question.is_tie(figures), has_unknown, figures)


def _that_matter(read: Sequence[tuple[Stretch, Line]]) -> Iterator[npt.NDArray[np.int32]]:
    """The tokens on which an answer rests."""
    for stretch, line in read:
        if not stretch.with_eos:
            yield line.ids[line.tokens(stretch)]
    first, *others = {id(line): line for _, line in read}.values()
    for other in others:
        texts = [[part.text for part in line.parts] for line in (first, other)]
        alignment = SequenceMatcher(a=texts[0], b=texts[1], autojunk=False)
        for kind, a, b, c, d in alignment.get_opcodes():
            if kind != "equal":
                yield from (first.ids[a:b], other.ids[c:d])
