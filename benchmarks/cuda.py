"""What only a CUDA device can show, of the shapes of all recipes: one command for whoever has one.

    python benchmarks/cuda.py

For each recipe: whether a run that is continued ends bit for bit as one that was not; how far the loss of two
steps is from that of the CPU, without dropout and samples; words per second, and memory. The table goes into
docs/speed.md. Texts are random, of as many types as ``--vocab-size`` says. Where there is no such device, it
says so and measures nothing.
"""

import copy
import time
from pathlib import Path
from typing import Any

from common import parser, print_header, print_row, write_json

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
NUM_TOKENS = 200_000
COLUMNS = ("recipe", "continued bit for bit", "loss off the CPU's", "words/s", "memory, MiB")


def main() -> None:
    """Prints the table."""
    options = parser(__doc__)
    options.add_argument("--device", default="cuda", help="or cpu, to try the program itself")
    options.add_argument("--recipe", action="append", help="file of configs/ without .yaml; by default all")
    options.add_argument("--vocab-size", type=int, default=10_000)
    options.add_argument("--steps", type=int, default=50)
    chosen = options.parse_args()

    from lmtrain.machine.process import prepare_process

    prepare_process()
    import torch

    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        print("no CUDA device here: nothing was measured")
        return
    from lmtrain.machine.device import compute_reproducibly, resolve_device

    device = resolve_device(chosen.device)
    compute_reproducibly(device)
    names = chosen.recipe or sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    print_header(*COLUMNS)
    figures = {}
    for name in names:
        figures[name] = found = measure(name, device, chosen.vocab_size, chosen.steps)
        print_row([name, *found.values()])
    write_json(chosen.json, figures)


def measure(name: str, device: Any, vocab_size: int, steps: int) -> dict[str, object]:
    """The figures of a recipe."""
    import torch

    from lmtrain.machine.memory import PeakMemory

    peak = PeakMemory(device)
    words_per_second = speed(name, device, vocab_size, steps)
    memory, whole = peak.bytes(), build(name, device, vocab_size)
    for _ in range(6):
        whole.step()
    first, second = build(name, device, vocab_size), build(name, device, vocab_size)
    for _ in range(3):
        first.step()
    second.model.load_state_dict(copy.deepcopy(first.model.state_dict()))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(3):
        second.step()
    weights = zip(whole.model.parameters(), second.model.parameters(), strict=True)
    is_same = all(torch.equal(ours, theirs) for ours, theirs in weights)
    losses = [two_steps(name, where, vocab_size) for where in (device, torch.device("cpu"))]
    return {
        "continued": "yes" if is_same else "no",
        "loss": f"{abs(losses[0] / losses[1] - 1):.1e}",
        "words_per_second": f"{words_per_second:,.0f}",
        "memory": "-" if memory is None else f"{memory / 2**20:,.0f}",
    }


def speed(name: str, device: Any, vocab_size: int, steps: int) -> float:
    """Words a second of training, after some steps that are not counted."""
    trainer = build(name, device, vocab_size)
    for _ in range(5):
        trainer.step()
    trainer.check_finite()  # waits for the device
    trainer.meter.read(0.0)
    started = time.perf_counter()
    for _ in range(steps):
        trainer.step()
    tokens = trainer.meter.state_dict()["num_tokens"]
    trainer.check_finite()
    return float(tokens / (time.perf_counter() - started))


def two_steps(name: str, device: Any, vocab_size: int) -> float:
    """The loss of two steps in nats a token, of nothing that is drawn at random."""
    trainer = build(name, device, vocab_size, dropout=0.0, softmax="full")
    trainer.step()
    trainer.step()
    return trainer.meter.read(0.0).loss


def build(name: str, device: Any, vocab_size: int, **changes: object) -> Any:
    """The trainer of a recipe over random text."""
    import in_memory
    import yaml

    from lmtrain.corpus.text import TextRules
    from lmtrain.run.build import Corpora, build_trainer

    recipe = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    train = {key: value for key, value in recipe["train"].items() if key != "epochs"}
    train |= {"max_steps": 1000, "schedule": {"name": "constant"}, "early_stopping": None}
    config = in_memory.config(recipe.get("model", {}) | changes, train)
    text = in_memory.corpus(in_memory.random_ids(vocab_size, NUM_TOKENS))
    return build_trainer(
        config, Corpora(in_memory.vocabulary(vocab_size), TextRules(), text, None, None), device
    )


if __name__ == "__main__":
    main()
