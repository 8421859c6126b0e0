"""How soon `lmtrain --help` answers, beside an interpreter that only imports typer.

    python benchmarks/startup.py [--rounds 15] [--json FILE]

The two run in turn; the ratio is the median of the ratios within a round.
"""

import functools
import statistics
import subprocess
import sys
from pathlib import Path

from common import median_ratio, parser, print_header, print_row, seconds, take_turns, write_json

TARGET = 1.3
OURS, PLAIN = "lmtrain --help", "import typer"


def run(command: list[str]) -> None:
    """Runs a command that has to succeed, and is silent."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Prints a table, and writes the figures as JSON where asked to."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    args = arguments.parse_args()
    script = Path(sys.executable).with_name("lmtrain")
    ours = [str(script)] if script.exists() else [sys.executable, "-m", "lmtrain"]
    commands = {OURS: [*ours, "--help"], PLAIN: [sys.executable, "-c", PLAIN]}
    sides = {
        name: functools.partial(seconds, functools.partial(run, command))
        for name, command in commands.items()
    }
    times = take_turns(sides, args.rounds)
    ratio = median_ratio(times[OURS], times[PLAIN])
    milliseconds = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    print_header("command", "ms")
    for name, value in milliseconds.items():
        print_row((name, f"{value:.1f}"))
    print_row(("ratio", f"{ratio:.2f} (at most {TARGET})"))
    write_json(args.json, {"ms": milliseconds, "ratio": ratio})


if __name__ == "__main__":
    main()
