"""A trained model: it evaluates and writes. It needs no corpus."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lmtrain import __version__
from lmtrain.config import Config
from lmtrain.corpus.batching import Window
from lmtrain.corpus.corpus import Corpus, encode_text, load_corpus
from lmtrain.corpus.synthetic import source_log_probs
from lmtrain.corpus.text import EOS, TextRules, read_blocks
from lmtrain.corpus.vocab import UNK, Vocabulary
from lmtrain.errors import UsageError
from lmtrain.inference.evaluate import Evaluation, evaluate, held_out_windows, perplexity
from lmtrain.inference.generate import Sampling, generate, to_text
from lmtrain.model.language_model import LanguageModel
from lmtrain.training.snapshot import Snapshot

_SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class HeldOutResult:
    """The evaluation of a file, and everything its figures depend on."""

    evaluation: Evaluation
    data: Path
    snapshot: Path
    context: str
    """``stream1``, ``stream10``, … or ``line``."""
    adapt: str
    signature: str
    """All that the perplexity depends on, in one line fit for a paper."""
    source_perplexity: float | None
    """What the source of a synthetic text itself reaches on it."""

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
            "snapshot": str(self.snapshot),
            "data": str(self.data),
        }


@dataclass(frozen=True)
class GeneratedText:
    """What a model wrote."""

    prompt: str
    unknown_words: list[str]
    """Words of the prompt that the model read as ``<unk>``."""
    texts: list[str]
    """Each sample with the prompt before it."""
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The fields of ``generate --json``."""
        return {
            "prompt": self.prompt,
            "oov": self.unknown_words,
            "seed": self.seed,
            "samples": [{"text": text} for text in self.texts],
        }


@dataclass(frozen=True)
class TrainedModel:
    """A model with the vocabulary and the rules that turn text into its words."""

    model: LanguageModel
    vocab: Vocabulary
    rules: TextRules
    config: Config
    snapshot: Snapshot

    def read(self, path: Path) -> Corpus:
        """A text in words of the model; ``-`` is standard input.

        Raises:
            DataError: It cannot be used.
        """
        if path == Path("-"):
            return _read_standard_input(self.vocab, self.rules)
        return load_corpus([path], self.vocab, self.rules)

    def evaluate(
        self,
        path: Path,
        *,
        context: str | None = None,
        streams: int = 1,
        batch_size: int | None = None,
        adapt: str = "none",
        precision: Literal["float32", "bfloat16"] = "float32",
        watch: Callable[[Iterable[Window], int], Iterable[Window]] | None = None,
    ) -> HeldOutResult:
        """The perplexity of a held-out text.

        Args:
            path: UTF-8 text; ``-`` is standard input.
            context: ``stream`` or ``line``; by default as the model was trained.
            streams: How many streams the text is cut into in stream context; 1 is exact.
            batch_size: Lines at once in line context; None lets memory decide.
            adapt: ``none``.
            precision: Of the products, whatever the model was trained in.
            watch: Hands on the windows that it is given, with the number of their tokens.

        Raises:
            DataError: The text cannot be used.
            UsageError: An argument has no meaning in this context.
        """
        context = context or self.config.data.context
        if context == "line" and streams > 1:
            raise UsageError("streams cut a text in stream context; in line context each line is on its own")
        if context == "stream" and batch_size is not None:
            raise UsageError("a batch size is for line context; in stream context there are streams")
        corpus = self.read(path)
        windows = held_out_windows(corpus, self.vocab, context, streams=streams, batch_size=batch_size)
        if watch is not None:
            windows = replace(windows, windows=watch(windows, corpus.num_tokens))
        label = context if context == "line" else f"stream{min(streams, corpus.num_tokens)}"
        evaluation = evaluate(self.model, windows, self.vocab, getattr(torch, precision))
        return HeldOutResult(
            evaluation,
            path,
            self.snapshot.path,
            label,
            adapt,
            self._signature(corpus, label, adapt, precision),
            source_perplexity([path], evaluation),
        )

    def generate(
        self,
        prompt: str = "",
        *,
        num_words: int = 100,
        num_samples: int = 1,
        sampling: Sampling | None = None,
        seed: int = 1,
    ) -> GeneratedText:
        """Continues a prompt, whose line breaks are ``<eos>``; see ``lmtrain.inference.generate``."""
        words = self.rules.split(prompt.replace("\n", f" {EOS} "))
        samples = generate(
            self.model,
            self.vocab,
            [self.vocab.id_of(word) for word in words],
            num_words=num_words,
            num_samples=num_samples,
            sampling=sampling,
            seed=seed,
        )
        texts = [to_text([*words, *self.vocab.decode(ids)]) for ids in samples]
        unknown = [word for word in words if word not in self.vocab or word == UNK]
        return GeneratedText(prompt, unknown, texts, seed)

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
        }

    def _signature(self, corpus: Corpus, context: str, adapt: str, precision: str) -> str:
        approximate = "" if precision == "float32" else f"|prec:{precision}"
        return (
            f"ppl|tok:{self.rules.name}|unk:incl|eos:incl|ctx:{context}|adapt:{adapt}{approximate}"
            f"|vocab:{self.vocab.sha256[:8]}|data:{corpus.sha256[:8]}|lmtrain:{__version__}"
        )


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


def _read_standard_input(vocab: Vocabulary, rules: TextRules) -> Corpus:
    """A text that can be read but once: its ids are kept in memory, not in the cache."""
    digest = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        for block in read_blocks(sys.stdin.buffer):
            digest.update(block)
            yield block

    ids = np.concatenate(list(encode_text(blocks(), vocab, rules, "standard input")))
    num_lines, num_oov = (int(np.count_nonzero(ids == i)) for i in (vocab.eos_id, vocab.unk_id))
    return Corpus(ids, num_lines, num_oov, vocab.eos_id, digest.hexdigest(), (Path("-"),))
