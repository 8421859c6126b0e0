"""A diagnosis as a folder: ``report.md`` for people, its pictures, and ``report.json`` for programs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import fill
from typing import Any

from lmtrain import __version__
from lmtrain.files.json_values import finite
from lmtrain.report.markdown import number, percent, table
from lmtrain.report.measure.diagnose import Diagnosis
from lmtrain.report.section import Section
from lmtrain.report.sections import (
    agreement,
    calibration,
    context_reach,
    costly_words,
    frequency,
    gradient_reach,
    nearest_words,
    saturation,
)
from lmtrain.report.style import drawing, picture_bytes

_CAPTION = 10.5
"""Characters of a picture's title to an inch."""
_SECTIONS = (
    gradient_reach.SECTION,
    context_reach.SECTION,
    frequency.SECTION,
    calibration.SECTION,
    costly_words.SECTION,
    agreement.SECTION,
    nearest_words.SECTION,
    saturation.SECTION,
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
        whole: dict[str, Any] = finite(content)
        return whole

    def files(self) -> Iterator[tuple[str, bytes]]:
        """The files of the folder, name and content."""
        yield "report.json", (json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n").encode()
        yield "report.md", self.markdown().encode()
        for section in _SECTIONS:
            if section.picture and self._has_picture(section):
                with drawing():
                    figure = section.picture(self.found)
                    figure.suptitle(self._caption(section, figure.get_figwidth()))
                    yield f"{section.name}.png", picture_bytes(figure, "png")

    def markdown(self) -> str:
        """The content of ``report.md``."""
        names = " and ".join(diagnosis.name for diagnosis in self.found)
        paragraphs = [f"# {names} on {self.data}", *self._summary()]
        for section in _SECTIONS:
            explained, *rest = section.words(self.found)
            picture = f"![{section.title}]({section.name}.png)"
            paragraphs += [
                f"## {section.title}",
                explained,
                *([picture] if section.picture and self._has_picture(section) else []),
                *rest,
            ]
        return "\n\n".join(paragraphs) + "\n"

    def _summary(self) -> list[str]:
        header = ["model", "what it is", "vocabulary", "perplexity", "without `<unk>`", "`<unk>`"]
        header += ["gradient reaches", "context counts"]
        rows = [
            [
                *(d.name, d.about, f"{d.vocab_size:,}", number(d.perplexity)),
                *(number(d.perplexity_without_unk), percent(d.oov_rate), _steps(d), _words(d)),
            ]
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

    def _caption(self, section: Section, width: float) -> str:
        """What a picture of a width in inches shows, wherever it is put."""
        names = ", ".join(diagnosis.name for diagnosis in self.found)
        return fill(f"{section.title}: {names} on {self.data}", int(_CAPTION * width))

    def _has_picture(self, section: Section) -> bool:
        return section.name != "agreement" or any(diagnosis.agreement for diagnosis in self.found)


def _steps(diagnosis: Diagnosis) -> str:
    reach = diagnosis.gradient_reach
    return f"{reach.reach} steps" if reach.reach else f"more than {reach.max_steps} steps"


def _words(diagnosis: Diagnosis) -> str:
    reach = diagnosis.context_reach
    return f"{reach.reach} words" if reach.reach else f"more than {reach.costs[-2].length} words"
