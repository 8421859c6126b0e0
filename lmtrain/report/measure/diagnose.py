"""What a model does with a text, measured from all sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lmtrain.corpus.corpus import Corpus
from lmtrain.corpus.synthetic.agreement import Item, agreement_items, missing_words
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.inference.evaluation import Band, Evaluation
from lmtrain.model.language_model import LanguageModel
from lmtrain.report.measure.agreement import AgreementScore, agreement
from lmtrain.report.measure.context_reach import ContextReach, context_reach
from lmtrain.report.measure.gradient_reach import GradientReach, gradient_reach
from lmtrain.report.measure.held_out import HeldOutText, Watch, unwatched
from lmtrain.report.measure.neighbours import Neighbours, frequent_words, nearest_words
from lmtrain.report.measure.predictions import (
    Calibration,
    CostlyWords,
    calibration,
    costly_words,
    predict,
)
from lmtrain.report.measure.saturation import GateSaturation, saturation

_GATE_POSITIONS = 2000
_VERBS = 500


@dataclass(frozen=True)
class Subject:
    """A model to be looked at, and what it is to read.

    Attributes:
        name: What the report calls it.
        about: What it is, in a few words: ``lstm 2 × 200``.
        snapshot: Where it comes from.
        model: In any mode.
        vocab: Of the model.
        corpus: The held-out text, in words of its vocabulary.
        context: ``stream`` or ``line``, as it was trained.
        bptt_len: Of its training; None in line context.
    """

    name: str
    about: str
    snapshot: str
    model: LanguageModel
    vocab: Vocabulary
    corpus: Corpus
    context: str
    bptt_len: int | None


@dataclass(frozen=True)
class Diagnosis:
    """All that was found out about one model."""

    name: str
    about: str
    snapshot: str
    vocab_sha256: str
    vocab_size: int
    words_by_frequency: bool
    """Whether the places of words are ranks, as those of a list are not."""
    context: str
    num_tokens: int
    perplexity: float
    """Of the whole text."""
    perplexity_without_unk: float
    oov_rate: float
    """Share of tokens scored as ``<unk>``."""
    gradient_reach: GradientReach
    context_reach: ContextReach
    bands: tuple[Band, ...]
    """By frequency in the training text; where words are those of a list, ``<eos>`` and ``<unk>`` alone."""
    calibration: Calibration
    costly_words: CostlyWords
    agreement: tuple[AgreementScore, ...]
    missing_words: tuple[str, ...]
    """Words of toy-english that the model lacks; where there are any, there is no ``agreement``."""
    nearest_words: tuple[Neighbours, ...]
    saturation: tuple[GateSaturation, ...]

    @property
    def has_learnt(self) -> bool:
        """Whether it does better than one to which all words are equally likely, by 10 % of perplexity."""
        return self.perplexity < 0.9 * self.vocab_size

    def to_dict(self) -> dict[str, Any]:
        """An entry of ``models`` in ``report.json``."""
        return {
            **{
                name: getattr(self, name)
                for name in ("name", "about", "snapshot", "vocab_sha256", "vocab_size", "words_by_frequency")
            },
            **{name: getattr(self, name) for name in ("context", "num_tokens", "perplexity")},
            **{name: getattr(self, name) for name in ("perplexity_without_unk", "oov_rate")},
            "gradient_reach": self.gradient_reach.to_dict(),
            "context_reach": self.context_reach.to_dict(),
            "frequency": [_band_dict(band) for band in self.bands],
            "calibration": self.calibration.to_dict(),
            "costly_words": self.costly_words.to_dict(),
            "agreement": [score.to_dict() for score in self.agreement] or None,
            "nearest_words": [neighbours.to_dict() for neighbours in self.nearest_words],
            "saturation": [gate.to_dict() for gate in self.saturation],
        }


def _band_dict(band: Band) -> dict[str, Any]:
    return {
        "words": band.name,
        "num_tokens": band.num_tokens,
        "nats": band.nll_nats,
        "perplexity": band.perplexity,
    }


class Examiner:
    """Looks at one model after the other, in the same way.

    Args:
        num_positions: Tokens whose context is cut short.
        seed: Of all samples: the same seed, the same figures.
        words: Whose nearest words are wanted; None chooses some by frequency.
        watch: Shows how far it has come.
    """

    def __init__(
        self,
        num_positions: int = 5000,
        seed: int = 1,
        words: Sequence[str] | None = None,
        watch: Watch = unwatched,
    ) -> None:
        self.num_positions = num_positions
        self.seed = seed
        self.words = words
        self.watch = watch

    def examine(self, subject: Subject) -> Diagnosis:
        """All sections of the report of one model."""
        model, vocab = subject.model, subject.vocab
        text = HeldOutText(subject.corpus, subject.context)
        predictions = predict(model, text, self.watch)
        evaluation = Evaluation.of_tokens(predictions.ids, predictions.nats, vocab)
        positions = text.sample(self.num_positions, self.seed)
        missing = missing_words(vocab)
        words = self.words or frequent_words(vocab, evaluation.counts_by_word)
        return Diagnosis(
            subject.name,
            subject.about,
            subject.snapshot,
            vocab.sha256,
            len(vocab),
            vocab.is_by_frequency,
            subject.context,
            text.num_tokens,
            evaluation.perplexity,
            evaluation.perplexity_without_unk,
            evaluation.oov_rate,
            gradient_reach(model, text, bptt_len=subject.bptt_len, seed=self.seed, watch=self.watch),
            context_reach(model, text, predictions, positions, watch=self.watch),
            tuple(band for band in evaluation.bands() if band.num_tokens),
            calibration(predictions),
            costly_words(evaluation, vocab),
            () if missing else tuple(agreement(model, vocab, self._verbs, self.watch)),
            tuple(missing),
            tuple(nearest_words(model, vocab, words)),
            tuple(saturation(model, text, text.sample(_GATE_POSITIONS, self.seed), self.watch)),
        )

    @cached_property
    def _verbs(self) -> list[Item]:
        return agreement_items(_VERBS, self.seed)
