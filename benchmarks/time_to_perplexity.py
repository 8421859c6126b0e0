"""Seconds from the command line to a validation perplexity, against the classic recipe.

    python benchmarks/time_to_perplexity.py --config configs/NAME.yaml [--target 140] [--data data/ptb]
    python benchmarks/time_to_perplexity.py --config A.yaml --target 140 --config B.yaml --target 120 …

reference  `python tutorial.py`: the recipe of the word_language_model example (2 x 200 tied LSTM, dropout
           0.2, SGD from lr 20, divided by 4 where validation does not improve, clipped at 0.25, 20 streams
           of 35 words, validated after each epoch on a text cut into 10 streams). The clock is read when it
           prints a perplexity that is low enough; it ends with the lowest target, or after its 40 epochs.
lmtrain    `lmtrain train --config FILE`, on the same texts. The clock is read when such a
           `valid/perplexity` stands in metrics.jsonl, right after its line of the table is printed. Each
           target has a config of its own, or all have the one that is given.

The clock starts when the process is launched; reading the text and imports count. Each process has the
machine to itself, the environment this benchmark was started in, and an empty cache; it is killed when the
target is reached. With `--rounds` they take turns, and times are medians.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from common import median_ratio, parser, print_header, print_row, rows_as_they_come, write_json


def reference_seconds(data: Path, targets: Sequence[float]) -> dict[float, float]:
    """Of the plain loop to each target; those that it does not reach are missing."""
    command = [sys.executable, str(Path(__file__).with_name("tutorial.py")), "--data", str(data)]
    reached: dict[float, float] = {}
    launched = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            elapsed = time.perf_counter() - launched
            print(f"reference {elapsed:7.1f} s  {line.rstrip()}", file=sys.stderr)
            if found := re.search(r"valid perplexity (\S+)", line):
                for target in targets:
                    if float(found[1]) <= target:
                        reached.setdefault(target, elapsed)
            if len(reached) == len(targets):
                process.kill()
                return reached
    if process.returncode:
        sys.exit(f"the reference ended with exit code {process.returncode}")
    return reached


def our_seconds(config: Path, data: Path, target: float) -> float:
    """Of ``lmtrain train``."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lmtrain", "train", "--config", str(config)]
        command += ["--run-dir", f"{folder}/run"]
        for split in ("train", "valid"):
            command += ["--set", f"data.{split}={data / split}.txt"]
        environment = {**os.environ, "LMTRAIN_CACHE": f"{folder}/cache"}
        launched = time.perf_counter()
        with subprocess.Popen(
            [*command, "--set", "data.test=null"], stdout=subprocess.DEVNULL, env=environment
        ) as process:
            for row in rows_as_they_come(Path(folder, "run", "metrics.jsonl"), process):
                elapsed = time.perf_counter() - launched
                if (perplexity := row.get("valid/perplexity")) is None:
                    continue
                print(
                    f"lmtrain {elapsed:9.1f} s  epoch {row['epoch']:.2f}  {perplexity:.2f}", file=sys.stderr
                )
                if perplexity <= target:
                    process.kill()
                    process.wait()
                    return elapsed
    sys.exit(f"lmtrain ended with exit code {process.returncode}, never at {target:g}")


def main() -> None:
    """Prints a table, and writes the figures as JSON where asked to."""
    arguments = parser(__doc__)
    arguments.add_argument("--config", type=Path, action="append", required=True, help="of lmtrain")
    arguments.add_argument("--data", type=Path, default=Path("data/ptb"), help="with train.txt and valid.txt")
    arguments.add_argument(
        "--target", type=float, action="append", help="validation perplexity; by default 140"
    )
    arguments.add_argument("--rounds", type=int, default=1)
    args = arguments.parse_args()
    targets = args.target or [140.0]
    configs = args.config * len(targets) if len(args.config) == 1 else args.config
    if len(configs) != len(targets):
        arguments.error("give one --config, or one for each --target")
    reference: dict[float, list[float]] = {target: [] for target in targets}
    ours: dict[float, list[float]] = {target: [] for target in targets}
    for _ in range(args.rounds):
        for target, seconds in reference_seconds(args.data, targets).items():
            reference[target].append(seconds)
        for target, config in zip(targets, configs, strict=True):
            ours[target].append(our_seconds(config, args.data, target))
    print_header("target", "reference s", "lmtrain s", "ratio")
    figures = [figures_of(target, reference[target], ours[target]) for target in targets]
    for row in figures:
        found = (row["reference_seconds"], row["lmtrain_seconds"], row["ratio"])
        cells = (
            "never" if value is None else f"{value:.{digits}f}"
            for value, digits in zip(found, (1, 1, 2), strict=True)
        )
        print_row([f"{row['target']:g}", *cells])
    write_json(args.json, {"targets": figures})


def figures_of(target: float, reference: Sequence[float], ours: Sequence[float]) -> dict[str, float | None]:
    """Medians of the rounds; None for what was not reached in each of them."""
    is_reached = len(reference) == len(ours)
    return {
        "target": target,
        "reference_seconds": statistics.median(reference) if is_reached else None,
        "lmtrain_seconds": statistics.median(ours),
        "ratio": median_ratio(reference, ours) if is_reached else None,
    }


if __name__ == "__main__":
    main()
