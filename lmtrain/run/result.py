"""What a model is, and what an evaluation of it gives: classes of named fields, for people and programs."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lmtrain.config import Config
from lmtrain.corpus.synthetic.synthetic import source_log_probs
from lmtrain.inference.evaluation import Evaluation, perplexity
from lmtrain.inference.mixture import Interpolation
from lmtrain.model.dropout import Dropout
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.mixture_softmax import MixtureSoftmax
from lmtrain.run.layout import run_of
from lmtrain.training.log import read_log
from lmtrain.training.snapshot import Provenance

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class MixtureResult:
    """What an n-gram model contributed to an evaluation."""

    interpolation: Interpolation
    evaluation: Evaluation
    """Of the mixture."""
    model: Evaluation
    """Of the neural model alone."""
    ngram: Evaluation
    """Of the n-gram model alone."""

    def to_dict(self) -> dict[str, Any]:
        """The field ``ngram`` of ``eval --json``."""
        ngram, tuned_on = self.interpolation.ngram, self.interpolation.tuned_on
        return {
            "file": str(ngram.path),
            "weight": self.interpolation.weight,
            "tuned_on": str(tuned_on) if tuned_on else None,
            "perplexity_of_model": self.model.perplexity,
            "perplexity_of_ngram": self.ngram.perplexity,
            "num_unknown_words": ngram.num_unknown_words,
        }


@dataclass(frozen=True)
class Member:
    """What one model of an ensemble gives on its own."""

    snapshot: Path
    evaluation: Evaluation


@dataclass(frozen=True)
class HeldOutResult:
    """The evaluation of a text, and everything its figures depend on."""

    evaluation: Evaluation
    data: Path
    snapshot: Path
    context: str
    """``stream1``, ``stream10``, … or ``line``."""
    adapt: str
    """How the model adapted to the text, with all values: ``none``, ``cache(2000,0.3,0.1)`` …"""
    signature: str
    """All that the perplexity depends on, in one line fit for a paper."""
    oov_words: list[tuple[str, int]]
    """The most frequent words that were scored as ``<unk>``, and how often; not those that the text itself
    calls so."""
    source_perplexity: float | None
    """What the source of a synthetic text itself reaches on it."""
    mixture: MixtureResult | None = None
    members: Sequence[Member] = ()
    """Of an ensemble, the first of which ``snapshot`` names."""

    def to_dict(self) -> dict[str, Any]:
        """The fields of ``eval --json``."""
        figures = self.evaluation
        names = (
            *("perplexity", "nll_nats", "num_tokens", "bits_per_word"),
            *("perplexity_without_eos", "perplexity_without_unk", "num_oov", "oov_rate"),
            *("accuracy", "words_per_second"),
        )
        return {
            **{name: getattr(figures, name) for name in names},
            "context": self.context,
            "adapt": self.adapt,
            "signature": self.signature,
            "snapshot": None if self.members else str(self.snapshot),
            "data": str(self.data),
            "oov_words": [{"word": word, "count": count} for word, count in self.oov_words],
            "perplexity_by_rank": [
                {"ranks": band.name, "num_tokens": band.num_tokens, "perplexity": band.perplexity}
                for band in figures.bands()
            ],
            **({"ngram": self.mixture.to_dict()} if self.mixture else {}),
            **({"ensemble": [self._member(member) for member in self.members]} if self.members else {}),
        }

    @staticmethod
    def _member(member: Member) -> dict[str, Any]:
        return {"snapshot": str(member.snapshot), "perplexity": member.evaluation.perplexity}


def source_perplexity(paths: Sequence[Path], evaluation: Evaluation) -> float | None:
    """What the source of synthetic texts reaches on them.

    None where a text is not of such a source, or where the model did not have to predict the same tokens.
    """
    if evaluation.num_oov:
        return None
    sources = [source_log_probs(path) for path in paths]
    known = [source for source in sources if source is not None]
    if not known or len(known) < len(sources):
        return None
    return perplexity(sum(s.nll_nats for s in known), sum(s.num_tokens for s in known))


@dataclass(frozen=True)
class Part:
    """One part of a model, in the order in which a word passes through them."""

    name: str
    kind: str
    """Its class; of a dropout with the rate."""
    shapes: dict[str, tuple[int, ...]]
    """Of its weights by name."""
    shared: dict[str, str]
    """Its weights that belong to another part, by name the full name there. They are counted there alone."""
    num_parameters: int
    share: float
    """Of all parameters of the model, from 0 to 1."""


@dataclass(frozen=True)
class Validation:
    """How a run stood when it was validated."""

    step: int
    epoch: float | None
    train_perplexity: float | None
    """As last logged: over the words of some steps, with dropout."""
    valid_perplexity: float
    lr: float | None
    elapsed: float | None
    """Seconds of the run until then."""


@dataclass(frozen=True)
class ModelDescription:
    """What a model is and where it comes from: what ``lmtrain info`` tells."""

    about: str
    """In a few words: ``lstm 2 × 200, embedding 200``."""
    config: Config
    snapshot: Path
    step: int
    provenance: Provenance
    vocab_size: int
    vocab_sha256: str
    text_rules: str
    parts: list[Part]
    history: list[Validation]

    @property
    def num_parameters(self) -> int:
        """Of all parts; what is shared counts once."""
        return sum(part.num_parameters for part in self.parts)

    @property
    def best_step(self) -> int | None:
        """That of the lowest validation perplexity; None where the run was not validated."""
        return (self.provenance.best_step or None) if self.provenance.best_loss is not None else None

    @property
    def best_loss(self) -> float | None:
        """Nats per token at that step."""
        return self.provenance.best_loss if self.best_step else None

    @property
    def best_perplexity(self) -> float | None:
        """At that step."""
        return None if self.best_loss is None else perplexity(self.best_loss, 1)

    @property
    def environment(self) -> dict[str, Any]:
        """What wrote the snapshot, and where."""
        return {"lmtrain": "unknown", "platform": "unknown", **self.provenance.environment}

    @property
    def sha256(self) -> dict[str, str | None]:
        """Of the vocabulary and of each text; None where there is none."""
        return {**dict.fromkeys(SPLITS), **self.provenance.sha256, "vocab": self.vocab_sha256}

    def to_dict(self) -> dict[str, Any]:
        """The fields of ``info --json``."""
        return {
            "name": self.config.name,
            "snapshot": str(self.snapshot),
            "step": self.step,
            "model": self.about,
            "num_parameters": self.num_parameters,
            "parameters": self._parameters_by_module(),
            "vocab_size": self.vocab_size,
            "text_rules": self.text_rules,
            **self.provenance.model_dump(),
            "environment": self.environment,
            "sha256": self.sha256,
            "best_step": self.best_step,
            "best_loss": self.best_loss,
            "best_perplexity": self.best_perplexity,
            "config": self.config.to_dict(),
            "parts": [asdict(part) for part in self.parts],
            "history": [asdict(each) for each in self.history],
        }

    def _parameters_by_module(self) -> dict[str, int]:
        numbers: Counter[str] = Counter()
        for part in self.parts:
            for name, shape in part.shapes.items():
                numbers[f"{part.name}.{name}".rpartition(".")[0]] += math.prod(shape)
        return dict(numbers)


def describe_parts(model: LanguageModel) -> list[Part]:
    """The embedding, the dropouts that drop anything, the layers, the softmax."""
    owners: dict[int, str] = {}
    total = sum(parameter.numel() for parameter in model.parameters())
    return [_describe_part(name, module, owners, total) for name, module in _in_order(model)]


def _in_order(model: LanguageModel) -> Iterator[tuple[str, nn.Module]]:
    yield "embedding", model.embedding
    if model.word_dropout.rate:
        yield "words", model.word_dropout
    if model.weight_dropout.rate:
        yield "recurrent weights", model.weight_dropout
    places = [f"layers.{i}" for i in range(len(model.layers))] + ["softmax"]
    modules: list[nn.Module] = [*model.layers, model.softmax]
    for place, dropout, module in zip(places, model.dropouts, modules, strict=True):
        if getattr(dropout, "rate", 0.0):
            yield f"before {place}", dropout
        yield place, module
    match model.softmax:
        case MixtureSoftmax(latent_dropout=Dropout(rate=rate) as dropout) if rate:
            yield "latent vectors", dropout


def _describe_part(name: str, module: nn.Module, owners: dict[int, str], total: int) -> Part:
    shapes, shared, number = {}, {}, 0
    for key, weight in module.named_parameters():
        if id(weight) in owners:
            shared[key] = owners[id(weight)]
        else:
            owners[id(weight)] = f"{name}.{key}"
            shapes[key] = tuple(weight.shape)
            number += weight.numel()
    rate = getattr(module, "rate", None)
    kind = type(module).__name__ + (f" {rate:g}" if rate is not None else "")
    return Part(name, kind, shapes, shared, number, number / total)


def read_history(snapshot: Path, last_step: int) -> list[Validation]:
    """The validations of a snapshot's run, up to a step; none where there is no log to tell."""
    run = run_of(snapshot)
    if run is None:
        return []
    try:
        rows, _ = read_log(run.log)
    except (OSError, ValueError):
        return []
    history: list[Validation] = []
    train, lr = None, None
    for row in rows:
        if row.step > last_step:
            break
        train, lr = row.number("train/perplexity") or train, row.number("train/lr") or lr
        if (valid := row.number("valid/perplexity")) is not None:
            epoch, elapsed = row.number("epoch"), row.number("elapsed")
            history.append(Validation(row.step, epoch, train, valid, lr, elapsed))
    return history
