"""A run directory or snapshot becomes a model, which evaluates, scores and writes. It needs no corpus."""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch

from lmtrain import __version__
from lmtrain.config import Config, config_from_dict
from lmtrain.corpus.corpus import Corpus
from lmtrain.corpus.detokenize import detokenize
from lmtrain.corpus.held_out import read_held_out
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import ConfigError, ModelError, UsageError
from lmtrain.files.atomic import write_file
from lmtrain.inference.adapt import Adaptation, Statistics, gradient_roots
from lmtrain.inference.beam import BeamSearch
from lmtrain.inference.continuation import Length
from lmtrain.inference.evaluation import Evaluation, evaluate
from lmtrain.inference.generate import GeneratedText, continue_texts
from lmtrain.inference.mixture import Interpolation, tune_weight
from lmtrain.inference.ngram import NGramModel
from lmtrain.inference.sampling import Sampling
from lmtrain.inference.score import Floats, ScoredLine, Scorer, token_nats
from lmtrain.inference.tuning import Tuner
from lmtrain.inference.windows import HeldOutWindow, held_out_windows, ordered_windows, stream_windows
from lmtrain.machine.device import resolve_device
from lmtrain.model.language_model import LanguageModel
from lmtrain.run.build import build_model, text_rules
from lmtrain.run.layout import find_snapshot
from lmtrain.run.result import (
    HeldOutResult,
    MixtureResult,
    ModelDescription,
    describe_parts,
    read_history,
    source_perplexity,
)
from lmtrain.training.fitting import refuse_other_shapes
from lmtrain.training.manifest import MODEL
from lmtrain.training.snapshot import Snapshot

STATISTICS = "gradients.safetensors"
"""In the directory of a snapshot: of each weight by name, the root of the mean square of its gradient."""
STATISTICS_TOKENS, STATISTICS_STREAMS = 500_000, 20
"""Of the training text: read for them, and how many streams side by side."""
NOT_ADAPTED = Adaptation()

Precision = Literal["float32", "bfloat16"]

Watch = Callable[[Iterable[HeldOutWindow], int], Iterable[HeldOutWindow]]
"""Hands on windows, and is told how many tokens they hold."""


