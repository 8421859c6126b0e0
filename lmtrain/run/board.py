"""What TensorBoard shows of a run beside figures and texts: activations, and where the words lie."""

from pathlib import Path

import numpy as np
from torch import Tensor

from lmtrain.config import Config
from lmtrain.corpus.batching import line_extents, padded_window
from lmtrain.inference.gates import gate_activations
from lmtrain.model.language_model import LanguageModel
from lmtrain.run.build import Corpora
from lmtrain.training.projector import write_embedding

_PROJECTED_WORDS = 2000
"""What a browser moves smoothly."""
_MAX_STEPS, _MAX_LINES = 256, 16
"""Of the validation text: time steps that are read, and lines in line context."""


def validation_activations(model: LanguageModel, config: Config, corpora: Corpora) -> dict[str, Tensor]:
    """Gates and states, numbers by tag, while the same first words of the validation text are read.

    Nothing is drawn at random, and the model is left as it was. Empty where nothing validates.
    """
    corpus, eos_id = corpora.valid, corpora.vocab.eos_id
    if corpus is None:
        return {}
    if config.data.context == "line":
        starts, lengths = line_extents(corpus.line_ends[:_MAX_LINES])
    else:
        starts, lengths = np.array([0]), np.array([corpus.num_tokens])
    steps = slice(0, _MAX_STEPS)
    input_ids, targets, _ = padded_window(corpus.ids, starts, lengths, eos_id, steps)
    input_ids, targets = input_ids.to(model.device), targets.to(model.device)
    activations = gate_activations(model, input_ids, model.initial_state(input_ids.shape[1]))
    return {tag: values[targets >= 0] for tag, values in activations.items()}  # without padding


def project_words(model: LanguageModel, corpora: Corpora, run_dir: Path) -> None:
    """Writes the vectors of the most frequent words for TensorBoard's embedding projector.

    Raises:
        StorageError: The disk or the system refused.
    """
    words = corpora.vocab.words[:_PROJECTED_WORDS]
    counts = corpora.train.word_counts(len(corpora.vocab))[: len(words)]
    vectors = model.embedding.weight.detach()[: len(words)].cpu()
    write_embedding(run_dir / "tensorboard", vectors, words, counts.tolist())
