"""What each word of a text costs, line after line as they come."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lmtrain.corpus.vocab import EOS, UNK, Vocabulary
from lmtrain.inference.windows import line_windows, stream_windows
from lmtrain.model.language_model import LanguageModel, ModelState

Floats = npt.NDArray[np.float64]
Lines = Sequence[Sequence[str]]
"""Lines as their words, without ``<eos>``."""


@dataclass(frozen=True, eq=False)
class Details:
    """What was expected in the place of each token of a line; of the neural model alone."""

    entropy: Floats
    """Of the distribution over all words, in bits, shape (tokens,)."""
    rank: npt.NDArray[np.int64]
    """Of the token by probability, 1 where no word is more probable, shape (tokens,)."""


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
        with_details: Whether entropy and rank are asked for, which takes about twice as long.
        mix: Given what the tokens of some lines cost, and these lines, what they cost in a mixture of models.
    """

    def __init__(
        self,
        model: LanguageModel,
        vocab: Vocabulary,
        context: str = "line",
        *,
        with_details: bool = False,
        mix: Callable[[Floats, Lines], Floats] | None = None,
    ) -> None:
        self._model = model
        self._vocab = vocab
        self._is_stream = context == "stream"
        self._with_details = with_details
        self._mix = mix
        self._state: ModelState | None = None

    def score(self, lines: Lines) -> list[ScoredLine]:
        """Scores the next lines."""
        if not lines:
            return []
        encoded = [self._vocab.encode_line(words) for words in lines]
        ends = np.cumsum([len(line) for line in encoded])
        ids = np.concatenate([np.array(line, dtype=np.int32) for line in encoded])
        nats, details = self._read(ids, ends - 1)
        if self._mix is not None:
            nats = self._mix(nats, lines)
        is_unk = (ids == self._vocab.unk_id).tolist()
        return [
            ScoredLine(
                [*words, EOS],
                is_unk[end - len(words) - 1 : end],
                nats[end - len(words) - 1 : end],
                None if details is None else _part(details, end - len(words) - 1, end),
            )
            for words, end in zip(lines, ends.tolist(), strict=True)
        ]

    @torch.inference_mode()
    def _read(
        self, ids: npt.NDArray[np.int32], line_ends: npt.NDArray[np.int64]
    ) -> tuple[Floats, Details | None]:
        """The costs of all tokens, in the order of the text."""
        eos_id = self._vocab.eos_id
        # A line ends in <eos>, so that the first token after it has the same context as that of a text.
        windows = stream_windows(ids, eos_id) if self._is_stream else line_windows(ids, line_ends, eos_id)
        nats = np.empty(len(ids))
        details = Details(np.empty(len(ids)), np.empty(len(ids), dtype=np.int64))
        device = self._model.device
        state = self._state
        with self._model.evaluating():
            for input_ids, targets, positions, goes_on in windows:
                if state is None or not (goes_on or self._is_stream):
                    state = self._model.initial_state(input_ids.shape[1])
                inputs = input_ids.to(device, non_blocking=True)
                if self._with_details:
                    found, state = self._model.token_details(inputs, targets, state)
                    details.entropy[positions] = found.entropy.double().cpu().numpy() / math.log(2)
                    details.rank[positions] = found.rank.cpu().numpy()
                    nats[positions] = found.nats.double().cpu().numpy()
                else:
                    costs, state = self._model.token_costs(inputs, targets, state)
                    nats[positions] = costs.nats.double().cpu().numpy()
        self._state = state if self._is_stream else None
        return nats, details if self._with_details else None


def _part(details: Details, begin: int, end: int) -> Details:
    return Details(details.entropy[begin:end], details.rank[begin:end])
