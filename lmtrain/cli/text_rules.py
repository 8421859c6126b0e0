"""How people's own text becomes words of a model: the options of the commands that read some."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lmtrain.errors import UsageError

if TYPE_CHECKING:
    from lmtrain.corpus.text import TextRules
    from lmtrain.run.trained import TrainedModel

TokenizerOption = Annotated[
    Literal["ws", "moses", "penn"] | None,
    typer.Option(
        metavar="ws|moses|penn",
        help="How text becomes words: at spaces, by Moses's rules, or as in the Penn Treebank (do n't).  "
        "[default: as trained]",
        show_default=False,
    ),
]
LowercaseOption = Annotated[
    bool, typer.Option("--lowercase", help="Words in lower case, whatever the model was trained with.")
]
NumbersOption = Annotated[
    str | None,
    typer.Option(
        metavar="WORD",
        help="What stands for every number: N in the Penn Treebank.  [default: left as they are]",
        show_default=False,
    ),
]
PunctuationOption = Annotated[
    bool,
    typer.Option(
        "--no-punctuation",
        help="Leave out punctuation that stands apart: the Penn Treebank of Mikolov has none.",
    ),
]


@dataclass(frozen=True)
class RulesOptions:
    """What a command line says of them; what it does not say is as the model was trained."""

    tokenizer: Literal["ws", "moses", "penn"] | None = None
    lowercase: bool = False
    numbers: str | None = None
    no_punctuation: bool = False

    @property
    def are_given(self) -> bool:
        """Whether it says anything."""
        return self != RulesOptions()

    def of(self, rules: "TextRules", moses_language: str = "en") -> "TextRules":
        """The rules of a model, changed.

        Raises:
            UsageError: What is to stand for numbers is not one word.
        """
        if self.tokenizer is not None:
            moses = rules.moses or moses_language if self.tokenizer == "moses" else None
            rules = replace(rules, moses=moses, penn=self.tokenizer == "penn")
        if self.numbers is not None:
            if self.numbers.split() != [self.numbers]:
                raise UsageError(f"--numbers: {self.numbers!r} is not one word")
            rules = replace(rules, numbers=self.numbers)
        return replace(
            rules,
            lowercase=rules.lowercase or self.lowercase,
            no_punctuation=rules.no_punctuation or self.no_punctuation,
        )

    def applied_to(self, model: "TrainedModel") -> "TrainedModel":
        """The same model, which reads text so."""
        return replace(model, rules=self.of(model.rules, model.config.data.moses_language))


def typed_options(rules: "TextRules", other: "TextRules") -> str:
    """What is to be typed so that other rules take the place of those of a model."""
    typed = []
    if (rules.moses, rules.penn) != (other.moses, other.penn):
        typed.append(f"--tokenizer {'penn' if other.penn else 'moses' if other.moses else 'ws'}")
    if other.lowercase and not rules.lowercase:
        typed.append("--lowercase")
    if other.numbers is not None and other.numbers != rules.numbers:
        typed.append(f"--numbers {other.numbers}")
    if other.no_punctuation and not rules.no_punctuation:
        typed.append("--no-punctuation")
    return " ".join(typed)
