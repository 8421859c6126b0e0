"""A diagnosis as a folder: ``report.md`` for people, its pictures, and ``report.json`` for programs."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from lmtrain import __version__
from lmtrain.report import pictures, sections
from lmtrain.report.diagnose import Diagnosis
from lmtrain.report.markdown import number, table
from lmtrain.report.style import drawing, picture_bytes

Found = Sequence[Diagnosis]

_SECTIONS: tuple[tuple[str, str, Callable[[Found], Figure], Callable[[Found], list[str]]], ...] = (
    ("How far gradients reach", "gradient_reach", pictures.gradient_picture, sections.gradient_section),
    ("How much context counts", "context_reach", pictures.context_picture, sections.context_section),
    ("Which words are hard", "frequency", pictures.frequency_picture, sections.frequency_section),
    (
        "Whether it knows what it knows",
        "calibration",
        pictures.calibration_picture,
        sections.calibration_section,
    ),
    ("The words that cost most", "costly_words", pictures.words_picture, sections.words_section),
    (
        "Whether verbs agree with their subjects",
        "agreement",
        pictures.agreement_picture,
        sections.agreement_section,
    ),
    ("Words it takes to be alike", "nearest_words", pictures.neighbours_picture, sections.neighbours_section),
    ("What the gates do", "saturation", pictures.saturation_picture, sections.saturation_section),
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
        for _, name, draw, _ in _SECTIONS:
            if self._has_picture(name):
                with drawing():
                    yield f"{name}.png", picture_bytes(draw(self.found), "png")

    def markdown(self) -> str:
        """The content of ``report.md``."""
        names = " and ".join(diagnosis.name for diagnosis in self.found)
        paragraphs = [f"# {names} on {self.data}", *self._summary()]
        for title, name, _, write in _SECTIONS:
            explained, *rest = write(self.found)
            picture = [f"![{title}]({name}.png)"] if self._has_picture(name) else []
            paragraphs += [f"## {title}", explained, *picture, *rest]
        return "\n\n".join(paragraphs) + "\n"

    def _summary(self) -> list[str]:
        rows = [
            [d.name, d.about, f"{d.vocab_size:,}", number(d.perplexity), _steps(d), _words(d)]
            for d in self.found
        ]
        header = ["model", "what it is", "vocabulary", "perplexity", "gradient reaches", "context counts"]
        first = self.found[0]
        differs = (
            ["The models have different vocabularies, so that their perplexities do not compare."]
            if len({diagnosis.vocab_sha256 for diagnosis in self.found}) > 1
            else []
        )
        read = "one running text" if first.context == "stream" else "lines on their own"
        return [
            *table(header, rows),
            *differs,
            f"{first.num_tokens:,} tokens of {self.data} (SHA-256 {self.data_sha256[:8]}), line ends included, read as "
            f"{read}; snapshots {', '.join(d.snapshot for d in self.found)}; lmtrain {__version__}, seed {self.seed}.",
        ]

    def _has_picture(self, name: str) -> bool:
        return name != "agreement" or any(diagnosis.agreement for diagnosis in self.found)


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
