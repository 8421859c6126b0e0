"""What each word of a text costs, line after line as they come."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lmtrain.corpus.batching import Ids
from lmtrain.corpus.vocab import EOS, UNK, Vocabulary
from lmtrain.errors import ModelError
from lmtrain.inference.windows import HeldOutWindow, line_windows, stream_windows
from lmtrain.model.language_model import LanguageModel, ModelState

NOT_A_NUMBER = "the model gives scores that are not numbers (NaN); --snapshot picks another"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Details:
    """What was expected in the place of each token of a line; of the neural model alone."""

    entropy: Floats
    """Of the distribution over all words, in bits, shape (tokens,)."""
    rank: npt.NDArray[np.int64]
    """Of the token by probability, 1 where no word is more probable, shape (tokens,)."""

    def of(self, part: slice) -> "Details":
        """Those of some of the tokens."""
        return Details(self.entropy[part], self.rank[part])


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

    @property
    def surprisal(self) -> Floats:
        """-log2 p of each token, in bits, shape (tokens,)."""
        return self.nats / math.log(2)

    @property
    def log_prob(self) -> float:
        """Ln p of the whole line, its end included."""
        return -float(self.nats.sum())

    @property
    def scored_tokens(self) -> list[str]:
        """The tokens as the model reads them: ``<unk>`` for each word that it does not know."""
        return [UNK if unk else token for token, unk in zip(self.tokens, self.is_unk, strict=True)]


class Scorer:
    """Scores lines in the order they come in; memory is that of the lines it is given at once.

    In ``line`` context each line starts from the initial state; lines of about the same length are read
    together, which changes nothing but rounding. In ``stream`` context each line goes on from the one before,
    that of an earlier call too.

    Args:
        model: In training or evaluation mode, which it is left in.
        vocab: Of the model.
        context: ``line`` or ``stream``.
        with_details: Whether entropy and rank are asked for, which takes twice as long.
        mix: Given what some tokens cost, and their ids, what they cost in a mixture of models. The first
            token starts a line.
        precision: What products are computed in; whatever the model was trained in.
    """

    def __init__(
        self,
        model: LanguageModel,
        vocab: Vocabulary,
        context: str = "line",
        *,
        with_details: bool = False,
        mix: Callable[[Floats, Ids], Floats] | None = None,
        precision: torch.dtype = torch.float32,
    ) -> None:
        self._vocab = vocab
        self._is_stream = context == "stream"
        self._mix = mix
        self._reader = _Reader(model, with_details, precision)

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
        # A line ends in <eos>, so that the first token after it has the same context as that of a text.
        windows = stream_windows(ids, eos_id) if self._is_stream else line_windows(ids, ends - 1, eos_id)
        nats, details = self._reader.read(windows, len(ids), goes_on=self._is_stream)
        if self._mix is not None:
            nats = self._mix(nats, ids)
        is_unk = (ids == self._vocab.unk_id).tolist()
        parts = [slice(end - len(words) - 1, end) for words, end in zip(lines, ends.tolist(), strict=True)]
        return [
            ScoredLine([*words, EOS], is_unk[part], nats[part], details and details.of(part))
            for words, part in zip(lines, parts, strict=True)
        ]


def token_nats(
    model: LanguageModel,
    windows: Iterable[HeldOutWindow],
    num_tokens: int,
    precision: torch.dtype = torch.float32,
) -> Floats:
    """What each token of a text cost, in nats, in the order of the text, shape (num_tokens,).

    Raises:
        ModelError: The model gives scores that are not numbers (NaN).
    """
    return _Reader(model, precision=precision).read(windows, num_tokens)[0]


class _Reader:
    """Reads windows and puts what their tokens cost where they stand in the text."""

    def __init__(
        self, model: LanguageModel, with_details: bool = False, precision: torch.dtype = torch.float32
    ) -> None:
        self._model = model
        self._with_details = with_details
        self._precision = precision
        self._state: ModelState | None = None

    @torch.inference_mode()
    def read(
        self, windows: Iterable[HeldOutWindow], num_tokens: int, *, goes_on: bool = False
    ) -> tuple[Floats, Details | None]:
        """The costs of all tokens, none of them NaN.

        ``goes_on`` tells whether the first window follows the last one read.
        """
        nats = np.empty(num_tokens)
        details = Details(np.empty(num_tokens), np.empty(num_tokens, dtype=np.int64))
        device, state = self._model.device, self._state if goes_on else None
        with self._model.evaluating(self._precision):
            for window in windows:
                if state is None or not (window.goes_on or goes_on):
                    state = self._model.initial_state(window.input_ids.shape[1])
                input_ids, at = window.input_ids.to(device, non_blocking=True), window.positions
                if self._with_details:
                    found, state = self._model.token_details(input_ids, window.targets, state)
                    nats[at] = found.nats.cpu()
                    details.entropy[at] = found.entropy.double().cpu() / math.log(2)
                    details.rank[at] = found.rank.cpu()
                else:
                    costs, state = self._model.token_costs(input_ids, window.targets, state)
                    nats[at] = costs.nats.cpu()
        self._state = state
        if np.isnan(nats).any():
            raise ModelError(NOT_A_NUMBER)
        nats += 0.0  # so that a certain word costs 0 and not -0
        return nats, details if self._with_details else None
