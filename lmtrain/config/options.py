"""The keys of a config, section by section: type, default, unit.

The classes are frozen, refuse unknown keys and convert nothing: the text ``"20"`` and the number
``20.0`` are no whole numbers, and NaN or infinity are no numbers at all.
"""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)


def _as_file(path: Path) -> Path:
    if not path.name:
        raise ValueError("names no file")
    return path


def _as_list(value: object) -> object:
    """One path stands for a list of one, null for an empty list."""
    if value is None:
        return []
    return value if isinstance(value, list | tuple) else [value]


Count = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(gt=0, le=1_000_000)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Interval = Literal["epoch"] | Count

# Not strict, since YAML has no type for paths.
File = Annotated[Path, Field(strict=False), AfterValidator(_as_file)]
Files = Annotated[
    tuple[File, ...],
    Field(strict=False, min_length=1),
    BeforeValidator(_as_list, json_schema_input_type=File | Annotated[list[File], Field(min_length=1)]),
]
OptionalFiles = Annotated[
    tuple[File, ...],
    Field(strict=False),
    BeforeValidator(_as_list, json_schema_input_type=File | list[File] | None),
]


class Options(BaseModel):
    """A section: frozen, of known keys only, and nothing in it is converted."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
    free: ClassVar[frozenset[str]] = frozenset()
    """Keys that may change when a run is resumed: no weight so far depends on them."""

    @model_validator(mode="before")
    @classmethod
    def _empty_section_is_all_defaults(cls, value: object) -> object:
        return {} if value is None else value


class DataOptions(Options):
    """The texts, as paths or patterns from the current directory, and how their words are counted."""

    # Texts may be found elsewhere: a run compares their content, by the hashes its snapshots hold.
    free = frozenset({"train", "valid", "test", "synthetic", "vocab"})

    train: Files = Field(description="texts to train on", examples=["data/train.txt"])
    valid: OptionalFiles = Field(default=(), description="texts to validate on")
    test: OptionalFiles = Field(default=(), description="texts scored once, at the end")
    synthetic: Literal["counting", "toy-english"] | None = Field(
        default=None, description="generator that makes the files above when they are not there"
    )
    context: Literal["stream", "line"] = Field(
        default="stream", description="one running text, or each line on its own"
    )
    vocab: File | None = Field(
        default=None, description="fixed words: one a line, or 'word id' as of Kaldi; null: those of train"
    )
    max_vocab: Count | None = Field(default=None, description="most frequent words kept")
    min_count: Count = Field(default=1, description="occurrences a word needs to be kept")
    extend_vocab: bool = Field(
        default=False, description="with --from: whether new words of the training text join the model's"
    )
    lowercase: bool = Field(default=False, description="whether words are put in lower case")
    tokenizer: Literal["whitespace", "moses", "penn"] = Field(
        default="whitespace",
        description="takes words as they stand, or splits off punctuation: moses, or penn, with do n't",
    )
    moses_language: Annotated[str, Field(pattern="^[a-z]{2,3}$")] = Field(
        default="en", description="whose rules the moses tokenizer follows"
    )


class DropoutOptions(Options):
    """Probability of being dropped, by place; one number is for input, layers and output."""

    input: Probability = Field(default=0.0, description="of the first layer's inputs, the embedded words")
    layers: Probability = Field(default=0.0, description="between recurrent layers")
    output: Probability = Field(default=0.0, description="before the softmax")
    words: Probability = Field(default=0.0, description="of word types, from the embedding")
    recurrent: Probability = Field(default=0.0, description="of recurrent weights (DropConnect)")
    latent: Probability = Field(default=0.0, description="of the latent vectors of a mixture of softmaxes")
    locked: bool = Field(default=False, description="input, layers, output and latent: all time steps alike")


class AdaptiveOptions(Options):
    """Of the adaptive softmax (Grave et al. 2017)."""

    cutoffs: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)] | None = Field(
        default=None, description="ids where clusters begin; null: a 20th and a quarter of the vocabulary"
    )
    div: Annotated[float, Field(ge=1)] = Field(default=4.0, description="each cluster is this much narrower")

    @field_validator("cutoffs")
    @classmethod
    def _ascending(cls, cutoffs: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if cutoffs and any(a >= b for a, b in pairwise(cutoffs)):
            raise ValueError("not ascending")
        return cutoffs


class SampledOptions(Options):
    """Of the sampled softmax."""

    num_samples: Count = Field(default=1000, description="words drawn each step")
    distribution: Literal["log_uniform", "unigram"] = Field(
        default="log_uniform", description="they are drawn from: by rank, or by count in the text"
    )


class MixtureOptions(Options):
    """Of the mixture of softmaxes (Yang et al. 2018)."""

    components: Annotated[int, Field(gt=0, le=1000)] = Field(
        default=15, description="softmaxes that are mixed"
    )


class MogrifierOptions(Options):
    """Of the Mogrifier LSTM (Melis et al. 2020)."""

    rounds: Annotated[int, Field(ge=0, le=100)] = Field(
        default=5, description="in which input and state gate each other; 0: an LSTM"
    )
    rank: Size | None = Field(default=None, description="of their matrices; null: full")
    cap_input_gate: bool = Field(default=False, description="whether it is at most 1 less the forget gate")


Cell = Literal[
    "elman",
    "concat_elman",
    "lstm",
    "gru",
    "mogrifier",
    "sru",
]
"""One line a cell, whose class is in ``lmtrain/model/cells/``."""


class ModelOptions(Options):
    """The network."""

    cell: Cell = Field(default="lstm", description="recurrent cell")
    activation: Literal["tanh", "relu"] = Field(default="tanh", description="of Elman cells")
    mogrifier: MogrifierOptions = MogrifierOptions()
    embedding_dim: Size = Field(default=200, description="units of a word's embedding")
    hidden_size: Size = Field(default=200, description="units of a recurrent layer")
    num_layers: Annotated[int, Field(gt=0, le=1000)] = Field(default=2, description="recurrent layers")
    last_hidden_size: Size | None = Field(
        default=None, description="units of the last recurrent layer; null: hidden_size"
    )
    skip_connections: bool = Field(
        default=False, description="layers after the first add what they read to what they pass on"
    )
    tie_weights: bool = Field(default=False, description="embedding and softmax share weights")
    dropout: DropoutOptions = Field(
        default=DropoutOptions(), description="one probability for all places, or one by place"
    )
    embedding_activation: Literal["none", "tanh"] = Field(
        default="none", description="applied to the embedding"
    )
    softmax: Literal["full", "adaptive", "sampled", "mixture"] = Field(
        default="full", description="over all words, in clusters by frequency, trained on samples, or mixed"
    )
    adaptive: AdaptiveOptions = AdaptiveOptions()
    sampled: SampledOptions = SampledOptions()
    mixture: MixtureOptions = MixtureOptions()
    init: Literal["uniform", "lecun_normal"] = Field(
        default="uniform", description="distribution weights start from"
    )
    init_range: Positive = Field(default=0.1, description="bound of the uniform distribution")
    recurrent_init: Literal["same", "orthogonal", "identity"] = Field(
        default="same", description="of recurrent weights: same as init, or a special matrix"
    )
    forget_gate_bias: float | None = Field(
        default=None, description="where it starts; lstm and mogrifier only"
    )
    pretrained_embedding: File | None = Field(default=None, description="word2vec text file")
    freeze_embedding: bool = Field(
        default=False, description="leave the embedding untrained, and a softmax tied to it"
    )

    @property
    def feature_size(self) -> int:
        """Units that the softmax predicts from."""
        return self.last_hidden_size or self.hidden_size

    @field_validator("dropout", mode="before", json_schema_input_type=Probability | DropoutOptions)
    @classmethod
    def _one_number_for_all_places(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, int | float):
            # A single layer has no place between layers, and the number was not meant for it.
            between = 0.0 if info.data.get("num_layers") == 1 else value
            return {"input": value, "layers": between, "output": value}
        return value


class SgdOptions(Options):
    """Stochastic gradient descent."""

    name: Literal["sgd"] = "sgd"
    lr: Positive = Field(default=1.0, description="learning rate")
    momentum: Probability = Field(default=0.0, description="share of the last update kept")
    nesterov: bool = Field(default=False, description="Nesterov's momentum")
    weight_decay: NonNegative = Field(default=0.0, description="L2 penalty")


class _AdamLikeOptions(Options):
    name: str
    lr: Positive = Field(default=0.001, description="learning rate")
    betas: Annotated[tuple[Probability, Probability], Field(strict=False)] = Field(
        default=(0.9, 0.999), description="decay of the two running averages"
    )
    eps: Positive = Field(default=1e-8, description="added to the denominator")
    weight_decay: NonNegative = Field(default=0.0, description="L2 penalty")


class AdamOptions(_AdamLikeOptions):
    """Adam (Kingma & Ba 2015)."""

    name: Literal["adam"] = "adam"


class AdamWOptions(_AdamLikeOptions):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    name: Literal["adamw"] = "adamw"
    weight_decay: NonNegative = Field(default=0.01, description="decoupled decay, times lr")


class ScheduleOptions(Options):
    """Of the learning rate."""

    depends_on_length: ClassVar[bool] = True
    """Whether the rate at a step depends on how many there will be, so that a run that is resumed keeps its
    length. A schedule that says nothing is on the safe side."""


class ConstantSchedule(ScheduleOptions):
    """The same learning rate all along."""

    depends_on_length = False
    name: Literal["constant"] = "constant"


class StepDecaySchedule(ScheduleOptions):
    """Constant for some epochs, then multiplied at the start of every further one."""

    depends_on_length = False
    name: Literal["step_decay"] = "step_decay"
    constant_epochs: Natural = Field(description="epochs at the full rate", examples=[4])
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.5, description="per epoch")


class PlateauSchedule(ScheduleOptions):
    """Multiplied when validation stops improving."""

    depends_on_length = False
    name: Literal["plateau"] = "plateau"
    factor: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.25, description="per plateau")
    patience: Natural = Field(default=0, description="evaluations without improvement allowed")


class _WarmupSchedule(ScheduleOptions):
    name: str
    warmup_steps: Natural = Field(default=0, description="steps of linear rise from zero")
    final_fraction: Fraction = Field(default=0.0, description="of lr, at the last step")


class LinearSchedule(_WarmupSchedule):
    """Warm-up, then a straight line down to the last step."""

    name: Literal["linear"] = "linear"


class CosineSchedule(_WarmupSchedule):
    """Warm-up, then half a cosine down to the last step."""

    name: Literal["cosine"] = "cosine"


class OneCycleSchedule(ScheduleOptions):
    """Up from a low rate to lr, then far down by the last step (Smith & Topin 2018)."""

    name: Literal["one_cycle"] = "one_cycle"
    warmup_fraction: Fraction = Field(default=0.3, description="share of the steps spent rising")
    start_fraction: Fraction = Field(default=0.04, description="of lr, at the first step")
    final_fraction: Fraction = Field(default=1e-4, description="of lr, at the last step")


class NoAveraging(Options):
    """The weights that are trained are those that are evaluated."""

    name: Literal["none"] = "none"


class AsgdOptions(Options):
    """Mean of the weights since validation stopped improving (NT-ASGD, Merity et al. 2018)."""

    name: Literal["asgd"] = "asgd"
    nonmono: Count = Field(default=5, description="latest evaluations that are not compared with")


class EmaOptions(Options):
    """Exponential moving average of the weights after each step."""

    name: Literal["ema"] = "ema"
    decay: Probability = Field(default=0.999, description="of a step's share, with each further one")


class EarlyStoppingOptions(Options):
    """When to stop before the end."""

    patience: Count = Field(description="evaluations without improvement", examples=[3])


Optimizer = Annotated[SgdOptions | AdamOptions | AdamWOptions, Field(discriminator="name")]
Averaging = Annotated[NoAveraging | AsgdOptions | EmaOptions, Field(discriminator="name")]
Schedule = Annotated[
    ConstantSchedule
    | StepDecaySchedule
    | PlateauSchedule
    | LinearSchedule
    | CosineSchedule
    | OneCycleSchedule,
    Field(discriminator="name"),
]


class TrainOptions(Options):
    """How the network is trained, and for how long: ``epochs`` or ``max_steps``, never both."""

    length: ClassVar[frozenset[str]] = frozenset({"epochs", "max_steps"})
    """Keys that may change where the schedule does not depend on them."""
    free = frozenset({"early_stopping", "threads", "stop_above_uniform", "accumulate"})

    epochs: Count | Positive | None = Field(default=None, description="passes over the text")
    max_steps: Count | None = Field(default=None, description="parameter updates")
    batch_size: Count = Field(default=20, description="parallel streams (or lines)")
    bptt_len: Count = Field(default=35, description="words of a window; stream context only")
    random_bptt: bool = Field(default=False, description="windows of random length near it, lr scaled")
    partial_shuffle: bool = Field(
        default=False, description="streams begin elsewhere in each epoch; stream context only"
    )
    accumulate: Count = Field(default=1, description="parts a window's streams are read in, to save memory")
    loss_reduction: Literal["mean", "sum_over_time"] = Field(
        default="mean", description="over all tokens, or summed over time and averaged over streams"
    )
    activation_regularization: NonNegative = Field(
        default=0.0, description="times the mean square of the last layer's outputs, after dropout"
    )
    temporal_regularization: NonNegative = Field(
        default=0.0, description="times the mean square of their change by a word, before dropout"
    )
    max_grad_norm: Positive | None = Field(default=5.0, description="gradients are clipped to it")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of the products; weights and sums are float32"
    )
    threads: Annotated[int, Field(gt=0, le=1024)] | None = Field(
        default=None, description="of the processor; null: by the size of the model, or as the run had"
    )
    optimizer: Optimizer = Field(default=SgdOptions(), description="makes the updates")
    schedule: Schedule = Field(default=ConstantSchedule(), description="of the learning rate")
    averaging: Averaging = Field(default=NoAveraging(), description="of weights that are evaluated")
    early_stopping: EarlyStoppingOptions | None = Field(default=None, description="null: never")
    stop_above_uniform: bool = Field(
        default=True, description="end a run whose training loss stays above ln V, that of blind guessing"
    )


class DistributedOptions(Options):
    """How processes that train together speak to each other."""

    compress: bool = Field(default=False, description="gradients travel as bfloat16: half the bytes")
    timeout: Positive = Field(default=600.0, description="seconds until a silent process is given up")


class EvaluationOptions(Options):
    """When and how the validation texts are scored."""

    free = frozenset({"every"})  # not streams: validations are compared, for the best, patience and plateau

    every: Interval = Field(default="epoch", description="epoch, or a number of steps")
    streams: Count = Field(default=1, description="parallel streams; 1 is exact")


class SnapshotOptions(Options):
    """When snapshots are written, and how many stay."""

    every: Interval = Field(default="epoch", description="epoch, or a number of steps")
    keep: Count = Field(default=3, description="newest kept; best and last always are")


class LoggingOptions(Options):
    """What is logged, and when."""

    every: Count = Field(default=50, description="steps")
    samples: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=3, description="generated texts at each evaluation"
    )
