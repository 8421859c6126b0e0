"""Seconds from the command line to a validation perplexity, against the classic recipe.

    python benchmarks/time_to_perplexity.py --config configs/NAME.yaml [--target 140] [--data data/ptb]

reference  `python tutorial.py`: the recipe of the word_language_model example (2 x 200 tied LSTM, dropout
           0.2, SGD from lr 20, divided by 4 where validation does not improve, clipped at 0.25, 20 streams
           of 35 words, validated after each epoch on a text cut into 10 streams). The clock stops when
           it prints a perplexity that is low enough.
lmtrain    `lmtrain train --config FILE`, on the same texts. The clock stops when such a
           `valid/perplexity` stands in metrics.jsonl, right after its line of the table is printed.

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
from collections.abc import Callable
from pathlib import Path

from common import median_ratio, parser, print_header, print_row, rows_as_they_come, write_json


def reference_seconds(data: Path, target: float) -> float:
    """Of the plain loop."""
    command = [sys.executable, str(Path(__file__).with_name("tutorial.py")), "--data", str(data)]
    launched = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            elapsed = time.perf_counter() - launched
            print(f"reference {elapsed:7.1f} s  {line.rstrip()}", file=sys.stderr)
            found = re.search(r"valid perplexity (\S+)", line)
            if found and float(found[1]) <= target:
                process.kill()
                return elapsed
    sys.exit(f"the reference ended with exit code {process.returncode}, never at {target:g}")


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
    arguments.add_argument("--config", type=Path, required=True, help="of lmtrain")
    arguments.add_argument("--data", type=Path, default=Path("data/ptb"), help="with train.txt and valid.txt")
    arguments.add_argument("--target", type=float, default=140.0, help="validation perplexity")
    arguments.add_argument("--rounds", type=int, default=1)
    args = arguments.parse_args()
    sides: dict[str, Callable[[], float]] = {
        "reference": lambda: reference_seconds(args.data, args.target),
        "lmtrain": lambda: our_seconds(args.config, args.data, args.target),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, side in sides.items():
            times[name].append(side())
    figures = {f"{name}_seconds": statistics.median(values) for name, values in times.items()}
    figures |= {"ratio": median_ratio(times["reference"], times["lmtrain"]), "target": args.target}
    print_header("target", "reference s", "lmtrain s", "ratio")
    cells = (figures["reference_seconds"], figures["lmtrain_seconds"], figures["ratio"])
    print_row([f"{args.target:g}", f"{cells[0]:.1f}", f"{cells[1]:.1f}", f"{cells[2]:.2f}"])
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
