"""Scores in the forms that other programs read. Each form says how a line is read and how it is written."""

import json
import math
from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lmtrain.corpus.nbest import NUMBER, NUMBER_OF_HYPOTHESIS, srilm_fields
from lmtrain.corpus.text import fields

if TYPE_CHECKING:
    from lmtrain.cli.signatures import Signatures
    from lmtrain.inference.score import Guess, ScoredLine


class ScoreFormat:
    """What all forms share: a line is a sentence, numbered from 1.

    Args:
        name: Of the text, as SRILM quotes it.
        is_extended: Whether entropy and rank are written too, where the form has a place for them.
        known_words: Those of the model, with which a form may tell that lines are not its own.
        num_guesses: How many words are written that were expected in the place of each token.
        signatures: What figures depend on, but for the text; of each model.
    """

    base: ClassVar[str] = "2"
    """Of the logarithms, as signatures call it."""
    reads: ClassVar[str] = "a sentence a line"
    """What its lines are, for messages."""
    takes_details: ClassVar[bool] = False
    """Whether there is a place for entropy and rank."""
    holds_alternatives: ClassVar[bool] = False
    """Whether the lines are hypotheses for the same, so that none goes on from the one before."""
    has_fields: ClassVar[bool] = False
    """Whether other fields precede the words: a blank line is then no sentence, and comes out as it is.
    These are the forms of recognisers, which tell what utterance a line is for."""

    def __init__(
        self,
        name: Path,
        is_extended: bool = False,
        known_words: Container[str] = (),
        num_guesses: int = 0,
        signatures: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.known_words = known_words
        self.is_extended = is_extended
        self.num_guesses = num_guesses
        self.signatures = signatures
        self.number = 0
        """Of the sentence written last."""

    def parse(self, line: str, place: str) -> tuple[str, str]:  # noqa: ARG002
        """What precedes the sentence on a line and is handed to ``write`` with it, and the sentence.

        Raises:
            DataError: The line, which is at ``place``, has another form.
        """
        return "", line

    def utterance(self, prefix: str) -> str:  # noqa: ARG002
        """What tells the hypotheses for an utterance, which follow each other, from those for the next."""
        return ""

    def end_list(self) -> None:
        """Takes note of a blank line that comes out as it is."""

    def begin(self) -> str:
        """What stands before the first sentence."""
        return ""

    def write(self, prefix: str, line: "ScoredLine") -> str:
        """The text for one sentence."""
        self.number += 1
        return self._write(prefix, line)

    def write_all(self, prefix: str, lines: Sequence["ScoredLine"]) -> str:
        """The same of a sentence that each model has scored; there is one here."""
        (line,) = lines
        return self.write(prefix, line)

    def end(self, signed: "Signatures") -> str:  # noqa: ARG002
        """What stands after the last sentence; with what figures depend on, where there is a place for it."""
        return ""

    def remark(self) -> str:
        """What the lines leave in doubt, for a person; nothing where they are as they should be."""
        return ""

    def _write(self, prefix: str, line: "ScoredLine") -> str:
        raise NotImplementedError


_COLUMNS = ("sentence_id", "token_id", "token", "surprisal")


def guess_columns(num_guesses: int, unit: str = "") -> list[str]:
    """The names of two columns for each: ``guess_1``, ``guess_1_surprisal``."""
    numbers = range(1, num_guesses + 1)
    return [name for i in numbers for name in (f"guess_{i}", f"guess_{i}_surprisal{unit}")]


def guess_cells(guesses: "Sequence[Guess]", num_guesses: int, per_nat: float = 1 / math.log(2)) -> list[str]:
    """The cells of these columns; empty ones where the model has no more words."""
    cells = [cell for guess in guesses for cell in (guess.word, f"{guess.nats * per_nat:z.6f}")]
    return cells + [""] * (2 * num_guesses - len(cells))


class TsvFormat(ScoreFormat):
    """A line a token, as LM-Zoo specifies: ids from 1, surprisal in bits, ``<unk>`` for unknown words.

    Extended, beyond what LM-Zoo knows, it has words as in the text, and a column that marks unknown ones.
    """

    takes_details = True

    def begin(self) -> str:
        """The header."""
        more = ["is_unk", "entropy", "rank"] if self.is_extended else []
        return "\t".join([*_COLUMNS, *more, *guess_columns(self.num_guesses)]) + "\n"

    def _write(self, prefix: str, line: "ScoredLine") -> str:  # noqa: ARG002
        tokens = line.scored_tokens if line.details is None else line.tokens
        rows = [
            f"{self.number}\t{i}\t{token}\t{bits:z.6f}"
            for i, (token, bits) in enumerate(zip(tokens, line.surprisal.tolist(), strict=True), 1)
        ]
        if line.details is not None:
            details = line.details
            found = zip(line.is_unk, details.entropy.tolist(), details.rank.tolist(), strict=True)
            extra = [f"{int(unk)}\t{entropy:z.6f}\t{rank}" for unk, entropy, rank in found]
            guesses = [guess_cells(guesses, self.num_guesses) for guesses in details.guesses]
            rows = ["\t".join([*row, *more]) for *row, more in zip(rows, extra, guesses, strict=True)]
        return "\n".join(rows) + "\n"


class JsonFormat(ScoreFormat):
    """A JSON object a sentence: its log-probability (natural) and its tokens, surprisal in bits.

    The signature in each does not name the text, whose tokens stand beside it.
    """

    takes_details = True

    def _write(self, prefix: str, line: "ScoredLine") -> str:  # noqa: ARG002
        (signature,) = self.signatures
        return as_json_line({"sentence_id": self.number, **fields_of(line, signature)})


def fields_of(line: "ScoredLine", signature: str) -> dict[str, object]:
    """What the JSON form says of a line by a model."""
    tokens: list[dict[str, object]] = [
        {"token": token, "surprisal": _number(bits), "is_unk": unk}
        for token, bits, unk in zip(line.tokens, line.surprisal.tolist(), line.is_unk, strict=True)
    ]
    if line.details is not None:
        details = line.details
        found = zip(details.entropy.tolist(), details.rank.tolist(), details.guesses, strict=True)
        for token, (entropy, rank, guesses) in zip(tokens, found, strict=True):
            token |= {"entropy": _number(entropy), "rank": rank}
            if guesses:
                token["guesses"] = [
                    {"token": guess.word, "surprisal": _number(guess.bits)} for guess in guesses
                ]
    return {
        "logprob": _number(line.log_prob),
        "num_tokens": len(tokens),
        "tokens": tokens,
        "signature": signature,
    }


def as_json_line(value: dict[str, object]) -> str:
    """An object in one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


class SrilmFormat(ScoreFormat):
    """What SRILM's ``ngram -unk -ppl FILE -debug 2`` prints: base-10 logarithms, ``</s>`` for a line's end.

    Since ``<unk>`` is a word of the model like any other, it is printed in the place of unknown words and
    scored, and no word is out of vocabulary, as with ``-unk`` there. ``[3gram]`` says that the word was
    predicted from the two tokens before it on its line, which for a recurrent model are all there are. Empty
    lines, which SRILM skips, are scored: their end is a token.
    """

    base = "10"

    def __init__(self, name: Path, *options: Any) -> None:
        super().__init__(name, *options)
        self._num_words = 0
        self._log10 = 0.0

    def _write(self, prefix: str, line: "ScoredLine") -> str:  # noqa: ARG002
        tokens = [*line.scored_tokens[:-1], "</s>"]
        log10 = (-line.nats / math.log(10)).tolist()
        rows = [" ".join(tokens[:-1])]
        before = "<s> "
        for order, (token, value) in enumerate(zip(tokens, log10, strict=True), 2):
            probability = 10.0**value
            rows.append(f"\tp( {token} | {before}) \t= [{order}gram] {probability:.7g} [ {value:z.7g} ]")
            before = f"{token} ..."
        num_words = len(tokens) - 1
        self._num_words += num_words
        self._log10 += sum(log10)
        return "\n".join([*rows, *_statistics(1, num_words, sum(log10))]) + "\n\n"

    def end(self, signed: "Signatures") -> str:  # noqa: ARG002
        """The statistics of the whole text."""
        head, figures = _statistics(self.number, self._num_words, self._log10)
        return f"file {self.name}: {head}\n{figures}\n"


class KaldiFormat(ScoreFormat):
    """Lines ``utt-id w1 w2 …`` become ``utt-id`` and the negated natural log-probability of the words.

    Of a plain text, the first word of each line is taken for an id and not scored. Ids differ from line to
    line and are seldom words: where all are words of the model, or one of them comes twice, it says so. And
    where a number comes next in each line: a score that is not meant to be scored as a word.
    """

    base = "e"
    reads = "lines 'utt-id w1 w2 …'"
    has_fields = True

    def __init__(self, name: Path, *options: Any) -> None:
        super().__init__(name, *options)
        self._words_as_ids: set[str] = set()  # no larger than the vocabulary
        self._has_other_ids = False
        self._twice = ""
        self._num_numbers = self._num_others = 0

    def parse(self, line: str, place: str) -> tuple[str, str]:
        """The utterance id, and the words."""
        utterance, *words = fields(line, 1)
        if words:
            is_number = NUMBER.fullmatch(words[0].split(maxsplit=1)[0]) is not None
            self._num_numbers += is_number
            self._num_others += not is_number
        if utterance not in self.known_words:
            self._has_other_ids = True
        elif utterance in self._words_as_ids:
            self._twice = self._twice or f"{place}: begins with {utterance!r}, as a line before does"
        else:
            self._words_as_ids.add(utterance)
        return utterance, " ".join(words)

    def utterance(self, prefix: str) -> str:
        """The id without the number of the hypothesis at its end."""
        return NUMBER_OF_HYPOTHESIS.sub("", prefix)

    def remark(self) -> str:
        """Whether ids look as if they were the first words of sentences."""
        doubt = self._twice
        if not doubt and self._words_as_ids and not self._has_other_ids:
            doubt = "every line begins with a word of the model"
        if not doubt and self._num_numbers > 1 and not self._num_others:
            return "a number follows each id, and was scored as a word; take scores out (kaldi form)"
        return doubt and f"{doubt}; first words are taken for utterance ids and not scored (kaldi form)"

    def _write(self, prefix: str, line: "ScoredLine") -> str:
        return f"{prefix} {-line.log_prob:z.6f}\n"


class KaldiWordsFormat(KaldiFormat):
    """The same with the negated natural log-probability of each word, and of the end of the sentence last.

    Kaldi's lattice rescoring (``steps/pytorchnn``) reads them so, in place of ``compute_sentence_scores.py``.
    """

    def _write(self, prefix: str, line: "ScoredLine") -> str:
        return " ".join([prefix, *(f"{nats:z.6f}" for nats in line.nats.tolist())]) + "\n"


class NbestFormat(ScoreFormat):
    """SRILM's n-best lists: of ``ascore lscore nwords w1 w2 …`` the second becomes the model's, in log10.

    As for SRILM, ``nwords`` need not be the number of the words that follow, since it may leave out pauses,
    and ``<s>`` and ``</s>`` around them are no words.
    """

    base = "10"
    reads = "lines 'ascore lscore nwords w1 w2 …'"
    holds_alternatives = True
    has_fields = True

    def __init__(self, name: Path, *options: Any) -> None:
        super().__init__(name, *options)
        self._num_ended = 0

    def parse(self, line: str, place: str) -> tuple[str, str]:
        """The line without the language model's score, its fields apart by tabs, and the words."""
        acoustic, _, count, words = srilm_fields(line, place)
        return "\t".join([acoustic, count, *fields(words)]), words

    def utterance(self, prefix: str) -> str:  # noqa: ARG002
        """How many lists have ended, each by a blank line."""
        return str(self._num_ended)

    def end_list(self) -> None:
        """Takes note of a blank line, after which another list begins."""
        self._num_ended += 1

    def _write(self, prefix: str, line: "ScoredLine") -> str:
        acoustic, *rest = prefix.split("\t")
        return " ".join([acoustic, f"{line.log_prob / math.log(10):z.6f}", *rest]) + "\n"


def _statistics(num_sentences: int, num_words: int, log10: float) -> tuple[str, str]:
    """SRILM's two lines: perplexity, and that of the words alone, whose logarithms it divides by fewer."""
    ppl, ppl1 = (_power(log10, divisor) for divisor in (num_words + num_sentences, num_words))
    return (
        f"{num_sentences} sentences, {num_words} words, 0 OOVs",
        f"0 zeroprobs, logprob= {log10:z.7g} ppl= {ppl} ppl1= {ppl1}",
    )


def _power(log10: float, divisor: int) -> str:
    if not divisor:
        return "undefined"
    try:
        return f"{10.0 ** (-log10 / divisor):.7g}"
    except OverflowError:
        return "inf"


def _number(value: float) -> float | None:
    """As many decimals as the tables have; null stands for what JSON has no number for."""
    return round(value, 6) + 0.0 if math.isfinite(value) else None


FORMATS: dict[str, type[ScoreFormat]] = {
    "tsv": TsvFormat,
    "srilm": SrilmFormat,
    "kaldi": KaldiFormat,
    "kaldi-words": KaldiWordsFormat,
    "nbest": NbestFormat,
    "json": JsonFormat,
}
