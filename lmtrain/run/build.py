"""A config becomes objects."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from lmtrain.config import Config
from lmtrain.config.options import (
    ConstantSchedule,
    CosineSchedule,
    DataOptions,
    LinearSchedule,
    ModelOptions,
    OneCycleSchedule,
    PlateauSchedule,
    ScheduleOptions,
    StepDecaySchedule,
)
from lmtrain.corpus.batching import LineIterator, ParallelSequentialIterator, Windows
from lmtrain.corpus.corpus import Corpus, build_vocabulary, load_corpus
from lmtrain.corpus.mending import mending_rules, unknown_share
from lmtrain.corpus.patterns import expand_patterns, same_files
from lmtrain.corpus.synthetic.synthetic import write_synthetic
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary, read_vocabulary
from lmtrain.corpus.window_lengths import RandomLengths
from lmtrain.errors import ConfigError, DataError
from lmtrain.files.paths import missing
from lmtrain.files.text_input import Watch, read_lines, unwatched
from lmtrain.machine.place import Place
from lmtrain.machine.threads import threads_for, threads_of_process
from lmtrain.model.adaptive_softmax import AdaptiveSoftmax
from lmtrain.model.dropout import DropoutRates
from lmtrain.model.initialization import initialize
from lmtrain.model.language_model import LanguageModel
from lmtrain.model.mixture_softmax import MixtureSoftmax
from lmtrain.model.noise import Noise
from lmtrain.model.pretrained import Coverage, load_word_vectors
from lmtrain.model.sampled_softmax import SampledSoftmax
from lmtrain.model.softmax import FullSoftmax, Softmax
from lmtrain.training.averaging import ExponentialAverage, TriggeredAverage
from lmtrain.training.distributed import Ranks
from lmtrain.training.optimizer import Optimizer
from lmtrain.training.regularization import ActivationPenalty
from lmtrain.training.schedule import Constant, Plateau, Schedule, StepDecay, WarmupDecay, one_cycle
from lmtrain.training.trainer import Trainer

_MANY_UNK = 0.05
"""Of the tokens of a text: from here on a person is told."""
_TRIED_LINES = 1000
"""Of such a text, on which other rules are tried."""
_SMALL_EMBEDDING = 500_000
"""Weights: up to here, a dense gradient costs less than looking for the rows that have one."""


def has_many_unk(text: Corpus) -> bool:
    """Whether so much of a text is ``<unk>`` that its perplexity is to be quoted without it too."""
    return text.num_oov > _MANY_UNK * text.num_tokens


@dataclass(frozen=True)
class Corpora:
    """The texts of a run, encoded."""

    vocab: Vocabulary
    rules: TextRules
    train: Corpus
    valid: Corpus | None
    test: Corpus | None

    def notes(self) -> Iterator[str]:
        """What deserves a word: files that are read twice."""
        train = self.train.paths
        yield from (
            f"data.train names {path} twice"
            for index, path in enumerate(train)
            if same_files([path], train[:index])
        )
        for name, corpus in (("valid", self.valid), ("test", self.test)):
            for path, other in same_files(corpus.paths if corpus else (), train):
                yield f"data.{name}: {path} is a text of data.train too ({other}), and not unseen"

    @cached_property
    def unknown_words(self) -> tuple[str, ...]:
        """What to say of texts of which much is ``<unk>``."""
        texts = (("train", self.train), ("valid", self.valid), ("test", self.test))
        return tuple(
            f"data.{name}: {text.num_oov / text.num_tokens:.1%} of the tokens are <unk>: perplexity is lower "
            f"than it would be of all words, so quote it without <unk> too{self._mending(text)}"
            for name, text in texts
            if text and has_many_unk(text)
        )

    def _mending(self, text: Corpus) -> str:
        """What keys of ``data`` would make words known, as far as its beginning tells."""
        lines = [line for _, group in islice(read_lines(text.paths[0]), 1) for line in group[:_TRIED_LINES]]
        found = mending_rules(lines, self.rules, self.vocab)
        if found is None:
            return ""
        other, keys = replace(found[0], numbers=self.rules.numbers), []
        if (other.moses, other.penn) != (self.rules.moses, self.rules.penn):
            tokenizer = "penn" if other.penn else "moses" if other.moses else "whitespace"
            keys.append(f"data.tokenizer: {tokenizer}")
        if other.lowercase != self.rules.lowercase:
            keys.append("data.lowercase: true")
        left = unknown_share(lines, other, self.vocab)
        return f"; {' and '.join(keys)} would leave about {left:.1%} of the words unknown" if keys else ""

    def hashes(self) -> dict[str, str | None]:
        """SHA-256 of the vocabulary and of each text."""
        texts = {"train": self.train, "valid": self.valid, "test": self.test}
        digests = {name: text.sha256 if text else None for name, text in texts.items()}
        return {"vocab": self.vocab.sha256, **digests}


def load_corpora(config: Config, known: Vocabulary | None = None, watch: Watch = unwatched) -> Corpora:
    """Reads, counts and encodes the texts a config names; makes synthetic ones that are not there.

    Args:
        config: What is trained.
        known: The words of the model that it begins from, whose ids they keep; ``data.extend_vocab`` adds
            those of the training text.
        watch: Shows how far the texts are read, where they are not in the cache.

    Raises:
        DataError: A text cannot be used.
    """
    data = config.data
    files = (*data.train, *data.valid, *data.test)
    if data.synthetic and not any(path.exists() for path in files):
        write_synthetic(data.synthetic, data.train[0].parent)
    rules = text_rules(data)
    train_paths, *held_out = map(expand_patterns, (data.train, data.valid, data.test))
    _refuse_missing({"train": train_paths, "valid": held_out[0], "test": held_out[1]})
    vocab = _words(data, train_paths, rules, known, watch)
    train = load_corpus(train_paths, vocab, rules, watch=watch)
    _refuse_too_short(config, train)
    if data.vocab is not None and train.num_oov == train.num_tokens - train.num_lines:
        raise DataError(f"{data.vocab}: knows no word of the training text")
    valid, test = (load_corpus(paths, vocab, rules, watch=watch) if paths else None for paths in held_out)
    for corpus in (valid, test):
        if corpus and corpus.num_oov == corpus.num_tokens - corpus.num_lines:
            names = ", ".join(map(str, corpus.paths))
            raise DataError(f"{names}: every word is unknown to the vocabulary of the training text")
    return Corpora(vocab, rules, train, valid, test)


def _refuse_missing(texts: dict[str, Sequence[Path]]) -> None:
    """Before the first text is read, which may take minutes: what is missing is told at once, by its key."""
    absent = [
        f"data.{key}: {path}: {missing(path)}"
        for key, paths in texts.items()
        for path in paths
        if not path.exists()
    ]
    if absent:
        raise DataError("\n  ".join(absent))


def _words(
    data: DataOptions, train: Sequence[Path], rules: TextRules, known: Vocabulary | None, watch: Watch
) -> Vocabulary:
    if data.vocab is not None:
        fixed = read_vocabulary(data.vocab)
        if known and known.words != fixed.words:
            raise ConfigError(
                [f"data.vocab: {data.vocab}: other words than those of the model to begin from"]
            )
        return known or fixed
    if known and not data.extend_vocab:
        return known
    counted = build_vocabulary(train, rules, data.max_vocab, data.min_count, watch=watch)
    return known.extended(counted.words) if known else counted


def text_rules(data: DataOptions) -> TextRules:
    """How a config says that text becomes words."""
    moses = data.moses_language if data.tokenizer == "moses" else None
    return TextRules(data.lowercase, moses, penn=data.tokenizer == "penn")


def build_model(
    options: ModelOptions,
    vocab_size: int,
    noise: Noise | None = None,
    proposal: torch.Tensor | None = None,
) -> LanguageModel:
    """The model of a config, its weights not yet drawn.

    Args:
        options: The model's part of the config.
        vocab_size: Number of words.
        noise: Where dropout masks and samples will be drawn.
        proposal: What a sampled softmax draws from, in training; see there.

    Raises:
        ConfigError: The config does not suit the vocabulary.
    """
    return LanguageModel(
        vocab_size,
        options.embedding_dim,
        options.hidden_size,
        options.num_layers,
        last_hidden_size=options.last_hidden_size,
        cell=options.cell,
        activation=options.activation,
        cell_options=options.mogrifier.model_dump() if options.cell == "mogrifier" else {},
        softmax=build_softmax(options, vocab_size, noise, proposal),
        tie_weights=options.tie_weights,
        embedding_activation=options.embedding_activation,
        skip_connections=options.skip_connections,
        dropout=_dropout_rates(options),
        noise=noise,
    )


def _dropout_rates(options: ModelOptions) -> DropoutRates:
    return DropoutRates(**options.dropout.model_dump())


def build_softmax(
    options: ModelOptions,
    vocab_size: int,
    noise: Noise | None = None,
    proposal: torch.Tensor | None = None,
) -> Softmax:
    """The output layer; arguments and errors as of ``build_model``."""
    match options.softmax:
        case "adaptive":
            adaptive = options.adaptive
            try:
                return AdaptiveSoftmax(options.feature_size, vocab_size, adaptive.cutoffs, adaptive.div)
            except ValueError as error:
                raise ConfigError([f"model.adaptive.cutoffs: {error}"]) from error
        case "sampled":
            num_samples = options.sampled.num_samples
            return SampledSoftmax(options.feature_size, vocab_size, num_samples, proposal, noise)
        case "mixture":
            num_components = options.mixture.components
            rates = _dropout_rates(options)
            dropped = rates.of_units(rates.latent, noise or Noise())
            sizes = options.feature_size, vocab_size, num_components, options.embedding_dim
            return MixtureSoftmax(*sizes, dropped)
        case _:
            return FullSoftmax(options.feature_size, vocab_size)


def threads_of(config: Config, vocab_size: int, device: torch.device, place: Place) -> int:
    """How many threads a process trains a config with: as it says, or else by the work of a step."""
    train, options = config.train, config.model
    at_most = threads_of_process(place.local_size)
    if train.threads or device.type != "cpu":
        return train.threads or at_most
    with torch.device("meta"):
        model = build_model(options, vocab_size)
    of_layers, of_softmax = (
        sum(weight.numel() for weight in part.parameters()) for part in (model.layers, model.softmax)
    )
    if options.softmax == "sampled":
        of_softmax = min(of_softmax, options.sampled.num_samples * options.hidden_size)
    tokens = train.batch_size * train.bptt_len // place.size
    # Forward, and the gradients of both factors.
    return threads_for(3 * tokens * (of_layers + of_softmax), at_most)


def build_trainer(
    config: Config, corpora: Corpora, device: torch.device, ranks: Ranks | None = None
) -> Trainer:
    """Everything that takes part in a training step, at its start; see also ``load_pretrained``."""
    ranks = ranks or Ranks()
    first_draws = torch.Generator().manual_seed(config.seed)
    seed = int(torch.randint(2**62, (), generator=first_draws))
    noise = Noise(torch.Generator(device).manual_seed(seed))
    options = config.model
    proposal = None
    if options.softmax == "sampled" and options.sampled.distribution == "unigram":
        # One more than it occurs, since a word that cannot be drawn would never lose probability.
        proposal = torch.from_numpy(corpora.train.word_counts(len(corpora.vocab)) + 1)
    model = build_model(options, len(corpora.vocab), noise, proposal)
    # Drawn on the CPU, so that a seed means the same weights on every device.
    initialize(
        model,
        first_draws,
        init=options.init,
        init_range=options.init_range,
        recurrent_init=options.recurrent_init,
        forget_gate_bias=options.forget_gate_bias,
    )
    model.embedding.weight.requires_grad_(not options.freeze_embedding)
    model.to(device)
    model.precision = getattr(torch, config.train.precision)
    windows = build_windows(config, corpora)
    choice = config.train.optimizer
    optimizer = Optimizer(
        model.parameters(),
        choice.name,
        choice.lr,
        config.train.max_grad_norm,
        **choice.model_dump(exclude={"name", "lr"}),
    )
    is_large = model.embedding.weight.numel() > _SMALL_EMBEDDING
    if optimizer.takes_sparse and device.type == "cpu" and is_large and ranks.size == 1:
        rows = model.use_sparse_gradients()
        if rows is not None:
            optimizer.add_gradient_of(rows, model.embedding.weight)
    schedule = build_schedule(config, count_steps(config, windows))
    train = config.train
    penalty = ActivationPenalty(train.activation_regularization, train.temporal_regularization)
    return Trainer(
        model,
        windows,
        optimizer,
        schedule,
        noise,
        loss_reduction=train.loss_reduction,
        penalty=penalty if penalty != ActivationPenalty() else None,
        bptt_len=train.bptt_len if train.random_bptt else None,
        averaging=build_averaging(config, model),
        ranks=ranks,
        accumulate=train.accumulate,
    )


def load_pretrained(config: Config, corpora: Corpora, model: LanguageModel) -> Coverage | None:
    """Reads the pretrained embedding a config names; None if it names none.

    Raises:
        DataError: The file cannot be used.
    """
    path = config.model.pretrained_embedding
    if path is None:
        return None
    ids = {word: i for i, word in enumerate(corpora.vocab.words)}
    return load_word_vectors(path, ids, model.embedding.weight)


def build_windows(config: Config, corpora: Corpora) -> Windows:
    """The iterator over the training text."""
    train = config.train
    if config.data.context == "line":
        corpus = corpora.train
        return LineIterator(corpus.ids, corpus.line_ends, corpora.vocab.eos_id, train.batch_size, config.seed)
    lengths = RandomLengths(train.bptt_len, config.seed) if train.random_bptt else None
    return ParallelSequentialIterator(
        corpora.train.ids,
        train.batch_size,
        train.bptt_len,
        lengths=lengths,
        shuffle_seed=config.seed if train.partial_shuffle else None,
    )


def count_steps(config: Config, windows: Windows) -> int:
    """The steps of the whole training."""
    if config.train.max_steps is not None:
        return config.train.max_steps
    assert config.train.epochs is not None  # noqa: S101  (the schema demands one of the two)
    return windows.steps_for(config.train.epochs)


_SCHEDULES: dict[type[ScheduleOptions], Callable[[Any, int], Schedule]] = {
    ConstantSchedule: lambda _, __: Constant(),
    StepDecaySchedule: lambda o, _: StepDecay(o.constant_epochs, o.factor),
    PlateauSchedule: lambda o, _: Plateau(o.factor, o.patience),
    LinearSchedule: lambda o, n: WarmupDecay(n, o.name, o.warmup_steps, final_fraction=o.final_fraction),
    CosineSchedule: lambda o, n: WarmupDecay(n, o.name, o.warmup_steps, final_fraction=o.final_fraction),
    OneCycleSchedule: lambda o, n: one_cycle(n, o.warmup_fraction, o.start_fraction, o.final_fraction),
}
"""From its options and the steps of the whole training to a schedule."""


def build_schedule(config: Config, total_steps: int) -> Schedule:
    """The learning-rate schedule."""
    choice = config.train.schedule
    return _SCHEDULES[type(choice)](choice, total_steps)


def build_averaging(config: Config, model: LanguageModel) -> ExponentialAverage | None:
    """The average of the model's weights that is evaluated."""
    choice = config.train.averaging
    match choice.name:
        case "asgd":
            return TriggeredAverage(model.weights(), choice.nonmono)
        case "ema":
            return ExponentialAverage(model.weights(), choice.decay)
        case _:
            return None


def _refuse_too_short(config: Config, train: Corpus) -> None:
    size = config.train.batch_size
    is_line = config.data.context == "line"
    have, unit = (train.num_lines, "line") if is_line else (train.num_tokens, "token")
    if have < size:
        names = ", ".join(map(str, config.data.train))
        count = f"{have:,} {unit}{'s' if have > 1 else ''}"
        raise DataError(f"{names}: {count}, fewer than train.batch_size ({size}); lower it")