@dataclass(frozen=True)
class TrainedModel:
    """A model with the vocabulary and the rules that turn text into its words."""

    model: LanguageModel
    vocab: Vocabulary
    rules: TextRules
    config: Config
    snapshot: Snapshot

    def perplexity(self, path: str | Path, **options: Any) -> float:
        """The perplexity of a held-out text; the figure alone of what ``evaluate`` finds."""
        return self.evaluate(path, **options).evaluation.perplexity

    def read(self, path: str | Path) -> Corpus:
        """A text in words of the model; ``-`` is standard input.

        Raises:
            DataError: It cannot be used.
        """
        return read_held_out(Path(path), self.vocab, self.rules).corpus

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
        """Scores a held-out text, each token once.

        Args:
            path: UTF-8 text; ``-`` is standard input.
            context: ``stream`` or ``line``; by default as the model was trained.
            streams: How many streams the text is cut into in stream context; 1 is exact.
            batch_size: Lines at once in line context; None lets memory decide.
            adaptation: How the model adapts to the text while it reads it; see ``tune``.
            precision: Of the products, whatever the model was trained in.
            interpolation: An n-gram model to be mixed in; see ``tune``.
            watch: Hands on the windows that it is given, with the number of their tokens.

        Raises:
            DataError: The text cannot be used.
            ModelError: The model gives scores that are not numbers (NaN).
            UsageError: An argument has no meaning in this context.
        """
        text = read_held_out(Path(path), self.vocab, self.rules)
        corpus = text.corpus
        windows, label = self._windows(corpus, context, streams, batch_size, adaptation, watch)
        strategy = adaptation.strategy(self._statistics(adaptation))
        dtype, mixture = getattr(torch, precision), None
        if interpolation is None:
            evaluation = evaluate(self.model, windows, self.vocab, dtype, strategy)
            if math.isnan(evaluation.nll_nats):
                raise ModelError(strategy.not_a_number)
        else:
            started = time.perf_counter()
            nats = token_nats(self.model, windows, corpus.num_tokens, dtype, strategy)
            mixture = self.mixed(corpus, nats, interpolation)
            evaluation = replace(mixture.evaluation, seconds=time.perf_counter() - started)
        return HeldOutResult(
            evaluation,
            Path(path),
            self.snapshot.path,
            label,
            str(adaptation),
            self.signature(
                corpus.sha256,
                label,
                adaptation,
                precision,
                interpolation,
                statistics=self.statistics(adaptation),
            ),
            text.most_frequent_oov(),
            source_perplexity([Path(path)], evaluation),
            mixture,
        )

    def token_nats(
        self,
        corpus: Corpus,
        *,
        context: str | None,
        streams: int,
        batch_size: int | None,
        adaptation: Adaptation,
        precision: Precision,
        watch: Watch | None,
    ) -> tuple[Floats, str]:
        """What each token of a text costs, shape (num_tokens,), and its context as signatures call it.

        Arguments and errors as of ``evaluate``.
        """
        windows, label = self._windows(corpus, context, streams, batch_size, adaptation, watch)
        strategy = adaptation.strategy(self._statistics(adaptation))
        return token_nats(self.model, windows, corpus.num_tokens, getattr(torch, precision), strategy), label

    def _windows(
        self,
        corpus: Corpus,
        context: str | None,
        streams: int,
        batch_size: int | None,
        adaptation: Adaptation,
        watch: Watch | None,
    ) -> tuple[Iterable[HeldOutWindow], str]:
        context = context or self.config.data.context
        if context == "line" and streams > 1:
            raise UsageError("streams cut a text in stream context; in line context each line is on its own")
        if context == "stream" and batch_size is not None:
            raise UsageError("a batch size is for line context; in stream context there are streams")
        if adaptation.is_ordered and (streams > 1 or batch_size is not None):
            raise UsageError("what adapts reads word after word: leave --streams and --batch-size out")
        if adaptation.is_ordered:
            windows: Iterable[HeldOutWindow] = ordered_windows(corpus, context, adaptation.window_len)
        else:
            windows = held_out_windows(corpus, context, streams=streams, batch_size=batch_size)
        if watch is not None:
            windows = watch(windows, corpus.num_tokens)
        return windows, context if context == "line" else f"stream{min(streams, corpus.num_tokens)}"

    def ngram(self, path: str | Path) -> NGramModel:
        """An n-gram model (ARPA or KenLM binary) over the vocabulary of this one.

        Raises:
            ModelError: The file is no n-gram model.
            UsageError: The ``kenlm`` package is not installed.
        """
        return NGramModel(Path(path), self.vocab)

    def tune(
        self,
        ngram: NGramModel,
        path: str | Path,
        *,
        context: str | None = None,
        precision: Precision = "float32",
        watch: Watch | None = None,
    ) -> Interpolation:
        """The mixture with an n-gram model whose weight suits a text best; arguments as of ``evaluate``."""
        corpus = read_held_out(Path(path), self.vocab, self.rules).corpus
        windows = held_out_windows(corpus, context or self.config.data.context)
        if watch is not None:
            windows = watch(windows, corpus.num_tokens)
        nats = token_nats(self.model, windows, corpus.num_tokens, getattr(torch, precision))
        return Interpolation(ngram, tune_weight(-nats, ngram.log_probs(corpus.ids)), Path(path))

    def tune_adaptation(
        self,
        start: Adaptation,
        path: str | Path,
        *,
        ngram: NGramModel | None = None,
        context: str | None = None,
        precision: Precision = "float32",
        watch: Watch | None = None,
    ) -> tuple[Adaptation, Interpolation | None]:
        """What suits a text best of all that ``start`` consists of, a temperature, and an n-gram model.

        Args:
            start: What takes part: its rate is where the search begins, its cache the longest that is tried.
            path: The text, which must not be one that is evaluated with it.
            ngram: A model to be mixed in.
            context: As of ``evaluate``.
            precision: As of ``evaluate``.
            watch: As of ``evaluate``; a text is read several times.
        """
        corpus = read_held_out(Path(path), self.vocab, self.rules).corpus
        tuned = Tuner(
            self.model,
            corpus,
            context or self.config.data.context,
            self._statistics(start),
            None if ngram is None else ngram.log_probs(corpus.ids),
            getattr(torch, precision),
            watch or (lambda windows, _: windows),
        ).tune(start)
        if ngram is None or tuned.ngram_weight is None:
            return tuned.adaptation, None
        return tuned.adaptation, Interpolation(ngram, tuned.ngram_weight, Path(path))

    def collect_statistics(
        self, path: str | Path, *, num_tokens: int = STATISTICS_TOKENS, watch: Watch | None = None
    ) -> Path:
        """Measures how large gradients are on the training text, for the rule ``rms``.

        Args:
            path: The training text.
            num_tokens: So much of its beginning is read.
            watch: As of ``evaluate``.

        Returns:
            The file, beside the weights of the snapshot; an earlier one is replaced.

        Raises:
            StorageError: The disk or the system refused.
        """
        corpus = read_held_out(Path(path), self.vocab, self.rules).corpus.beginning(num_tokens)
        windows: Iterable[HeldOutWindow] = stream_windows(
            corpus.ids, corpus.eos_id, STATISTICS_STREAMS, self.config.train.bptt_len
        )
        if watch is not None:
            windows = watch(windows, corpus.num_tokens)
        about = {"data": corpus.sha256, "num_tokens": str(corpus.num_tokens)}
        file = self.snapshot.path / STATISTICS
        write_file(file, safetensors.torch.save(gradient_roots(self.model, windows), about))
        return file

    def _statistics(self, adaptation: Adaptation) -> Statistics | None:
        if adaptation.dynamic is None or adaptation.dynamic.rule != "rms":
            return None
        file = self.snapshot.path / STATISTICS
        if not file.exists():
            raise UsageError(
                f"{self.snapshot.path}: the rule rms needs statistics of the training text; collect them "
                "once with lmtrain adapt-stats MODEL --data TRAINING-TEXT"
            )
        try:
            found = safetensors.torch.load_file(file)
        except (OSError, safetensors.SafetensorError) as error:
            raise ModelError(f"{file}: damaged ({error}); collect the statistics again") from error
        shapes = {name: weight.shape for name, weight in self.model.named_parameters()}
        if {name: root.shape for name, root in found.items()} != shapes:
            raise ModelError(f"{file}: of another model; collect the statistics again")
        return found

    def statistics(self, adaptation: Adaptation) -> str:
        """The beginning of the SHA-256 of the statistics that an adaptation needs; empty where none."""
        if adaptation.dynamic is None or adaptation.dynamic.rule != "rms":
            return ""
        return hashlib.sha256((self.snapshot.path / STATISTICS).read_bytes()).hexdigest()[:8]

    def mixed(self, corpus: Corpus, nats: Floats, interpolation: Interpolation) -> MixtureResult:
        """The mixture with an n-gram model, given what the tokens of a text cost otherwise."""
        of_ngram = -interpolation.ngram.log_probs(corpus.ids)
        mixed = interpolation.mixed(nats, of_ngram)
        evaluations = (Evaluation.of_tokens(corpus.ids, n, self.vocab) for n in (mixed, nats, of_ngram))
        return MixtureResult(interpolation, *evaluations)

    def score(
        self,
        sentences: str | Iterable[str],
        *,
        context: str = "line",
        with_details: bool = False,
        num_guesses: int = 0,
    ) -> list[ScoredLine]:
        """What each word of some sentences costs, and each sentence's end.

        Args:
            sentences: One string or several, cut into words as the model's training text was.
            context: ``line``, each sentence on its own, or ``stream``, each after the one before.
            with_details: Whether to find the entropy and the rank at each token too.
            num_guesses: With details, how many of the most probable words to find in the place of each.

        Raises:
            DataError: A sentence holds ``<eos>``, which stands for its end.
            ModelError: The model gives scores that are not numbers (NaN).
        """
        given = [sentences] if isinstance(sentences, str) else sentences
        lines = [self.rules.words(sentence, f"sentence {number}") for number, sentence in enumerate(given, 1)]
        return self.scorer(context, with_details=with_details, num_guesses=num_guesses).score(lines)

    def scorer(
        self,
        context: str = "line",
        *,
        with_details: bool = False,
        num_guesses: int = 0,
        adaptation: Adaptation = NOT_ADAPTED,
        interpolation: Interpolation | None = None,
        precision: Precision = "float32",
    ) -> Scorer:
        """Scores lines as they come; see there."""
        return Scorer(
            self.model,
            self.vocab,
            context,
            with_details=with_details,
            num_guesses=num_guesses,
            mix=interpolation.mix if interpolation else None,
            precision=getattr(torch, precision),
            adaptation=adaptation,
            statistics=self._statistics(adaptation),
        )

    def generate(
        self,
        prompt: str = "",
        *,
        num_words: int | None = None,
        num_samples: int = 1,
        sampling: Sampling | BeamSearch | None = None,
        seed: int = 1,
        num_sentences: int | None = None,
        readable: bool = False,
    ) -> GeneratedText:
        """Continues a prompt; see ``generate_many``."""
        (result,) = self.generate_many(
            [prompt],
            num_words=num_words,
            num_samples=num_samples,
            sampling=sampling,
            seed=seed,
            num_sentences=num_sentences,
            readable=readable,
        )
        return result

    def generate_many(
        self,
        prompts: Iterable[str],
        *,
        num_words: int | None = None,
        num_samples: int = 1,
        sampling: Sampling | BeamSearch | None = None,
        seed: int = 1,
        num_sentences: int | None = None,
        readable: bool = False,
    ) -> Iterator[GeneratedText]:
        """Continues prompts, each from the start of a line and on its own, many side by side.

        Args:
            prompts: Taken as they are needed; line breaks in them are ``<eos>``.
            num_words: At most so many tokens, ``<eos>`` included; None is 100, or 100 a sentence.
            num_samples: Texts for each prompt; of a beam search, the best.
            sampling: How words are chosen; a ``BeamSearch`` looks for the most probable texts.
            seed: Of the draws, at least 0.
            num_sentences: A text ends with this ``<eos>``.
            readable: Whether texts are put together as people write them; see ``corpus.detokenize``.

        Yields:
            What was written, in the order of the prompts.

        Raises:
            ValueError: A number is out of range.
        """
        return continue_texts(
            self.model,
            self.vocab,
            self.rules,
            prompts,
            length=Length(num_words, num_sentences),
            num_samples=num_samples,
            decoding=sampling or Sampling(),
            seed=seed,
            finish=detokenize if readable else str,
        )

    @property
    def sha256(self) -> str:
        """Of its weights, as its snapshot holds them."""
        return str(self.snapshot.manifest["files"][MODEL]["sha256"])

    @property
    def weights(self) -> str:
        """What signatures call its weights: the beginning of their SHA-256."""
        return f"model:{self.sha256[:8]}"

    @property
    def about(self) -> str:
        """What it is, in a few words: ``lstm 2 × 200, embedding 200, tied``."""
        options = self.config.model
        return (
            f"{options.cell} {options.num_layers} × {options.hidden_size}, "
            f"embedding {options.embedding_dim}" + (", tied" if options.tie_weights else "")
        )

    def describe(self) -> ModelDescription:
        """What it is and where it comes from."""
        return ModelDescription(
            self.about,
            self.config,
            self.snapshot.path,
            self.snapshot.step,
            self.snapshot.provenance,
            len(self.vocab),
            self.vocab.sha256,
            self.rules.name,
            describe_parts(self.model),
            read_history(self.snapshot.path, self.snapshot.step),
        )

    def signature(
        self,
        data: str | None,
        context: str,
        adaptation: Adaptation,
        precision: str,
        interpolation: Interpolation | None,
        weights: str = "",
        *,
        statistics: str = "",
        figure: str = "ppl",
        eos: str = "incl",
    ) -> str:
        """All that a figure depends on, in one line.

        Args:
            data: SHA-256 of the text; None where that is not known.
            context: As signatures call it: ``stream1``, ``line``.
            adaptation: How the model adapted.
            precision: Of the products.
            interpolation: An n-gram model that was mixed in.
            weights: Names them, of the model or of an ensemble that it belongs to.
            statistics: Names those that the adaptation rests on, of the same.
            figure: What it is: a perplexity, or surprisals, with the base of their logarithm.
            eos: Whether line ends are part of it.
        """
        more = f"|stats:{statistics}" if statistics else ""
        more += f"|{weights}" if weights else ""
        more += "" if adaptation.temperature == 1 else f"|temp:{shortest(adaptation.temperature)}"
        more += "" if precision == "float32" else f"|prec:{precision}"
        if interpolation:
            more += f"|ngram:{interpolation.ngram.sha256[:8]}*{shortest(interpolation.weight)}"
        return (
            f"{figure}|tok:{self.rules.name}|unk:incl|eos:{eos}|ctx:{context}|adapt:{adaptation}{more}"
            f"|vocab:{self.vocab.sha256[:8]}{f'|data:{data[:8]}' if data else ''}|lmtrain:{__version__}"
        )


