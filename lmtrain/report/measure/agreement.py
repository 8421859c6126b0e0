"""Whether verbs of toy-english agree with their subjects; see ``lmtrain.corpus.synthetic.agreement``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmtrain.corpus.synthetic.agreement import Item
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.inference.judge import Judge
from lmtrain.inference.tally import wilson_interval
from lmtrain.model.language_model import LanguageModel
from lmtrain.report.measure.held_out import Watch, unwatched


@dataclass(frozen=True)
class AgreementScore:
    """How often the form that agrees was the more probable one."""

    attractors: int
    num_verbs: int
    num_right: int
    nearest_right: int
    """What always agreeing with the nearest noun would get right."""

    @property
    def accuracy(self) -> float:
        """Share of verbs; 0.5 is chance."""
        return self.num_right / self.num_verbs

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 %, Wilson's: in it, the accuracy on ever more verbs is to be expected."""
        return wilson_interval(self.num_right, self.num_verbs)

    def to_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return {
            **vars(self),
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "nearest_noun_accuracy": self.nearest_right / self.num_verbs,
        }


def agreement(
    model: LanguageModel, vocab: Vocabulary, items: Sequence[Item], watch: Watch = unwatched
) -> list[AgreementScore]:
    """Compares p(agreeing form) with p(other form) after the words before, from ``<eos>`` on."""
    judging = Judge(model, vocab, TextRules(), lambda groups: watch(groups, "agreement", len(groups)))
    verdicts = judging.verdicts([item.pair for item in items])
    answered = [(item, verdict.holds) for item, verdict in zip(items, verdicts, strict=True)]
    return [_score(number, answered) for number in sorted({item.attractors for item in items})]


def _score(attractors: int, verdicts: Sequence[tuple[Item, bool]]) -> AgreementScore:
    here = [(item, is_right) for item, is_right in verdicts if item.attractors == attractors]
    return AgreementScore(
        attractors,
        len(here),
        sum(is_right for _, is_right in here),
        sum(item.nearest_agrees for item, _ in here),
    )
