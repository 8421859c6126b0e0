"""What TensorBoard shows of a run: the figures of its log, texts, and what goes on inside the model."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from textwrap import fill, indent

import numpy as np
from torch import Tensor

from lmtrain.corpus.batching import line_extents, padded_window
from lmtrain.corpus.corpus import Corpus
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.files.atomic import refusing_faults
from lmtrain.inference.gates import gate_activations
from lmtrain.model.language_model import LanguageModel
from lmtrain.training import summaries
from lmtrain.training.event_file import EventFile, shown_scalars
from lmtrain.training.log import Event
from lmtrain.training.projector import write_embedding
from lmtrain.training.summaries import HyperParameter, Setting

_FINAL_FIGURES = ("valid/best_perplexity", "test/perplexity", "train/perplexity", "train/words_per_second")
"""What stands beside the hyper-parameters: the last of each."""
_WITHOUT_CURVE = ("epoch", "elapsed", "test/loss", "test/accuracy")
_COMPARED = ("train", "valid")
"""What each perplexity is of that stands in the first chart of the page, ``perplexity``."""
_UNITS = "units"
"""Before the tags of distributions. Charts stand in the order of the alphabet: behind that first one."""
_WIDTH = 100
"""Characters of a line of a sample."""
_PROJECTED_WORDS = 2000
"""What a browser moves smoothly."""
_MAX_STEPS, _MAX_LINES = 256, 16
"""Of the validation text: time steps that are read, and lines in line context."""


class Board:
    """The TensorBoard files of a run, written once they are opened.

    All figures stand in the directory itself, under their tags. TensorBoard gives each directory a colour; so
    those of training and of validation that are to be compared stand in directories beneath it once more.

    Args:
        directory: Of the event files, made if it is not there.

    Raises:
        StorageError: They cannot be written (in all methods).
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._curves = [_Curves(directory, _charted)]
        self._curves += [_Curves(directory / name, partial(_compared, name)) for name in _COMPARED]

    @contextmanager
    def open(self, step: int, logged: Sequence[Event]) -> Iterator[None]:
        """Opens files to go on from a step.

        Args:
            step: Where the run stands.
            logged: The events of its log.
        """
        with ExitStack() as files:
            with self._refusing_faults():
                for curves in self._curves:
                    files.callback(curves.close)
                    curves.open(step, logged)
                self._events.sync()  # it is there in any case, for what is shown beside figures
            yield

    @property
    def _events(self) -> EventFile:
        return self._curves[0].events

    def describe(
        self,
        columns: Sequence[HyperParameter],
        settings: Mapping[str, Setting],
        note: str = "",
    ) -> None:
        """Says how to show the run.

        Args:
            columns: All hyper-parameters that a run may have.
            settings: Those of this one, by name.
            note: What is to be known of the perplexities, for the title of their chart.
        """
        with self._refusing_faults():
            self._events.add(summaries.layout(_charts(note)))
            self._events.add(summaries.experiment(columns, _FINAL_FIGURES))
            self._events.add(summaries.session_start(settings))

    def show_figures(self, step: int, figures: Mapping[str, float | None]) -> None:
        """Shows an event of the log."""
        with self._refusing_faults():
            for curves in self._curves:
                curves.show(step, figures)

    def show_samples(self, step: int, samples: Sequence[str]) -> None:
        """Shows what the model wrote, if anything, as it stands but for lines that do not fit a screen."""
        if not samples:
            return
        lines = [line for sample in samples for line in [*sample.split("\n"), ""]]
        wrapped = [fill(line, _WIDTH, subsequent_indent="    ", break_long_words=False) for line in lines]
        markdown = indent("\n".join(wrapped), "    ").rstrip()  # code, which Markdown leaves alone
        with self._refusing_faults():
            self._events.add(summaries.text("samples", markdown), step)

    def show_distributions(self, step: int, numbers: Mapping[str, Tensor]) -> None:
        """Shows how numbers are distributed, by tag, where any is finite."""
        with self._refusing_faults():
            for tag, values in numbers.items():
                if (histogram := summaries.histogram(f"{_UNITS}/{tag}", values)) is not None:
                    self._events.add(histogram, step)

    def show_words(self, vectors: Tensor, vocab: Vocabulary, text: Corpus) -> None:
        """Writes the vectors of the most frequent words, for the projector.

        Args:
            vectors: Of all words, (V, E).
            vocab: The words.
            text: That of training, where they are counted.
        """
        counts = text.word_counts(len(vocab))
        ids = np.argsort(-counts, kind="stable")[:_PROJECTED_WORDS].tolist()
        words = [vocab.words[i] for i in ids]
        write_embedding(self._directory, vectors.detach()[ids].cpu(), words, counts[ids].tolist())

    def finish(self) -> None:
        """Says that the run has come to its end."""
        with self._refusing_faults():
            self._events.add(summaries.session_end())

    def sync(self) -> None:
        """Waits until all is on the disk: a snapshot may then count on it."""
        with self._refusing_faults():
            for curves in self._curves:
                curves.sync()

    def _refusing_faults(self) -> AbstractContextManager[None]:
        return refusing_faults(self._directory)