def shortest(weight: float) -> str:
    """A number that reads back as the same one, in no more digits than that takes."""
    return repr(float(weight)).removesuffix(".0")


def load_model(
    path: Path,
    which: str | None = None,
    device: str = "auto",
    note: Callable[[str], object] = str,
) -> TrainedModel:
    """Loads a model.

    Args:
        path: A run directory or one snapshot directory.
        which: For a run directory: ``best``, ``last`` or a step; by default the best by validation, else
            the last.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        note: Told of damaged snapshots that do not matter.

    Raises:
        ModelError: There is no such model, or it is damaged.
        UsageError: There is no such device, or ``which`` has no meaning here.
    """
    where = resolve_device(device)
    snapshot = find_snapshot(path, which, note)
    try:
        config = config_from_dict(snapshot.config, str(snapshot.path))
        vocab = _read_vocabulary(snapshot)
        with torch.device("meta"):  # sizes are compared before memory is taken
            refuse_other_shapes(snapshot, build_model(config.model, len(vocab)))
    except ConfigError as error:
        raise ModelError(str(error)) from error
    model = build_model(config.model, len(vocab))
    model.load_state_dict(snapshot.model_tensors(), strict=False)
    return TrainedModel(model.to(where).eval(), vocab, text_rules(config.data), config, snapshot)


def load_vocabulary(path: Path, which: str | None = None) -> tuple[Vocabulary, TextRules]:
    """The words of a model and how text becomes words for it; its weights are not read.

    Args:
        path: A run directory or one snapshot directory.
        which: As in ``load_model``.

    Raises:
        ModelError: There is no such model, or it is damaged.
        UsageError: ``which`` has no meaning here.
    """
    snapshot = find_snapshot(path, which)
    try:
        config = config_from_dict(snapshot.config, str(snapshot.path))
    except ConfigError as error:
        raise ModelError(str(error)) from error
    return _read_vocabulary(snapshot), text_rules(config.data)


def _read_vocabulary(snapshot: Snapshot) -> Vocabulary:
    data, name = snapshot.vocab_bytes(), str(snapshot.path / "vocab.txt")
    shape = snapshot.model_shapes().get("embedding.weight", ())
    num_words, num_rows = data.count(b"\n"), shape[0] if shape else 0
    if num_words > num_rows:  # counted before millions of lines become objects
        raise ModelError(f"{name}: {num_words:,} words, where its weights are for {num_rows:,}")
    return snapshot.vocabulary()
