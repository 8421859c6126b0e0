"""Memory of `lmtrain score` while lines stream through it: after a tenth of them, and at the end.

    python benchmarks/score_lines.py MODEL [--lines 1000000] [--words 5] [--json FILE]   # Linux

A program writes lines of words of the model's vocabulary, and the command scores them as they come. MODEL is
a run directory, such as that of the quickstart. Its peak (VmHWM) must not grow with the lines.
"""

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from common import memory, parser, print_header, print_row, write_json


def vocabulary(model: Path) -> list[str]:
    """The words of the newest snapshot."""
    path = max(model.glob("snapshots/step-*/vocab.txt"))
    return [word for word in path.read_text(encoding="utf-8").splitlines() if word != "<eos>"]


def write_lines(process: "subprocess.Popen[bytes]", words: list[str], num_lines: int, length: int) -> None:
    """Writes the lines into the command, as fast as it reads them."""
    assert process.stdin is not None
    draw = random.Random(1)
    lines = [" ".join(draw.choices(words, k=draw.randint(1, 2 * length - 1))) for _ in range(1000)]
    for first in range(0, num_lines, 1000):
        portion = lines[: num_lines - first]
        draw.shuffle(lines)
        process.stdin.write("".join(f"{line}\n" for line in portion).encode())
    process.stdin.close()


def main() -> None:
    """Prints a table, and writes the figures as JSON where asked to."""
    arguments = parser(__doc__)
    arguments.add_argument("model", type=Path, help="a run directory")
    arguments.add_argument("--lines", type=int, default=1_000_000)
    arguments.add_argument("--words", type=int, default=5, help="of a line, on average")
    args = arguments.parse_args()

    command = [sys.executable, "-m", "lmtrain", "score", str(args.model), "-", "--format", "json"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        words = vocabulary(args.model)
        thread = threading.Thread(target=write_lines, args=(process, words, args.lines, args.words))
        thread.start()
        peaks: dict[int, int] = {}
        num_lines = 0
        for num_lines, _ in enumerate(process.stdout, 1):
            if num_lines in (args.lines // 10, args.lines):
                peaks[num_lines] = memory(process.pid)["VmHWM"]
        thread.join()
        code = process.wait()
    if code or num_lines != args.lines:
        sys.exit(f"lmtrain score ended with {code} after {num_lines} lines")
    seconds = time.perf_counter() - started
    print_header("lines", "peak, MB")
    for count, peak in peaks.items():
        print_row((f"{count:,}", f"{peak / 1e6:.0f}"))
    print()
    print_header("lines/s, start included")
    print_row((f"{args.lines / seconds:,.0f}",))
    write_json(args.json, {"peak_bytes": list(peaks.values()), "lines_per_second": args.lines / seconds})


if __name__ == "__main__":
    main()