class _Curves:
    """The event files of one directory, the last of them made when there is something to be shown.

    Args:
        directory: Made if it is not there.
        picked: What is shown of the figures of an event, by tag.
    """

    def __init__(
        self, directory: Path, picked: Callable[[Mapping[str, float | None]], dict[str, float]]
    ) -> None:
        self._directory = directory
        self._picked = picked
        self._first_step = 0
        self._events: EventFile | None = None

    @property
    def events(self) -> EventFile:
        """The file that is written."""
        if self._events is None:
            self._events = EventFile(self._directory, self._first_step)
        return self._events

    def open(self, step: int, logged: Sequence[Event]) -> None:
        """Begins a file to go on from a step.

        TensorBoard forgets by whole steps. So what the log has of the present one is written anew, and with
        it all figures from the first on that earlier files lack or have damaged.
        """
        shown = shown_scalars(self._directory)
        lacking = (e.step for e in logged if {(e.step, tag) for tag in self._picked(e.figures)} - shown)
        self._first_step = min([step, *lacking])
        if shown:
            self.events.sync()  # it is there from now on: what earlier files say of later steps is void
        for event in logged:
            if event.step >= self._first_step:
                self.show(event.step, event.figures)

    def show(self, step: int, figures: Mapping[str, float | None]) -> None:
        """Writes what is picked of the figures."""
        if picked := self._picked(figures):
            self.events.add(summaries.figures(picked), step)

    def sync(self) -> None:
        """Waits until all is on the disk."""
        if self._events:
            self._events.sync()

    def close(self) -> None:
        """Closes the file, if there is one."""
        if self._events:
            self._events.close()


def _compared(name: str, figures: Mapping[str, float | None]) -> dict[str, float]:
    """The perplexity of training or validation, under a tag that both share."""
    charted = _charted(figures)
    tag = f"{name}/perplexity"
    return {"perplexity": charted[tag]} if tag in charted else {}


def _charted(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Without what makes no curve; the perplexity of the test stands beside the hyper-parameters."""
    return {
        tag: x
        for tag, x in figures.items()
        if x is not None and math.isfinite(x) and tag not in _WITHOUT_CURVE
    }


def _charts(note: str) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """What stands in one chart, in TensorBoard's custom scalars."""
    return {
        "Training and validation": {f"perplexity ({note})" if note else "perplexity": ("perplexity",)},
        "Optimisation": {
            "gradient norm, before and after clipping": ("train/grad_norm", "train/grad_norm_clipped"),
            "learning rate": ("train/lr",),
            "norms of the weights": ("weights/.*",),
            "words per second": ("train/words_per_second",),
        },
    }


def activations_on(model: LanguageModel, text: Corpus, context: str) -> dict[str, Tensor]:
    """Gates and states, numbers by tag, while the same first words of a text are read.

    Nothing is drawn at random, and the model is left as it was.

    Args:
        model: Any.
        text: The validation text.
        context: ``stream`` or ``line``.
    """
    if context == "line":
        starts, lengths = line_extents(text.line_ends[:_MAX_LINES])
    else:
        starts, lengths = np.array([0]), np.array([text.num_tokens])
    steps = slice(0, _MAX_STEPS)
    input_ids, targets, _ = padded_window(text.ids, starts, lengths, text.eos_id, steps)
    input_ids, targets = input_ids.to(model.device), targets.to(model.device)
    activations = gate_activations(model, input_ids, model.initial_state(input_ids.shape[1]))
    return {tag: values[targets >= 0] for tag, values in activations.items()}  # without padding
