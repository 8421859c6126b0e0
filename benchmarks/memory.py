"""Peak memory of training with a large vocabulary, over what weights, gradients and optimizer must take.

    python benchmarks/memory.py [--vocab-size 267735] [--steps 5] [--reference] [--json FILE]   # Linux

A single LSTM layer of 400 units, its softmax tied to the embedding, 20 streams of 35 words. Each row is a
process of its own that builds the trainer from a config, as `lmtrain train` does, and makes some steps.
Its peak (VmHWM) is taken over the memory of a process that has imported the same and computed some tiny
products, so that all libraries are loaded, but has built nothing. The excess is what remains after
parameters, gradients (both float32) and the optimizer's moments: logits, activations, allocator,
vocabulary. `--reference` adds the plain way of tutorial.py, in a process that is not set up as ours is.
"""

from typing import Any

from common import Child, memory, parser, print_header, print_row, serve, write_json

BATCH_SIZE, BPTT_LEN, HIDDEN_SIZE, LR = 20, 35, 400, 1.0
NUM_TOKENS = 200_000
TARGET_MB = 400
NOTHING, REFERENCE = "nothing", "reference"


def train_ours(options: dict[str, Any]) -> dict[str, int]:
    """Some steps; the bytes of all that is trained."""
    import in_memory

    model = {
        "embedding_dim": HIDDEN_SIZE,
        "hidden_size": HIDDEN_SIZE,
        "num_layers": 1,
        "tie_weights": True,
    }
    train = {
        "batch_size": BATCH_SIZE,
        "bptt_len": BPTT_LEN,
        "optimizer": {"name": options["optimizer"]},
        "precision": options["variant"],
    }
    ids = in_memory.random_ids(options["vocab_size"], NUM_TOKENS)
    trainer = in_memory.trainer(options["vocab_size"], ids, model, train)
    for _ in range(options["steps"]):
        trainer.step()
    moments = trainer.optimizer.state_dict()["moments"].values()
    tensors = [tensor for state in moments for tensor in state.values() if tensor is not None]
    parameters = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
    return {
        "parameters": parameters,
        "gradients": parameters,
        "optimizer": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
    }


def train_reference(options: dict[str, Any]) -> dict[str, int]:
    """The same with the loop of the tutorials, whose optimizer is SGD."""
    import torch
    import tutorial

    model = tutorial.Model(options["vocab_size"], HIDDEN_SIZE, num_layers=1, tied=True)
    data = tutorial.batchify(torch.randint(options["vocab_size"], (NUM_TOKENS,)), BATCH_SIZE)
    hidden = None
    for i in range(0, BPTT_LEN * options["steps"], BPTT_LEN):
        x, y = data[i : i + BPTT_LEN], data[i + 1 : i + 1 + BPTT_LEN]
        hidden = tutorial.train_step(model, x, y, hidden, LR)
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    return {"parameters": parameters, "gradients": parameters, "optimizer": 0}


def be_child(options: dict[str, Any]) -> None:
    """Trains in this process, and answers with its memory in bytes."""
    if options["variant"] != REFERENCE:
        from lmtrain.machine.process import prepare_process

        prepare_process()
    import in_memory  # noqa: F401
    import torch
    import tutorial  # noqa: F401

    from lmtrain.model.products import linear

    for dtype in (torch.float32, torch.bfloat16):
        x = torch.ones(64, 64, dtype=dtype)
        linear(torch.mm(x, x), x)
    sizes = {}
    if options["variant"] != NOTHING:
        sizes = train_reference(options) if options["variant"] == REFERENCE else train_ours(options)
    serve({"sizes": lambda: sizes, "memory": memory})


def measure(options: dict[str, Any], start_bytes: int) -> dict[str, float]:
    """A row of the table, in MB; ``start_bytes`` is the memory of a process that built nothing."""
    with Child(__file__, options) as child:
        sizes, peak = child.ask("sizes"), child.ask("memory")["VmHWM"] - start_bytes
    megabytes = {f"{name}_mb": size / 1e6 for name, size in sizes.items()}
    return {**megabytes, "peak_mb": peak / 1e6, "excess_mb": (peak - sum(sizes.values())) / 1e6}


def main() -> None:
    """Prints a table, and writes the figures as JSON where asked to."""
    arguments = parser(__doc__)
    arguments.add_argument("--vocab-size", type=int, default=267_735)
    arguments.add_argument("--steps", type=int, default=5)
    arguments.add_argument("--optimizer", choices=["sgd", "adam", "adamw"], default="sgd")
    arguments.add_argument("--reference", action="store_true", help="measure the plain way, too")
    args = arguments.parse_args()
    if args.child:
        be_child(args.child)
        return
    options = {"vocab_size": args.vocab_size, "steps": args.steps, "optimizer": args.optimizer}
    with Child(__file__, {**options, "variant": NOTHING}) as child:
        start_bytes = child.ask("memory")["VmRSS"]
    figures: dict[str, Any] = {"start_mb": start_bytes / 1e6}
    names = ["parameters_mb", "gradients_mb", "optimizer_mb", "peak_mb", "excess_mb"]
    print_header("variant", *(name.replace("_mb", " MB") for name in names), f"at most {TARGET_MB} MB")
    for variant in ("float32", "bfloat16", *([REFERENCE] if args.reference else [])):
        row = figures[variant] = measure({**options, "variant": variant}, start_bytes)
        is_met = "yes" if row["excess_mb"] <= TARGET_MB else "no"
        print_row([variant, *(f"{row[name]:,.0f}" for name in names), is_met])
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
