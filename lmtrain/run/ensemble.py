"""Several trained models as one: the mean of their probabilities, word by word."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from lmtrain.corpus.held_out import read_held_out
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import UsageError
from lmtrain.inference.adapt import Adaptation
from lmtrain.inference.evaluation import Evaluation
from lmtrain.inference.mixture import Interpolation, mean_probability
from lmtrain.inference.ngram import NGramModel
from lmtrain.inference.score import ScoredLine, Scorer
from lmtrain.run.result import HeldOutResult, Member, source_perplexity
from lmtrain.run.trained import NOT_ADAPTED, Precision, TrainedModel, Watch


@dataclass(frozen=True)
class Ensemble:
    """Models of one vocabulary, which cut text into words alike.

    Source: Zaremba, Sutskever and Vinyals (2014), "Recurrent neural network regularization", section 4.1.
    """

    models: tuple[TrainedModel, ...]

    @classmethod
    def of(cls, models: Sequence[TrainedModel]) -> Self:
        """All of them as one.

        Raises:
            UsageError: They do not have the same words, or not the same rules; says what differs.
        """
        first, *others = models
        for other in others:
            if other.vocab.sha256 != first.vocab.sha256:
                raise UsageError(
                    f"{other.snapshot.path}: has another vocabulary than {first.snapshot.path} "
                    f"({_difference(other.vocab, first.vocab)}); an ensemble needs one for all"
                )
        refuse_other_rules(models)
        return cls(tuple(models))

    @property
    def vocab(self) -> Vocabulary:
        """Of all."""
        return self.models[0].vocab

    @property
    def rules(self) -> TextRules:
        """Of all."""
        return self.models[0].rules

    def ngram(self, path: str | Path) -> NGramModel:
        """As of ``TrainedModel``."""
        return self.models[0].ngram(path)

    def evaluate(
        self,
        path: str | Path,
        *,
        context: str | None = None,
        streams: int = 1,
        batch_size: int | None = None,
        adaptation: Adaptation = NOT_ADAPTED,
        precision: Precision = "float32",
        interpolation: Interpolation | None = None,
        watch: Watch | None = None,
    ) -> HeldOutResult:
        """As of ``TrainedModel``; each model reads the text, and adapts to it, on its own.

        Raises:
            UsageError: No context is named, and the models were trained in different ones.
        """
        if context is None and len({model.config.data.context for model in self.models}) > 1:
            raise UsageError("the models were trained in different contexts: name one with --context")
        started, first = time.perf_counter(), self.models[0]
        text = read_held_out(Path(path), self.vocab, self.rules)
        nats, labels = zip(
            *(
                model.token_nats(
                    text.corpus,
                    context=context,
                    streams=streams,
                    batch_size=batch_size,
                    adaptation=adaptation,
                    precision=precision,
                    watch=watch,
                )
                for model in self.models
            ),
            strict=True,
        )
        mixed = mean_probability(nats)
        evaluation, mixture = Evaluation.of_tokens(text.corpus.ids, mixed, self.vocab), None
        if interpolation is not None:
            mixture = first.mixed(text.corpus, mixed, interpolation)
            evaluation = mixture.evaluation
        evaluation = replace(evaluation, seconds=time.perf_counter() - started)
        members = [
            Member(model.snapshot.path, Evaluation.of_tokens(text.corpus.ids, own, self.vocab))
            for model, own in zip(self.models, nats, strict=True)
        ]
        signature = first.signature(
            text.corpus.sha256,
            labels[0],
            adaptation,
            precision,
            interpolation,
            self.weights,
            statistics=self.statistics(adaptation),
        )
        return HeldOutResult(
            evaluation,
            Path(path),
            first.snapshot.path,
            labels[0],
            str(adaptation),
            signature,
            text.most_frequent_oov(),
            source_perplexity([Path(path)], evaluation),
            mixture,
            members,
        )

    @property
    def weights(self) -> str:
        """What signatures call them: how many, and the beginning of the SHA-256 of each one's weights."""
        return f"ens:{len(self.models)}({','.join(model.sha256[:8] for model in self.models)})"

    def statistics(self, adaptation: Adaptation) -> str:
        """As of ``TrainedModel``, of each model."""
        return ",".join(filter(None, (model.statistics(adaptation) for model in self.models)))

    def scorer(
        self,
        context: str = "line",
        *,
        with_details: bool = False,
        num_guesses: int = 0,
        adaptation: Adaptation = NOT_ADAPTED,
        interpolation: Interpolation | None = None,
        precision: Precision = "float32",
    ) -> "EnsembleScorer":
        """Scores lines as they come.

        Raises:
            UsageError: Details are asked for, which are of one model's distribution.
        """
        if with_details or num_guesses:
            raise UsageError(
                "--extended and --top tell of one model's distribution; leave them or --ensemble out"
            )
        return EnsembleScorer(
            [model.scorer(context, adaptation=adaptation, precision=precision) for model in self.models],
            self.vocab,
            interpolation,
        )


class EnsembleScorer:
    """Scores lines in the order they come in, by several models and, it may be, an n-gram model.

    Args:
        scorers: Of the models.
        vocab: Of all of them.
        interpolation: An n-gram model to be mixed in.
    """

    def __init__(
        self, scorers: Sequence[Scorer], vocab: Vocabulary, interpolation: Interpolation | None = None
    ) -> None:
        self._scorers, self._vocab, self._interpolation = scorers, vocab, interpolation

    def score(self, lines: Sequence[Sequence[str]]) -> list[ScoredLine]:
        """As of ``Scorer``."""
        return [
            replace(scored[0], nats=self._mixed(scored))
            for scored in zip(*(scorer.score(lines) for scorer in self._scorers), strict=True)
        ]

    def _mixed(self, scored: Sequence[ScoredLine]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        nats = mean_probability([line.nats for line in scored])
        if self._interpolation is None:
            return nats
        ids = self._vocab.encode_line(scored[0].tokens[:-1])
        return self._interpolation.mix(nats, np.array(ids, dtype=np.int32))


def refuse_other_rules(models: Sequence[TrainedModel]) -> None:
    """Refuses models that cut text into words in different ways: their words are not the same ones.

    Raises:
        UsageError: Says what differs.
    """
    first, *others = models
    for other in others:
        if other.rules != first.rules:
            raise UsageError(
                f"{other.snapshot.path}: cuts text into words in another way than {first.snapshot.path} "
                f"({other.rules.name}, not {first.rules.name})"
            )


def _difference(vocab: Vocabulary, other: Vocabulary) -> str:
    words, others = vocab.words, other.words
    only = next((word for word in words if word not in other), None)
    lacks = next((word for word in others if word not in vocab), None)
    if only is None and lacks is None:
        return "the same words in another order"
    beside = f"{only!r} is in the first alone" if only is not None else f"{lacks!r} is in the second alone"
    return f"{len(words):,} and {len(others):,} words; {beside}"
