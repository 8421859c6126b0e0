"""Training speed against the loop of the tutorials, and against what the processor can do at best.

    python benchmarks/throughput.py [--rounds 15] [--shape NAME …] [--mode NAME …] [--json FILE]

The reference (tutorial.py) is written as tutorials write it, in float32: nn.LSTM, nn.Linear,
cross_entropy, clip_grad_norm_, and an update of each parameter. Our side is `Trainer.step`, built from a
config as `lmtrain train` builds it, in each of the variants. All of them train on the same random tokens
and make a step in turn, so that a machine whose speed drifts is fair to all; figures are medians over the
rounds, the ratio is the median of the ratios within a round. There are two modes:

one process    All sides run in one process that is set up as the program sets itself up (threads that
               wait fall asleep soon, freed memory is kept). The reference gains from that too, which
               makes this the harder comparison.
own processes  The reference runs in a process as a tutorial's script would, with the environment this
               benchmark was started in. Ours runs in another, set up as the program is. They are told in
               turn to make a step; while one works, the other sleeps.

The ceiling is the speed of a product of 2,048-square matrices, measured in the same rounds: in float32 the
better of torch.mm and of lmtrain's own `linear` (on some processors it takes oneDNN, which is faster
there), in bfloat16 torch.mm. The share of it is the time that the floating-point operations of a step (6 a
weight and word; a sampled softmax has as many outputs as samples, and the target) would take at that
speed, over the time the step took.
"""

import functools
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from common import (
    Child,
    median_ratio,
    parser,
    print_header,
    print_row,
    seconds,
    serve,
    take_turns,
    write_json,
)

BATCH_SIZE, BPTT_LEN, MAX_GRAD_NORM, LR = 20, 35, 0.25, 1.0
NUM_TOKENS = 200_000
NUM_SAMPLES = 1000
"""Of the sampled softmax, as by default."""
REFERENCE = "reference"
MODES = ("one process", "own processes")


@dataclass(frozen=True)
class Shape:
    """A model to time."""

    cell: str
    num_layers: int
    hidden_size: int
    vocab_size: int
    tied: bool = False

    def operations(self, variant: "Variant") -> int:
        """Floating-point operations of a step: 6 a weight of the products and word."""
        gates = {"elman": 1, "lstm": 4}[self.cell]
        num_outputs = self.vocab_size if variant.softmax == "full" else NUM_SAMPLES + 1
        weights = self.num_layers * gates * 2 * self.hidden_size**2 + self.hidden_size * num_outputs
        return 6 * weights * BATCH_SIZE * BPTT_LEN

    def options(self, variant: "Variant") -> dict[str, Any]:
        """The model's section of a config."""
        return {
            "cell": self.cell,
            "embedding_dim": self.hidden_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "tie_weights": self.tied,
            "softmax": variant.softmax,
            "sampled": {"num_samples": NUM_SAMPLES},
        }


@dataclass(frozen=True)
class Variant:
    """A way to train it."""

    precision: str
    softmax: str = "full"


SHAPES = {
    "elman 200": Shape("elman", 1, 200, 10_000),
    "lstm 2 x 200": Shape("lstm", 2, 200, 10_000),
    "lstm 2 x 650": Shape("lstm", 2, 650, 10_000),
    "lstm 2 x 400 tied, V = 33,278": Shape("lstm", 2, 400, 33_278, tied=True),
}
VARIANTS = {
    "float32": Variant("float32"),
    "bfloat16": Variant("bfloat16"),
    "sampled + bfloat16": Variant("bfloat16", "sampled"),
}
PRODUCTS = {"torch.mm float32": "float32", "lmtrain float32": "float32", "torch.mm bfloat16": "bfloat16"}


def reference_step(shape: Shape) -> Callable[[], None]:
    """A step of the tutorials' loop."""
    import torch
    import tutorial

    model = tutorial.Model(
        shape.vocab_size, shape.hidden_size, shape.num_layers, cell=shape.cell, tied=shape.tied
    )
    ids = torch.randint(shape.vocab_size, (NUM_TOKENS,), generator=torch.Generator().manual_seed(1))
    data = tutorial.batchify(ids, BATCH_SIZE)
    i, hidden = 0, None

    def step() -> None:
        nonlocal i, hidden
        x, y = data[i : i + BPTT_LEN], data[i + 1 : i + 1 + BPTT_LEN]
        hidden = tutorial.train_step(model, x, y, hidden, LR)
        i = (i + BPTT_LEN) % (len(data) - BPTT_LEN)

    return step


def our_step(shape: Shape, variant: Variant) -> Callable[[], None]:
    """``Trainer.step`` itself."""
    import in_memory

    train = {
        "batch_size": BATCH_SIZE,
        "bptt_len": BPTT_LEN,
        "max_grad_norm": MAX_GRAD_NORM,
        "optimizer": {"name": "sgd", "lr": LR},
        "precision": variant.precision,
    }
    ids = in_memory.random_ids(shape.vocab_size, NUM_TOKENS)
    return in_memory.trainer(shape.vocab_size, ids, shape.options(variant), train).step


