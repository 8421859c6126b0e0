"""What a larger corpus costs: to start, to keep in memory, to train on.

    python benchmarks/scaling.py [--millions 1 10 100] [--folder DIR] [--json FILE]      # Linux

Texts by Zipf's law over the same 10,000 different words, each of which is written once at least, so that
the vocabulary and with it the model are the same. For each size:

start     `lmtrain train` is launched in a process of its own: once with an empty cache, when the text is
          counted and encoded, then `--starts` times with the cache it left. Seconds run from the launch to
          the moment the line of step 1 stands in metrics.jsonl, imports included. What the process has
          read by then (`rchar` of /proc/PID/io, nearly all of it Python's own modules; `read_bytes` is
          what came from the disk, pages of memory maps included) and, after 20 steps, its memory are taken
          from outside. Pages of the memory-mapped ids count in the peak (VmHWM), and can be dropped by the
          system at any time; `anonymous` (RssAnon) leaves them out.
training  One process holds a trainer of each size, opened from the cache; they make a step in turn, so
          that a machine whose speed drifts fakes no slope. Words/s are from the median step.
"""

import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import (
    Child,
    append_zipf_text,
    median_ratio,
    memory,
    parser,
    print_header,
    print_row,
    rows_as_they_come,
    seconds,
    serve,
    spellings,
    take_turns,
    write_json,
)

BATCH_SIZE, BPTT_LEN = 20, 35
STEPS_BEFORE_MEMORY = 20
CLOCK_TICK = 2.5
"""Seconds. A file changed within the last two could change unseen, so the cache does not trust its dates."""


def write_config(folder: Path, num_words: int, num_types: int) -> Path:
    """A corpus of this size, with every word in it, and the config of a run on it."""
    text, config = folder / f"{num_words}.txt", folder / f"{num_words}.yaml"
    text.write_text("\n".join(spellings(num_types)) + "\n", encoding="utf-8")
    append_zipf_text(text, num_words - num_types, num_types)
    model = {"cell": "lstm", "embedding_dim": 200, "hidden_size": 200, "num_layers": 2}
    train = {"max_steps": 1_000_000, "batch_size": BATCH_SIZE, "bptt_len": BPTT_LEN}
    logging = {"every": 1, "samples": 0}
    values = {"name": "scaling", "data": {"train": str(text)}, "model": model, "train": train}
    config.write_text(json.dumps({**values, "logging": logging}), encoding="utf-8")
    return config


def start(config: Path) -> dict[str, float]:
    """Launches the program, watches it for some steps, and kills it."""
    run_dir = config.with_suffix("")
    shutil.rmtree(run_dir, ignore_errors=True)
    command = [sys.executable, "-m", "lmtrain", "train", "--config", str(config), "--run-dir", str(run_dir)]
    launched = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    figures: dict[str, float] = {}
    try:
        for row in rows_as_they_come(run_dir / "metrics.jsonl", process):
            if not figures:
                figures["seconds"] = time.perf_counter() - launched
                for line in Path(f"/proc/{process.pid}/io").read_text(encoding="ascii").splitlines():
                    name, _, value = line.partition(": ")
                    if name in ("rchar", "read_bytes"):
                        figures[f"{name}_mb"] = int(value) / 1e6
            if row["step"] >= STEPS_BEFORE_MEMORY:
                found = memory(process.pid)
                figures |= {"peak_mb": found["VmHWM"] / 1e6, "anonymous_mb": found["RssAnon"] / 1e6}
                return figures
    finally:
        process.kill()
        _, messages = process.communicate()
    sys.exit(f"{' '.join(command)}: ended with exit code {process.returncode}\n{messages}")


def be_child(configs: list[str]) -> None:
    """Holds a trainer for each config."""
    from lmtrain.machine.process import prepare_process

    prepare_process()
    import torch

    from lmtrain.config import load_config
    from lmtrain.run.build import build_trainer, load_corpora

    actions = {}
    for path in configs:
        config = load_config(Path(path))
        trainer = build_trainer(config, load_corpora(config), torch.device("cpu"))
        actions[path] = functools.partial(seconds, trainer.step)
    serve(actions)


def measure_starts(configs: list[Path], starts: int) -> list[dict[str, Any]]:
    """For each config, the first start and the median of the later ones, which take turns."""
    time.sleep(CLOCK_TICK)
    firsts = [start(config) for config in configs]
    later = [[start(config) for config in configs] for _ in range(starts)]
    return [
        {"first": first, "second": {name: statistics.median(each[name] for each in again) for name in first}}
        for first, again in zip(firsts, zip(*later, strict=True), strict=True)
    ]


def measure_training(configs: list[Path], rounds: int) -> list[dict[str, float]]:
    """Words per second for each config, and the ratio to the first one."""
    names = [str(config) for config in configs]
    with Child(__file__, names) as child:
        times = take_turns({name: functools.partial(child.ask, name) for name in names}, rounds, warm_up=10)
    return [
        {
            "words_per_second": BATCH_SIZE * BPTT_LEN / statistics.median(times[name]),
            "relative": median_ratio(times[names[0]], times[name]),
        }
        for name in names
    ]


def main() -> None:
    """Prints a table, and writes the figures as JSON where asked to."""
    arguments = parser(__doc__)
    arguments.add_argument("--millions", type=float, nargs="+", default=[1, 10, 100], help="of words")
    arguments.add_argument("--types", type=int, default=10_000, help="different words")
    arguments.add_argument("--rounds", type=int, default=300, help="steps of each size")
    arguments.add_argument("--starts", type=int, default=3, help="with the cache")
    arguments.add_argument("--folder", type=Path, help="where the texts go; 1 GB for 100 million words")
    args = arguments.parse_args()
    if args.child:
        be_child(args.child)
        return
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="scaling-") as folder:
        os.environ["LMTRAIN_CACHE"] = str(Path(folder, "cache"))
        configs = [write_config(Path(folder), round(1e6 * size), args.types) for size in args.millions]
        starts = measure_starts(configs, args.starts)
        speeds = measure_training(configs, args.rounds)
    figures = {}
    columns = "million words, first start s, its peak MB, second start s, rchar MB, read from disk MB"
    print_header(*columns.split(", "), "peak MB", "anonymous MB", "words/s", "relative")
    for millions, of_starts, speed in zip(args.millions, starts, speeds, strict=True):
        figures[f"{millions:g} million"] = {**of_starts, **speed}
        first, second = of_starts["first"], of_starts["second"]
        cells = [f"{millions:g}", f"{first['seconds']:.2f}", f"{first['peak_mb']:,.0f}"]
        cells += [f"{second['seconds']:.2f}", f"{second['rchar_mb']:.1f}", f"{second['read_bytes_mb']:.1f}"]
        cells += [f"{second['peak_mb']:,.0f}", f"{second['anonymous_mb']:,.0f}"]
        print_row([*cells, f"{speed['words_per_second']:,.0f}", f"{speed['relative']:.3f}"])
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
