"""What each trick for a lower perplexity is worth on a small text: on and off, over several seeds.

    python benchmarks/tricks.py [--data data/ptb] [--trick NAME …] [--seeds 1,2,3] [--precision float32]
                                [--results FILE]

The proxy: the first 100,000 tokens of PTB's training text for 8 epochs (words that occur once are <unk>),
an LSTM 2 x 200, tied, full softmax, bfloat16, dropout, SGD with warm-up and a rate that falls to 0. The
figure is the perplexity of the first 20,000 tokens of the validation text, in ten streams, with whatever
weights are evaluated (averaged ones, where a trick averages).

Some tricks are keys of a config. The others are in no config, and are built here around the trainer, to
find out whether they should be: a state that is dropped now and then, past-decode regularization (Brahma
2018), adversarial noise on the output embedding (Wang, Gong and Liu 2019), output biases from log counts
(Herold et al. 2018).

With --results, figures are kept in a file, a JSON line a run, and runs that stand there are not made again.
"""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import parser, print_header, print_row, write_json

if TYPE_CHECKING:
    from lmtrain.training.trainer import Trainer

VALID_TOKENS = 20_000
MODEL = {
    "cell": "lstm",
    "embedding_dim": 200,
    "hidden_size": 200,
    "tie_weights": True,
    "init_range": 0.1,
    "dropout": {"input": 0.3, "layers": 0.2, "output": 0.3},
}
TRAIN = {
    "batch_size": 20,
    "bptt_len": 20,
    "loss_reduction": "sum_over_time",
    "max_grad_norm": 5.0,
    "optimizer": {"name": "sgd", "lr": 2.0},
    "schedule": {"name": "linear", "warmup_steps": 100},
    "stop_above_uniform": False,
}
DROP_STATE, PAST_DECODE, ADVERSARIAL = 0.01, 0.001, 0.005


@dataclass(frozen=True)
class Trick:
    """A difference to the proxy.

    Attributes:
        model: Keys of the config's section that differ.
        train: The same.
        around: What is done to the trainer before its first step; may return what is done before each step.
    """

    model: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    around: Callable[["Trainer"], Callable[[], None] | None] | None = None


def dropout(**places: Any) -> dict[str, Any]:
    """The model's key, with these places besides."""
    return {"dropout": {**MODEL["dropout"], **places}}  # type: ignore[dict-item]


def drop_states(trainer: "Trainer") -> Callable[[], None]:
    """The state of a stream is zero before a window, with a small probability."""
    import torch

    draws = torch.Generator().manual_seed(1)

    def before_step() -> None:
        if trainer.hidden is not None:
            kept = (torch.rand(len(trainer.hidden[0][0]), 1, generator=draws) >= DROP_STATE).float()
            trainer.hidden = [tuple(part * kept for part in layer) for layer in trainer.hidden]

    return before_step


def decode_past(trainer: "Trainer") -> None:
    """The word that was read is to be told from the distribution of the next."""
    import torch
    from torch.nn.functional import cross_entropy, linear

    model: Any = trainer.model
    bias = torch.zeros(model.vocab_size)

    def loss(input_ids: Any, targets: Any, state: Any) -> Any:
        reading = model(input_ids, state)
        weight = model.softmax.weight.to(model.precision)
        logits = linear(reading.features.flatten(0, 1), weight).float() + model.softmax.bias
        vectors = logits.softmax(1).to(weight.dtype) @ weight
        past = linear(vectors, weight).float() + bias
        nats = cross_entropy(logits, targets.flatten(), reduction="sum")
        return nats + PAST_DECODE * cross_entropy(past, input_ids.flatten(), reduction="sum"), reading

    model.loss = loss


def be_adversarial(trainer: "Trainer") -> None:
    """The target's vector is moved against the features, by a share of its length."""
    import torch
    from torch.nn.functional import cross_entropy, linear

    softmax: Any = trainer.model.softmax

    def loss(features: Any, targets: Any) -> Any:
        features, targets = features.flatten(0, -2), targets.flatten()
        logits = linear(features, softmax.weight.to(features.dtype)).float() + softmax.bias
        lengths = softmax.weight[targets].norm(dim=1) * features.float().norm(dim=1)
        rows = torch.arange(len(targets))
        logits = logits.index_put((rows, targets), -ADVERSARIAL * lengths.detach(), accumulate=True)
        return cross_entropy(logits, targets, reduction="sum")

    softmax.loss = loss


def start_from_counts(trainer: "Trainer") -> None:
    """The bias of each word is the logarithm of its share at the start."""
    import numpy as np
    import torch

    windows, model = trainer.windows, trainer.model
    counts = np.bincount(windows._ids, minlength=model.vocab_size) + 1.0  # type: ignore[attr-defined]
    with torch.no_grad():
        model.softmax.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))  # type: ignore[operator]