def products(size: int) -> dict[str, Callable[[], object]]:
    """Products of square matrices, by the names of ``PRODUCTS``."""
    import torch

    from lmtrain.model.products import linear

    a, b = torch.randn(size, size), torch.randn(size, size)
    half_a, half_b = a.bfloat16(), b.bfloat16()
    actions = (lambda: torch.mm(a, b), lambda: linear(a, b), lambda: torch.mm(half_a, half_b))
    return dict(zip(PRODUCTS, actions, strict=True))


def be_child(options: dict[str, Any]) -> None:
    """Makes steps of the sides it is asked to have."""
    shape, sides = Shape(**options["shape"]), options["sides"]
    if sides != [REFERENCE]:
        from lmtrain.machine.process import prepare_process

        prepare_process()
    actions: dict[str, Callable[[], object]] = {}
    for side in sides:
        actions[side] = reference_step(shape) if side == REFERENCE else our_step(shape, VARIANTS[side])
    if sides != [REFERENCE]:
        actions |= products(options["product_size"])
    serve({name: functools.partial(seconds, action) for name, action in actions.items()})


def measure(mode: str, shape: Shape, variants: list[str], rounds: int, size: int) -> dict[str, list[float]]:
    """The seconds of each side and each product in each round."""
    kinds = {VARIANTS[variant].precision for variant in variants} | {"float32"}
    ours = [*variants, *(product for product, precision in PRODUCTS.items() if precision in kinds)]
    groups = [[REFERENCE, *variants]] if mode == MODES[0] else [[REFERENCE], variants]
    with ExitStack() as stack:
        options = [{"shape": asdict(shape), "sides": sides, "product_size": size} for sides in groups]
        children = [stack.enter_context(Child(__file__, each)) for each in options]
        sides = {REFERENCE: functools.partial(children[0].ask, REFERENCE)}
        sides |= {name: functools.partial(children[-1].ask, name) for name in ours}
        return take_turns(sides, rounds)


def summary(shape: Shape, variants: list[str], times: dict[str, list[float]], size: int) -> dict[str, Any]:
    """Medians, ratios and shares."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    speeds = {name: 2 * size**3 / medians[name] for name in PRODUCTS if name in medians}
    figures: dict[str, Any] = {
        "reference_ms": 1e3 * medians[REFERENCE],
        "reference_words_per_second": BATCH_SIZE * BPTT_LEN / medians[REFERENCE],
        "product_gflops": {name: speed / 1e9 for name, speed in speeds.items()},
        "variants": {},
    }
    for name in variants:
        operations = shape.operations(VARIANTS[name])
        ceiling = max(speeds[product] for product in speeds if PRODUCTS[product] == VARIANTS[name].precision)
        figures["variants"][name] = {
            "ms": 1e3 * medians[name],
            "ratio": median_ratio(times[REFERENCE], times[name]),
            "words_per_second": BATCH_SIZE * BPTT_LEN / medians[name],
            "share_of_ceiling": operations / ceiling / medians[name],
            "share_of_torch_mm_float32": operations / speeds["torch.mm float32"] / medians[name],
        }
    return figures


def main() -> None:
    """Prints a table, and writes the figures as JSON where asked to."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--shape", action="append", choices=list(SHAPES))
    arguments.add_argument("--variant", action="append", choices=list(VARIANTS))
    arguments.add_argument("--mode", action="append", choices=MODES)
    arguments.add_argument("--product-size", type=int, default=2048, help="rows and columns of the matrices")
    args = arguments.parse_args()
    if args.child:
        be_child(args.child)
        return
    variants, size = args.variant or list(VARIANTS), args.product_size
    figures: dict[str, dict[str, Any]] = {}
    columns = "mode, shape, variant, lmtrain ms, reference ms, ratio, words/s, share of ceiling"
    print_header(*columns.split(", "), "share of torch.mm float32")
    for mode in args.mode or MODES:
        figures[mode] = {}
        for name in args.shape or SHAPES:
            times = measure(mode, SHAPES[name], variants, args.rounds, size)
            of_shape = figures[mode][name] = summary(SHAPES[name], variants, times, size)
            for variant, row in of_shape["variants"].items():
                cells = [mode, name, variant, f"{row['ms']:.1f}", f"{of_shape['reference_ms']:.1f}"]
                cells += [f"{row['ratio']:.2f}", f"{row['words_per_second']:,.0f}"]
                cells += [f"{row['share_of_ceiling']:.0%}", f"{row['share_of_torch_mm_float32']:.0%}"]
                print_row(cells)
    print_products(figures)
    write_json(args.json, figures)


def print_products(figures: dict[str, dict[str, Any]]) -> None:
    """The speeds of the products, medians over all that was measured."""
    found: dict[str, list[float]] = {}
    for of_shape in (of_shape for shapes in figures.values() for of_shape in shapes.values()):
        for product, speed in of_shape["product_gflops"].items():
            found.setdefault(product, []).append(speed)
    print()
    print_header("product", "GFLOP/s")
    for product, speeds in found.items():
        print_row((product, f"{statistics.median(speeds):,.0f}"))


if __name__ == "__main__":
    main()
