"""A diagnosis as a folder: ``report.md`` for people, its pictures, and ``report.json`` for programs."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from lmtrain import __version__
from lmtrain.report import memory_pictures, memory_sections, word_pictures, word_sections
from lmtrain.report.markdown import number, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.style import drawing, picture_bytes

Found = Sequence[Diagnosis]


@dataclass(frozen=True)
class _Section:
    title: str
    picture: str
    """Name of its file, without the suffix."""
    draw: Callable[[Found], Figure]
    write: Callable[[Found], list[str]]


_SECTIONS = (
    _Section(
        "How far gradients reach",
        "gradient_reach",
        memory_pictures.gradient_picture,
        memory_sections.gradient_section,
    ),
    _Section(
        "How much context counts",
        "context_reach",
        memory_pictures.context_picture,
        memory_sections.context_section,
    ),
    _Section(
        "Which words are hard", "frequency", word_pictures.frequency_picture, word_sections.frequency_section
    ),
    _Section(
        "Is it as sure as it may be",
        "calibration",
        word_pictures.calibration_picture,
        word_sections.calibration_section,
    ),
    _Section(
        "The words that cost most", "costly_words", word_pictures.costly_picture, word_sections.costly_section
    ),
    _Section("Do verbs agree", "agreement", word_pictures.agreement_picture, word_sections.agreement_section),
    _Section(
        "Words it takes to be alike",
        "nearest_words",
        word_pictures.neighbours_picture,
        word_sections.neighbours_section,
    ),
    _Section(
        "What the gates do",
        "saturation",
        memory_pictures.saturation_picture,
        memory_sections.saturation_section,
    ),
)


@dataclass(frozen=True)
class Report:
    """What was found out about one or several models on one text.

    Attributes:
        data: The text.
        data_sha256: Of it.
        num_positions: Tokens whose context was cut short.
        seed: Of all samples.
        found: The models, in the order in which they were named.
    """

    data: str
    data_sha256: str
    num_positions: int
    seed: int
    found: tuple[Diagnosis, ...]

    def to_dict(self) -> dict[str, Any]:
        """The content of ``report.json``; None stands for what is not finite."""
        content = {
            "lmtrain": __version__,
            "data": self.data,
            "data_sha256": self.data_sha256,
            "num_positions": self.num_positions,
            "seed": self.seed,
            "models": [diagnosis.to_dict() for diagnosis in self.found],
        }
        finite: dict[str, Any] = _finite(content)
        return finite

    def files(self) -> Iterator[tuple[str, bytes]]:
        """The files of the folder, name and content."""
        yield "report.json", (json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n").encode()
        yield "report.md", self.markdown().encode()
        for section in _SECTIONS:
            if self._has_picture(section):
                with drawing():
                    yield f"{section.picture}.png", picture_bytes(section.draw(self.found), "png")

    def markdown(self) -> str:
        """The content of ``report.md``."""
        names = " and ".join(diagnosis.name for diagnosis in self.found)
        paragraphs = [f"# {names} on {self.data}", *self._summary()]
        for section in _SECTIONS:
            explained, *rest = section.write(self.found)
            picture = f"![{section.title}]({section.picture}.png)"
            paragraphs += [
                f"## {section.title}",
                explained,
                *([picture] if self._has_picture(section) else []),
                *rest,
            ]
        return "\n\n".join(paragraphs) + "\n"

    def _summary(self) -> list[str]:
        header = ["model", "what it is", "vocabulary", "perplexity", "gradient reaches", "context counts"]
        rows = [
            [d.name, d.about, f"{d.vocab_size:,}", number(d.perplexity), _steps(d), _words(d)]
            for d in self.found
        ]
        differs = []
        if len({diagnosis.vocab_sha256 for diagnosis in self.found}) > 1:
            differs = ["The models have different vocabularies, so that their perplexities do not compare."]
        origin = [
            f"{self.found[0].num_tokens:,} tokens of {self.data}, line ends included",
            f"SHA-256 {self.data_sha256[:8]}",
            *(f"{d.name}: {d.snapshot}, read in {d.context} context" for d in self.found),
            f"lmtrain {__version__}, seed {self.seed}",
        ]
        return [*table(header, rows, num_left=2), *differs, "; ".join(origin) + "."]

    def _has_picture(self, section: _Section) -> bool:
        return section.picture != "agreement" or any(diagnosis.agreement for diagnosis in self.found)


def _steps(diagnosis: Diagnosis) -> str:
    reach = diagnosis.gradient_reach
    return f"{reach.reach} steps" if reach.reach else f"more than {reach.max_steps} steps"


def _words(diagnosis: Diagnosis) -> str:
    reach = diagnosis.context_reach
    return f"{reach.reach} words" if reach.reach else f"more than {reach.costs[-2].length} words"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