TRICKS = {
    "none": Trick(),
    "weight decay 6e-5": Trick(train={"optimizer": {"name": "sgd", "lr": 2.0, "weight_decay": 6e-5}}),
    "partial shuffle": Trick(train={"partial_shuffle": True}),
    "skip connections": Trick({"skip_connections": True}),
    "recurrent weights 0.2": Trick(dropout(recurrent=0.2)),
    "words 0.1": Trick(dropout(words=0.1)),
    "locked dropout": Trick(dropout(locked=True)),
    "AR 2 and TAR 1": Trick(train={"activation_regularization": 2.0, "temporal_regularization": 1.0}),
    "random windows": Trick(train={"random_bptt": True}),
    "EMA 0.995": Trick(train={"averaging": {"name": "ema", "decay": 0.995}}),
    "past decode 0.001": Trick(around=decode_past),
    "adversarial 0.005": Trick(around=be_adversarial),
    "state dropped 0.01": Trick(around=drop_states),
    "bias from counts": Trick(around=start_from_counts),
    "mogrifier": Trick({"cell": "mogrifier"}),
    "mogrifier, capped input gate": Trick({"cell": "mogrifier", "mogrifier": {"cap_input_gate": True}}),
    "mixture of 5": Trick({"softmax": "mixture", "mixture": {"components": 5}}),
}


def texts(data: Path, num_tokens: int) -> tuple[list[int], list[int], int]:
    """The ids of both texts, and the number of words."""

    def words(split: str, length: int) -> list[str]:
        lines = (data / f"{split}.txt").read_text().splitlines()
        return [word for line in lines for word in [*line.split(), "<eos>"]][:length]

    train, valid = words("train", num_tokens), words("valid", VALID_TOKENS)
    counts = Counter(train)
    known = [word for word, count in counts.most_common() if count > 1 and word not in ("<unk>", "<eos>")]
    ids = {word: number for number, word in enumerate(["<unk>", "<eos>", *known])}
    return [ids.get(word, 0) for word in train], [ids.get(word, 0) for word in valid], len(ids)


def measure(
    trick: Trick, data: Path, num_tokens: int, epochs: int, seed: int, precision: str
) -> dict[str, float]:
    """Trains the proxy once."""
    import in_memory
    import numpy as np
    import torch

    from lmtrain.inference.evaluation import evaluate
    from lmtrain.inference.windows import stream_windows

    train, valid, vocab_size = texts(data, num_tokens)
    started = time.perf_counter()
    trainer = in_memory.trainer(
        vocab_size,
        np.array(train, np.int32),
        {**MODEL, **trick.model},
        {"epochs": epochs, **TRAIN, "precision": precision, **trick.train},
        seed,
    )
    before_step = trick.around(trainer) if trick.around else None
    first_of_last_epoch, num_steps = map(trainer.windows.steps_for, (epochs - 1, epochs))
    while trainer.steps < num_steps:
        if before_step:
            before_step()
        if 0 < trainer.steps == first_of_last_epoch:
            trainer.meter.read(lr=0.0)
        trainer.step()
    trained = trainer.meter.read(lr=0.0).perplexity
    seconds = time.perf_counter() - started
    with trainer.averaged(), torch.no_grad():
        windows = stream_windows(np.array(valid, np.int32), in_memory.EOS_ID, 10)
        found = evaluate(trainer.model, windows, in_memory.vocabulary(vocab_size))
    return {"valid": found.perplexity, "train": trained, "seconds": seconds}


def main() -> None:
    """Prints a row a trick, and writes the figures as JSON where asked to."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, default=Path("data/ptb"), help="with train.txt and valid.txt")
    arguments.add_argument("--trick", action="append", choices=list(TRICKS))
    arguments.add_argument("--seeds", default="1,2,3")
    arguments.add_argument("--tokens", type=int, default=100_000, help="of the training text")
    arguments.add_argument("--epochs", type=int, default=8)
    arguments.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"])
    arguments.add_argument("--results", type=Path, help="keeps the figures of each run")
    args = arguments.parse_args()
    from lmtrain.machine.process import prepare_process

    prepare_process()
    seeds = [int(seed) for seed in args.seeds.split(",")]
    known: dict[tuple[str, int], dict[str, float]] = {}
    if args.results and args.results.exists():
        rows = [json.loads(line) for line in args.results.read_text().splitlines()]
        known = {(row["trick"], row["seed"]): row for row in rows}
    figures: dict[str, list[dict[str, float]]] = {}
    print_header("trick", "valid by seed", "against none, mean", "by seed", "train", "seconds")
    for name in args.trick or TRICKS:
        for seed in seeds:
            if (name, seed) not in known:
                known[name, seed] = measure(
                    TRICKS[name], args.data, args.tokens, args.epochs, seed, args.precision
                )
                if args.results:
                    with args.results.open("a") as file:
                        print(json.dumps({"trick": name, "seed": seed, **known[name, seed]}), file=file)
        found = figures[name] = [known[name, seed] for seed in seeds]
        cells = [name, " / ".join(f"{each['valid']:.1f}" for each in found), "", ""]
        if all(("none", seed) in known for seed in seeds):
            gains = [known[name, seed]["valid"] - known["none", seed]["valid"] for seed in seeds]
            cells[2:] = [f"{statistics.mean(gains):+.1f}", " / ".join(f"{gain:+.1f}" for gain in gains)]
        cells += [f"{statistics.mean(each[key] for each in found):.1f}" for key in ("train", "seconds")]
        print_row(cells)
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
