"""What each word of a text costs, line after line as they come."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from lmtrain.corpus.batching import Ids
from lmtrain.corpus.vocab import EOS, UNK, Vocabulary
from lmtrain.errors import ModelError
from lmtrain.inference.adapt import Adaptation, Statistics
from lmtrain.inference.reader import Reader, Strategy
from lmtrain.inference.windows import HeldOutWindow, coming_windows, line_windows, ordered_line_windows
from lmtrain.model.language_model import LanguageModel, ModelState

Floats = npt.NDArray[np.float64]


class Guess(NamedTuple):
    """A word that the model thinks probable in the place of a token."""

    word: str
    nats: float
    """-ln p of it."""

    @property
    def bits(self) -> float:
        """-log2 p of it."""
        return self.nats / math.log(2)


@dataclass(frozen=True, eq=False)
class Details:
    """What was expected in the place of each token of a line; of the neural model alone."""

    entropy: Floats
    """Of the distribution over all words, in bits, shape (tokens,)."""
    rank: npt.NDArray[np.int64]
    """Of the token by probability, 1 where no word is more probable, shape (tokens,)."""
    guesses: list[list[Guess]]
    """As many as are asked for in the place of each token, the most probable first."""

    def of(self, part: slice) -> "Details":
        """Those of some of the tokens."""
        return Details(self.entropy[part], self.rank[part], self.guesses[part])


@dataclass(frozen=True, eq=False)
class ScoredLine:
    """A line and what each of its tokens cost."""

    tokens: list[str]
    """The words as the text has them, and ``<eos>``."""
    is_unk: list[bool]
    """Whether a token was scored as ``<unk>``."""
    nats: Floats
    """-ln p of each token, shape (tokens,)."""
    details: Details | None = None

    def after(self, num_words: int) -> "ScoredLine":
        """What follows the first words, at the cost it has there."""
        rest = slice(num_words, None)
        details = self.details and self.details.of(rest)
        return ScoredLine(self.tokens[rest], self.is_unk[rest], self.nats[rest], details)

    @property
    def surprisal(self) -> Floats:
        """-log2 p of each token, in bits, shape (tokens,)."""
        return self.nats / math.log(2)

    @property
    def log_prob(self) -> float:
        """Ln p of the whole line, its end included."""
        return 0.0 - float(self.nats.sum())

    @property
    def scored_tokens(self) -> list[str]:
        """The tokens as the model reads them: ``<unk>`` for each word that it does not know."""
        return [UNK if unk else token for token, unk in zip(self.tokens, self.is_unk, strict=True)]


class Scorer:
    """Scores lines in the order they come in; memory is that of the lines it is given at once.

    In ``line`` context each line starts from the initial state; lines of about the same length are read
    together, which changes nothing but rounding. In ``stream`` context each line goes on from the one before,
    that of an earlier call too: how many lines a call brings changes nothing but rounding either.

    Args:
        model: In training or evaluation mode, which it is left in.
        vocab: Of the model.
        context: ``line`` or ``stream``.
        with_details: Whether entropy and rank are asked for, which takes twice as long.
        num_guesses: With details, how many of the most probable words are asked for in the place of each.
        mix: Given what some tokens cost, and their ids, what they cost in a mixture of models. The first
            token starts a line.
        precision: What products are computed in; whatever the model was trained in.
        adaptation: How the model adapts to what it reads: each line is scored as at the moment of reading.
        statistics: Of the training text, for an adaptation that needs them.
    """

    def __init__(
        self,
        model: LanguageModel,
        vocab: Vocabulary,
        context: str = "line",
        *,
        with_details: bool = False,
        num_guesses: int = 0,
        mix: Callable[[Floats, Ids], Floats] | None = None,
        precision: torch.dtype = torch.float32,
        adaptation: Adaptation | None = None,
        statistics: Statistics | None = None,
    ) -> None:
        self._vocab = vocab
        self._is_stream = context == "stream"
        self._mix = mix
        self._with_details = with_details
        self._num_guesses = num_guesses
        self._adaptation = adaptation or Adaptation()
        self._reader = Reader(model, precision, self._adaptation.strategy(statistics))
        self._next_start: ModelState | None = None
        self._num_read = 0

    def score(self, lines: Sequence[Sequence[str]]) -> list[ScoredLine]:
        """Scores the next lines, given as their words, without ``<eos>``.

        Raises:
            ModelError: The model gives scores that are not numbers (NaN).
        """
        if not lines:
            return []
        ids = np.array([i for words in lines for i in self._vocab.encode_line(words)], dtype=np.int32)
        ends = np.cumsum([len(words) + 1 for words in lines])
        eos_id = self._vocab.eos_id
        window_len = self._adaptation.window_len
        if self._is_stream:
            # A line ends in <eos>, so that the first token after it has the same context as that of a text.
            windows = coming_windows(ids, eos_id, window_len, self._num_read)
            self._num_read += len(ids)
        elif self._adaptation.is_ordered:
            windows = ordered_line_windows(ids, ends - 1, eos_id, window_len)
        else:
            windows = line_windows(ids, ends - 1, eos_id)
        details = None
        if self._with_details:
            nats, details = self._nats_and_details(windows, len(ids))
        else:
            nats = _nats(self._reader, windows, len(ids))
        if self._mix is not None:
            nats = self._mix(nats, ids)
        is_unk = (ids == self._vocab.unk_id).tolist()
        parts = [slice(end - len(words) - 1, end) for words, end in zip(lines, ends.tolist(), strict=True)]
        return [
            ScoredLine([*words, EOS], is_unk[part], nats[part], details and details.of(part))
            for words, part in zip(lines, parts, strict=True)
        ]

    def score_hypotheses(self, lines: Sequence[Sequence[str]], *, is_next: bool = True) -> list[ScoredLine]:
        """Scores alternatives for an utterance, all of which go on from the utterance before.

        Of that, the first hypothesis counts as what was said, since lists begin with the best. In ``line``
        context alone. Source: Kaldi's ``steps/pytorchnn/compute_sentence_scores.py``.

        Args:
            lines: As of ``score``; one or more.
            is_next: Whether they are of the next utterance, and not further ones of the last.

        Raises:
            ModelError: As ``score``.
        """
        if is_next:
            self._reader.start = self._next_start
            ids = np.array(self._vocab.encode_line(lines[0]), dtype=np.int32)
            windows = line_windows(ids, np.array([len(ids) - 1]), self._vocab.eos_id)
            for _ in self._reader.read(windows, lambda _: None):
                self._next_start = self._reader.state
        return self.score(lines)

    def _nats_and_details(self, windows: Iterable[HeldOutWindow], num_tokens: int) -> tuple[Floats, Details]:
        nats, entropy, rank = np.empty(num_tokens), np.empty(num_tokens), np.empty(num_tokens, dtype=np.int64)
        guesses: list[list[Guess]] = [[]] * num_tokens
        for read, found in self._reader.details(windows, self._num_guesses):
            nats[read.positions] = found.nats.cpu()
            entropy[read.positions] = found.entropy.double().cpu() / math.log(2)
            rank[read.positions] = found.rank.cpu()
            tops = zip(read.positions.tolist(), found.top_ids.tolist(), found.top_nats.tolist(), strict=True)
            for at, ids, costs in tops:
                guesses[at] = [
                    Guess(self._vocab.words[i], cost + 0.0) for i, cost in zip(ids, costs, strict=True)
                ]
        return _numbers(nats, self._reader), Details(entropy, rank, guesses)


def token_nats(
    model: LanguageModel,
    windows: Iterable[HeldOutWindow],
    num_tokens: int,
    precision: torch.dtype = torch.float32,
    strategy: Strategy | None = None,
) -> Floats:
    """What each token of a text cost, in nats, in the order of the text, shape (num_tokens,).

    It is 0 of a token that no window asks for.

    Raises:
        ModelError: The model gives scores that are not numbers (NaN).
    """
    return _nats(Reader(model, precision, strategy), windows, num_tokens)


def _nats(reader: Reader, windows: Iterable[HeldOutWindow], num_tokens: int) -> Floats:
    nats = np.zeros(num_tokens)
    for read, costs in reader.costs(windows):
        nats[read.positions] = costs.nats.cpu()
    return _numbers(nats, reader)


def _numbers(nats: Floats, reader: Reader) -> Floats:
    if np.isnan(nats).any():
        raise ModelError(reader.not_a_number)
    return nats + 0.0  # so that a certain word costs 0 and not -0
