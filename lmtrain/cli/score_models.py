"""The models that score a text, each with a name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lmtrain.cli.rescoring import interpolation_of
from lmtrain.cli.score_options import ScoreOptions
from lmtrain.cli.score_several import names_of
from lmtrain.cli.signatures import Signatures
from lmtrain.cli.text import note

if TYPE_CHECKING:
    from lmtrain.inference.mixture import Interpolation
    from lmtrain.inference.score import Scorer
    from lmtrain.run.ensemble import Ensemble, EnsembleScorer
    from lmtrain.run.trained import TrainedModel


@dataclass(frozen=True)
class NamedScorer:
    """A model, or several as one, what it is called, and what scores for it."""

    name: str
    model: "TrainedModel | Ensemble"
    first: "TrainedModel"
    """The model, or the first of several."""
    scorer: "Scorer | EnsembleScorer"
    interpolation: "Interpolation | None"

    def signature(self, options: ScoreOptions, data: str | None, base: str, *, with_eos: bool) -> str:
        """All that its surprisals depend on, in a line.

        Args:
            options: Of the command.
            data: SHA-256 of the text; None where a text is not known yet, and stands beside its figures.
            base: Of the logarithm.
            with_eos: Whether line ends are scored.
        """
        return self.first.signature(
            data,
            options.context_name,
            options.adaptation,
            options.precision,
            self.interpolation,
            self.model.weights,
            statistics=self.model.statistics(options.adaptation),
            figure=f"surprisal|log:{base}",
            eos="incl" if with_eos else "excl",
        )


def load_scorers(
    models: Sequence[Path], options: ScoreOptions, snapshot: str | None, device: str
) -> list[NamedScorer]:
    """One for each model, or for all of them as an ensemble.

    Raises:
        ModelError: There is no such model, or it is damaged.
        UsageError: The models do not fit together, or an option has no meaning for them.
    """
    from lmtrain.run.ensemble import Ensemble, refuse_other_rules
    from lmtrain.run.trained import load_model

    loaded = [options.rules.applied_to(load_model(model, snapshot, device, note)) for model in models]
    refuse_other_rules(loaded)
    scoring: list[TrainedModel | Ensemble] = [Ensemble.of(loaded)] if options.as_ensemble else [*loaded]
    names = ["ensemble"] if options.as_ensemble else names_of(models)
    found = []
    for name, model, first in zip(names, scoring, loaded, strict=False):  # an ensemble is one
        interpolation = interpolation_of(model, options.ngram, options.weight)
        scorer = model.scorer(
            "stream" if options.context == "stream" else "line",
            with_details=options.with_details,
            num_guesses=options.num_guesses,
            adaptation=options.adaptation,
            interpolation=interpolation,
            precision=options.precision,
        )
        found.append(NamedScorer(name, model, first, scorer, interpolation))
    return found


def signatures_of(
    scorers: Sequence[NamedScorer],
    options: ScoreOptions,
    data: str,
    sha256: str,
    base: str,
    *,
    with_eos: bool,
) -> Signatures:
    """Those of the figures of a text, which is called ``data``."""
    signed = {each.name: each.signature(options, sha256, base, with_eos=with_eos) for each in scorers}
    return Signatures(data, sha256, signed)
