"""A whole config, and what must hold between its values."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from lmtrain.config.options import (
    AsgdOptions,
    DataOptions,
    DistributedOptions,
    EvaluationOptions,
    LoggingOptions,
    ModelOptions,
    Natural,
    Options,
    PlateauSchedule,
    SgdOptions,
    SnapshotOptions,
    TrainOptions,
)
from lmtrain.config.yaml_text import dump_yaml


@dataclass(frozen=True)
class Contradiction:
    """Values that hold alone but not together.

    Attributes:
        keys: Dotted keys of the values, the likeliest culprit first.
        message: What is wrong and what to do.
    """

    keys: tuple[str, ...]
    message: str


class Config(Options):
    """A whole run."""

    free = frozenset({"name", "distributed", "snapshots", "logging"})

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=100)] = Field(
        description="a folder's name: letters, digits, '.', '_', '-', not starting with '.' or '-'",
        examples=["my-model"],
    )
    seed: Natural = Field(default=1, description="of every random draw")
    data: DataOptions
    model: ModelOptions = ModelOptions()
    train: TrainOptions = TrainOptions()
    distributed: DistributedOptions = DistributedOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    snapshots: SnapshotOptions = SnapshotOptions()
    logging: LoggingOptions = LoggingOptions()

    def to_dict(self) -> dict[str, Any]:
        """Every value in the order of the schema, in the types of JSON."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Every value in the order of the schema; ``load_config`` reads an equal config back."""
        return dump_yaml(self.to_dict())

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        found = (
            *_vocab_contradictions(self.data, self.model),
            *_model_contradictions(self.model, self.data.extend_vocab),
            *_train_contradictions(self),
        )
        if found:
            text = "; ".join(contradiction.message for contradiction in found)
            context = {"text": text, "contradictions": found}
            raise PydanticCustomError("contradiction", "{text}", context)
        return self


def _vocab_contradictions(data: DataOptions, model: ModelOptions) -> Iterator[Contradiction]:
    if data.vocab is None:
        return
    for key in ("max_vocab", "min_count", "extend_vocab"):
        if getattr(data, key) != type(data).model_fields[key].default:
            yield Contradiction(
                (f"data.{key}", "data.vocab"), "the words of a list are fixed; leave one of the two out"
            )
    if model.softmax == "adaptive":
        yield Contradiction(
            ("model.softmax", "data.vocab"),
            "an adaptive softmax has its words in clusters by frequency, of which a list knows nothing",
        )
    if model.softmax == "sampled" and model.sampled.distribution == "log_uniform":
        yield Contradiction(
            ("model.sampled.distribution", "data.vocab"),
            "words are drawn by their rank, of which a list knows nothing; set sampled.distribution: unigram",
        )


def _model_contradictions(model: ModelOptions, extends_vocab: bool) -> Iterator[Contradiction]:
    if model.activation == "relu" and model.cell not in ("elman", "concat_elman"):
        yield Contradiction(
            ("model.activation", "model.cell"), f"relu is for Elman cells (cell is {model.cell})"
        )
    last = "hidden_size" if model.last_hidden_size is None else "last_hidden_size"
    if model.tie_weights and model.softmax != "mixture" and model.embedding_dim != model.feature_size:
        yield Contradiction(
            ("model.tie_weights", "model.embedding_dim", f"model.{last}"),
            f"tied weights need embedding_dim and {last} to be equal "
            f"(got {model.embedding_dim} and {model.feature_size})",
        )
    if model.num_layers == 1 and model.feature_size != model.hidden_size:
        yield Contradiction(
            ("model.last_hidden_size", "model.num_layers"),
            "with num_layers 1 the last layer is the only one; leave it out and set hidden_size",
        )
    if model.softmax == "adaptive" and extends_vocab:
        yield Contradiction(
            ("data.extend_vocab", "model.softmax"),
            "an adaptive softmax has its words in clusters by frequency, to which none can be added",
        )
    if model.skip_connections and model.num_layers == 1:
        yield Contradiction(
            ("model.skip_connections", "model.num_layers"),
            "they lead around layers after the first, and num_layers is 1",
        )
    if model.skip_connections and model.feature_size != model.hidden_size:
        yield Contradiction(
            ("model.skip_connections", "model.last_hidden_size"),
            f"skip connections need layers of one size (got {model.hidden_size} and {model.feature_size})",
        )
    if model.tie_weights and model.softmax == "adaptive":
        yield Contradiction(
            ("model.softmax", "model.tie_weights"),
            "an adaptive softmax has no row for each word that could be tied to the embedding",
        )
    if model.dropout.recurrent > 0 and model.cell == "sru":
        yield Contradiction(
            ("model.dropout.recurrent", "model.cell"), "sru has no recurrent weights that could be dropped"
        )
    if model.dropout.latent > 0 and model.softmax != "mixture":
        yield Contradiction(
            ("model.dropout.latent", "model.softmax"),
            f"only a mixture has latent vectors (softmax is {model.softmax}); leave it out or set it to 0",
        )
    if model.dropout.layers > 0 and model.num_layers == 1:
        yield Contradiction(
            ("model.dropout.layers", "model.num_layers"),
            "with num_layers 1 there is no place between layers; leave it out or set it to 0",
        )
    if model.forget_gate_bias is not None and model.cell not in ("lstm", "mogrifier"):
        yield Contradiction(
            ("model.forget_gate_bias", "model.cell"),
            f"it is of lstm and mogrifier (cell is {model.cell})",
        )
    if model.freeze_embedding and model.pretrained_embedding is None:
        yield Contradiction(
            ("model.freeze_embedding", "model.pretrained_embedding"),
            "only a pretrained embedding can be frozen; name its file in pretrained_embedding",
        )


def _train_contradictions(config: Config) -> Iterator[Contradiction]:
    train = config.train
    if train.epochs is None and train.max_steps is None:
        yield Contradiction(
            ("train.epochs", "train.max_steps"), "nothing says how long: give epochs or max_steps"
        )
    if train.epochs is not None and train.max_steps is not None:
        yield Contradiction(
            ("train.max_steps", "train.epochs"),
            "both epochs and max_steps are given; set one to null (--set train.epochs=null)",
        )
    if config.data.context == "line":
        # Lines are read whole, and padded where others are longer.
        for key in ("random_bptt", "partial_shuffle", "activation_regularization", "temporal_regularization"):
            if getattr(train, key):
                yield Contradiction(
                    (f"train.{key}", "data.context"), f"{key} needs one running text: data.context stream"
                )
    sgd = train.optimizer
    if isinstance(sgd, SgdOptions) and sgd.nesterov and sgd.momentum == 0:
        yield Contradiction(
            ("train.optimizer.nesterov", "train.optimizer.momentum"),
            "nesterov needs a momentum greater than 0",
        )
    if not config.data.valid:
        if isinstance(train.schedule, PlateauSchedule):
            yield Contradiction(
                ("train.schedule.name", "data.valid"), "plateau needs validation texts: data.valid"
            )
        if isinstance(train.averaging, AsgdOptions):
            yield Contradiction(
                ("train.averaging.name", "data.valid"), "asgd needs validation texts: data.valid"
            )
        if train.early_stopping is not None:
            yield Contradiction(
                ("train.early_stopping", "data.valid"),
                "early stopping needs validation texts: data.valid",
            )
