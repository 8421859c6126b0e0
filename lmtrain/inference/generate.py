"""Text out of a language model, word by word."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import EOS, UNK, Vocabulary
from lmtrain.errors import ModelError
from lmtrain.inference.beam import BeamSearch, beam_search
from lmtrain.inference.continuation import Continuation, Length, to_text
from lmtrain.inference.prompts import read_prompts, rows_of
from lmtrain.inference.sampling import Draws, Sampling, choose
from lmtrain.model.language_model import LanguageModel, ModelState

_BATCH_BYTES = 8 << 20
"""Of the logits of one batch of texts that are written together."""
_MIN_ROWS, _MAX_ROWS = 64, 1024
"""For huge vocabularies and for tiny ones."""

T = TypeVar("T")
Row = tuple[Sequence[int], int]
"""A text to be written: its prompt, and its number among the samples of that prompt."""


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


def generate(
    model: LanguageModel,
    vocab: Vocabulary,
    prompt_ids: Sequence[int],
    *,
    num_words: int,
    num_samples: int = 1,
    sampling: Sampling | None = None,
    seed: int = 1,
) -> list[list[int]]:
    """Continues one prompt, which stands at the start of a line; see ``generate_many``.

    Returns:
        The ids of each sample, without the prompt.
    """
    (samples,) = generate_many(
        model,
        vocab,
        [prompt_ids],
        length=Length(num_words),
        num_samples=num_samples,
        decoding=sampling or Sampling(),
        seed=seed,
    )
    return [sample.ids for sample in samples]


def generate_many(
    model: LanguageModel,
    vocab: Vocabulary,
    prompts: Iterable[Sequence[int]],
    *,
    length: Length,
    num_samples: int = 1,
    decoding: Sampling | BeamSearch,
    seed: int = 1,
) -> Iterator[list[Continuation]]:
    """Continues prompts, each of which stands at the start of a line.

    What is drawn for a sample is decided by the seed, its prompt and its number: the third of three samples
    is the third of three hundred too, whatever other prompts there are. Only rounding, which depends on the
    size of a batch, can make one differ.

    Args:
        model: In training or evaluation mode, which it is left in.
        vocab: Of the model.
        prompts: The ids of each, which may be none; taken as they are needed.
        length: Where texts end.
        num_samples: Texts for each prompt; of a beam search, the best.
        decoding: How words are chosen.
        seed: Of the draws, at least 0.

    Yields:
        For each prompt what was written, in the order of the prompts and batch by batch: memory does not
        grow with the number of prompts or samples.
    """
    rows = min(max(_BATCH_BYTES // (4 * len(vocab)), _MIN_ROWS), _MAX_ROWS)
    if num_samples == 0:
        yield from ([] for _ in prompts)
    elif isinstance(decoding, BeamSearch):
        for batch in _batches(prompts, max(1, rows // decoding.width)):
            yield from beam_search(model, vocab, batch, length=length, num_best=num_samples, search=decoding)
    else:
        every_row = ((prompt, number) for prompt in prompts for number in range(num_samples))
        written = chain.from_iterable(
            _sample(model, vocab, batch, length, decoding, seed) for batch in _batches(every_row, rows)
        )
        yield from _batches(written, num_samples)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


@torch.inference_mode()
def _sample(
    model: LanguageModel,
    vocab: Vocabulary,
    rows: Sequence[Row],
    length: Length,
    sampling: Sampling,
    seed: int,
) -> list[Continuation]:
    """Writes texts side by side; those that have ended leave the batch."""
    steps: list[tuple[list[int], Tensor, Tensor]] = []  # which rows, their words, their ln p
    with model.evaluating():
        features, state = _read(model, rows, vocab.eos_id)
        draws = Draws(seed, rows, model.device)
        writing = list(range(len(rows)))
        num_eos = torch.zeros(len(rows), dtype=torch.int64, device=model.device)
        for step in range(1, length.max_words + 1):
            words, log_probs = choose(model.softmax.logits(features), draws.next(), sampling, vocab.unk_id)
            steps.append((writing, words, log_probs))
            if length.num_sentences is not None:
                num_eos += words == vocab.eos_id
                still = (num_eos < length.num_sentences).nonzero()[:, 0]
                if len(still) < len(words):
                    writing = [writing[i] for i in still.tolist()]
                    words, num_eos, state = words[still], num_eos[still], rows_of(state, still)
                    draws.keep(still)
            if not writing or step == length.max_words:
                break
            reading = model(words[None], state)
            features, state = reading.features[0], reading.state
    return _collected(steps, len(rows))


def _read(model: LanguageModel, rows: Sequence[Row], eos_id: int) -> tuple[Tensor, ModelState]:
    """What ``read_prompts`` gives, for each row; a prompt that many rows share is read once."""
    prompts: list[Sequence[int]] = []
    places = []
    for prompt, _ in rows:
        if not prompts or prompt is not prompts[-1]:
            prompts.append(prompt)
        places.append(len(prompts) - 1)
    features, state = read_prompts(model, prompts, eos_id)
    index = torch.tensor(places, device=model.device)
    return features[index], rows_of(state, index)


def _collected(steps: Iterable[tuple[list[int], Tensor, Tensor]], num_rows: int) -> list[Continuation]:
    """The words of all steps, row by row. The device is asked for them here, and not at each step."""
    ids: list[list[int]] = [[] for _ in range(num_rows)]
    totals = [0.0] * num_rows
    for rows, words, log_probs in steps:
        for row, word, log_prob in zip(rows, words.tolist(), log_probs.tolist(), strict=True):
            ids[row].append(word)
            totals[row] += log_prob
    return list(map(Continuation, ids, totals))


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
    """Continues prompts as texts; see ``generate_many``.

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
        samples = [_finished(words, continuation, vocab, length, finish) for continuation in found]
        yield GeneratedText(prompt, unknown, seed, samples)


def _finished(
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
        log_prob=found.log_prob + 0.0,  # no -0
        num_tokens=len(found.ids),
        stopped_by="num_sentences" if is_complete else "num_words",
    )
