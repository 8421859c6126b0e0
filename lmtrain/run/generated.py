"""Text that a model wrote, as a person or a program reads it."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lmtrain.corpus.text import EOS, TextRules
from lmtrain.corpus.vocab import UNK, Vocabulary
from lmtrain.errors import ModelError
from lmtrain.inference.beam import BeamSearch
from lmtrain.inference.continuation import Continuation, Length, to_text
from lmtrain.inference.generate import generate_many
from lmtrain.inference.sampling import Sampling
from lmtrain.model.language_model import LanguageModel


@dataclass(frozen=True)
class GeneratedSample:
    """One text after a prompt."""

    text: str
    """With the prompt before it; without the ``<eos>`` that it was to end with."""
    log_prob: float
    """ln p of what was written after the prompt, in nats, in the model's own distribution."""
    num_tokens: int
    """What was written, ``<eos>`` included."""
    stopped_by: Literal["num_words", "num_sentences"]
    """Which limit ended the text."""


@dataclass(frozen=True)
class GeneratedText:
    """What a model wrote after a prompt."""

    prompt: str
    unknown_words: list[str]
    """Words of the prompt that the model read as ``<unk>``."""
    seed: int
    samples: list[GeneratedSample]

    @property
    def texts(self) -> list[str]:
        """Each sample with the prompt before it."""
        return [sample.text for sample in self.samples]

    def to_dict(self) -> dict[str, Any]:
        """The fields of ``generate --json``."""
        return {
            "prompt": self.prompt,
            "oov": self.unknown_words,
            "seed": self.seed,
            "samples": [asdict(sample) for sample in self.samples],
        }


def continue_texts(
    model: LanguageModel,
    vocab: Vocabulary,
    rules: TextRules,
    prompts: Iterable[str],
    *,
    length: Length,
    num_samples: int,
    decoding: Sampling | BeamSearch,
    seed: int,
    finish: Callable[[str], str],
) -> Iterator[GeneratedText]:
    """Continues prompts as texts; see ``lmtrain.inference.generate.generate_many``.

    Args:
        model: In training or evaluation mode, which it is left in.
        vocab: Of the model.
        rules: How a prompt becomes words.
        prompts: Taken as they are needed; line breaks in them are ``<eos>``.
        length: Where texts end.
        num_samples: Texts for each prompt.
        decoding: How words are chosen.
        seed: Of the draws.
        finish: Makes the words of a text, between spaces, into what is handed out.

    Raises:
        ModelError: What the model predicts is not a number.
    """
    being_written: deque[tuple[str, list[str]]] = deque()

    def ids() -> Iterator[list[int]]:
        for prompt in prompts:
            words = rules.split(prompt.replace("\n", f" {EOS} "))
            being_written.append((prompt, words))
            yield [vocab.id_of(word) for word in words]

    for found in generate_many(
        model, vocab, ids(), length=length, num_samples=num_samples, decoding=decoding, seed=seed
    ):
        prompt, words = being_written.popleft()
        if any(math.isnan(continuation.log_prob) for continuation in found):
            raise ModelError(
                "nothing can be written: the model gives probabilities that are not numbers (NaN)"
            )
        unknown = [word for word in words if word not in vocab or word == UNK]
        samples = [_sample_of(words, continuation, vocab, length, finish) for continuation in found]
        yield GeneratedText(prompt, unknown, seed, samples)


def _sample_of(
    prompt: Sequence[str],
    found: Continuation,
    vocab: Vocabulary,
    length: Length,
    finish: Callable[[str], str],
) -> GeneratedSample:
    is_complete = length.num_sentences is not None and found.ids.count(vocab.eos_id) == length.num_sentences
    written = vocab.decode(found.ids[:-1] if is_complete else found.ids)
    return GeneratedSample(
        text=finish(to_text([*prompt, *written])),
        log_prob=found.log_prob,
        num_tokens=len(found.ids),
        stopped_by="num_sentences" if is_complete else "num_words",
    )
