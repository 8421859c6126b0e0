"""A trained model: it evaluates, scores and writes. It needs no corpus."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from lmtrain import __version__
from lmtrain.config import Config
from lmtrain.corpus.corpus import Corpus
from lmtrain.corpus.detokenize import detokenize
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import ModelError, UsageError
from lmtrain.inference.beam import BeamSearch
from lmtrain.inference.continuation import Length
from lmtrain.inference.evaluation import Evaluation, evaluate, perplexity
from lmtrain.inference.mixture import Interpolation, interpolate, tune_weight
from lmtrain.inference.ngram import NGramModel
from lmtrain.inference.sampling import Sampling
from lmtrain.inference.score import NOT_A_NUMBER, Floats, ScoredLine, Scorer, token_nats
from lmtrain.inference.windows import HeldOutWindow, held_out_windows
from lmtrain.model.language_model import LanguageModel
from lmtrain.run.description import describe_parts, read_history
from lmtrain.run.generated import GeneratedText, continue_texts
from lmtrain.run.held_out import HeldOutResult, MixtureResult, read_held_out, source_perplexity
from lmtrain.training.snapshot import Snapshot

_SPLITS = ("train", "valid", "test")

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
        adapt: str = "none",
        precision: Literal["float32", "bfloat16"] = "float32",
        interpolation: Interpolation | None = None,
        watch: Watch | None = None,
    ) -> HeldOutResult:
        """Scores a held-out text, each token once.

        Args:
            path: UTF-8 text; ``-`` is standard input.
            context: ``stream`` or ``line``; by default as the model was trained.
            streams: How many streams the text is cut into in stream context; 1 is exact.
            batch_size: Lines at once in line context; None lets memory decide.
            adapt: ``none``.
            precision: Of the products, whatever the model was trained in.
            interpolation: An n-gram model to be mixed in; see ``tune``.
            watch: Hands on the windows that it is given, with the number of their tokens.

        Raises:
            DataError: The text cannot be used.
            ModelError: The model gives scores that are not numbers (NaN).
            UsageError: An argument has no meaning in this context.
        """
        context = context or self.config.data.context
        if context == "line" and streams > 1:
            raise UsageError("streams cut a text in stream context; in line context each line is on its own")
        if context == "stream" and batch_size is not None:
            raise UsageError("a batch size is for line context; in stream context there are streams")
        text = read_held_out(Path(path), self.vocab, self.rules)
        corpus = text.corpus
        windows = held_out_windows(corpus, context, streams=streams, batch_size=batch_size)
        if watch is not None:
            windows = watch(windows, corpus.num_tokens)
        label = context if context == "line" else f"stream{min(streams, corpus.num_tokens)}"
        dtype, mixture = getattr(torch, precision), None
        if interpolation is None:
            evaluation = evaluate(self.model, windows, self.vocab, dtype)
            if math.isnan(evaluation.nll_nats):
                raise ModelError(NOT_A_NUMBER)
        else:
            started = time.perf_counter()
            nats = token_nats(self.model, windows, corpus.num_tokens, dtype)
            mixture = self._mixed(corpus, nats, interpolation)
            evaluation = replace(mixture.evaluation, seconds=time.perf_counter() - started)
        return HeldOutResult(
            evaluation,
            Path(path),
            self.snapshot.path,
            label,
            adapt,
            self._signature(corpus, label, adapt, precision, interpolation),
            text.most_frequent_oov(),
            source_perplexity([Path(path)], evaluation),
            mixture,
        )

    def ngram(self, path: str | Path) -> NGramModel:
        """An n-gram model (ARPA or KenLM binary) over the vocabulary of this one.

        Raises:
            ModelError: The file is no n-gram model.
            UsageError: The ``kenlm`` package is not installed.
        """
        return NGramModel(Path(path), self.vocab)

    def tune(
        self, ngram: NGramModel, path: str | Path, *, context: str | None = None, watch: Watch | None = None
    ) -> Interpolation:
        """The mixture with an n-gram model whose weight suits a text best; arguments as of ``evaluate``."""
        corpus = read_held_out(Path(path), self.vocab, self.rules).corpus
        windows = held_out_windows(corpus, context or self.config.data.context)
        if watch is not None:
            windows = watch(windows, corpus.num_tokens)
        nats = token_nats(self.model, windows, corpus.num_tokens)
        return Interpolation(ngram, tune_weight(-nats, ngram.log_probs(corpus.ids)), Path(path))

    def _mixed(self, corpus: Corpus, nats: Floats, interpolation: Interpolation) -> MixtureResult:
        of_ngram = -interpolation.ngram.log_probs(corpus.ids)
        mixed = -interpolate(-nats, -of_ngram, interpolation.weight)
        evaluations = (Evaluation.of_tokens(corpus.ids, n, self.vocab) for n in (mixed, nats, of_ngram))
        return MixtureResult(interpolation, *evaluations)

    def score(
        self, sentences: str | Iterable[str], *, context: str = "line", with_details: bool = False
    ) -> list[ScoredLine]:
        """What each word of some sentences costs, and each sentence's end.

        Args:
            sentences: One string or several, cut into words as the model's training text was.
            context: ``line``, each sentence on its own, or ``stream``, each after the one before.
            with_details: Whether to find the entropy and the rank at each token too.

        Raises:
            DataError: A sentence holds ``<eos>``, which stands for its end.
            ModelError: The model gives scores that are not numbers (NaN).
        """
        given = [sentences] if isinstance(sentences, str) else sentences
        lines = [self.rules.words(sentence, f"sentence {number}") for number, sentence in enumerate(given, 1)]
        return self.scorer(context, with_details=with_details).score(lines)

    def scorer(
        self,
        context: str = "line",
        *,
        with_details: bool = False,
        interpolation: Interpolation | None = None,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> Scorer:
        """Scores lines as they come; see there."""
        return Scorer(
            self.model,
            self.vocab,
            context,
            with_details=with_details,
            mix=interpolation.mix if interpolation else None,
            precision=getattr(torch, precision),
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
    def about(self) -> str:
        """What it is, in a few words: ``lstm 2 × 200, embedding 200, tied``."""
        options = self.config.model
        return (
            f"{options.cell} {options.num_layers} × {options.hidden_size}, "
            f"embedding {options.embedding_dim}" + (", tied" if options.tie_weights else "")
        )

    def describe(self) -> dict[str, Any]:
        """The fields of ``info --json``."""
        parts: dict[str, int] = {}
        for name, parameter in self.model.named_parameters():
            layer = name.rpartition(".")[0]
            parts[layer] = parts.get(layer, 0) + parameter.numel()
        provenance = self.snapshot.provenance
        best_loss = provenance.best_loss if provenance.best_step else None
        return {
            "name": self.config.name,
            "snapshot": str(self.snapshot.path),
            "step": self.snapshot.step,
            "model": self.about,
            "num_parameters": sum(parts.values()),
            "parameters": parts,
            "vocab_size": len(self.vocab),
            "text_rules": self.rules.name,
            **provenance.model_dump(),
            "environment": {"lmtrain": "unknown", "platform": "unknown", **provenance.environment},
            "sha256": {**dict.fromkeys(_SPLITS), **provenance.sha256, "vocab": self.vocab.sha256},
            "best_step": None if best_loss is None else provenance.best_step,
            "best_loss": best_loss,
            "best_perplexity": None if best_loss is None else perplexity(best_loss, 1),
            "config": self.config.to_dict(),
            "parts": [asdict(part) for part in describe_parts(self.model)],
            "history": [asdict(each) for each in read_history(self.snapshot.path, self.snapshot.step)],
        }

    def _signature(
        self, corpus: Corpus, context: str, adapt: str, precision: str, interpolation: Interpolation | None
    ) -> str:
        more = "" if precision == "float32" else f"|prec:{precision}"
        if interpolation:
            more += f"|ngram:{interpolation.ngram.sha256[:8]}*{interpolation.weight:.4g}"
        return (
            f"ppl|tok:{self.rules.name}|unk:incl|eos:incl|ctx:{context}|adapt:{adapt}{more}"
            f"|vocab:{self.vocab.sha256[:8]}|data:{corpus.sha256[:8]}|lmtrain:{__version__}"
        )
