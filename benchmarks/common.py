"""What the benchmarks share: timing in turns, child processes, synthetic text, tables. Imports no torch."""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import numpy as np

LINE_WORDS = 25
PAUSE = 0.005
"""Seconds before each turn, in which the waiting threads of the one before fall asleep."""


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Of a benchmark: its docstring as the help, ``--json``, and ``--child``, which ``Child`` gives."""
    result = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    result.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    return result


def seconds(action: Callable[[], object]) -> float:
    """One run, timed."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def take_turns(
    sides: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: int = 3
) -> dict[str, list[float]]:
    """What each side returns in each round, in which all of them have one turn.

    So a machine whose speed drifts is fair to all. The first ``warm_up`` rounds do not count.
    """
    results: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-warm_up, rounds):
        for name, side in sides.items():
            time.sleep(PAUSE)
            result = side()
            if number >= 0:
                results[name].append(result)
    return results


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


class Child:
    """A benchmark once more, in a process of its own that does what it is told.

    Args:
        program: The benchmark.
        options: What its child is to be, as JSON has it: its ``--child``.
    """

    def __init__(self, program: str, options: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, program, "--child", json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, action: str) -> Any:
        """Waits for the answer, a JSON value."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(action, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"a child process ended with exit code {self._process.wait()}")
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()


def serve(actions: Mapping[str, Callable[[], object]]) -> None:
    """What a child does: reads the names of actions and answers with what they return."""
    for line in sys.stdin:
        print(json.dumps(actions[line.rstrip("\n")]()), flush=True)


def memory(pid: int | str = "self") -> dict[str, int]:
    """Bytes that a process has in memory (Linux): ``VmRSS`` now, ``VmHWM`` at most, ``RssAnon`` its own."""
    # Not ru_maxrss, which in a fresh process starts from that of the process that started it.
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    fields = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): 1024 * int(kilobytes) for name, kilobytes, _ in fields}


def rows_as_they_come(path: Path, process: "subprocess.Popen[Any]") -> Iterator[dict[str, Any]]:
    """The lines of a ``metrics.jsonl`` that a process is writing, until it ends."""
    seen = 0
    while True:
        has_ended = process.poll() is not None
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        yield from map(json.loads, lines[seen:])
        seen = len(lines)
        if has_ended:
            return
        time.sleep(PAUSE)


def zipf_ranks(num_words: int, num_types: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Words drawn independently, the r-th most frequent with probability ∝ 1 / (r + 2.7), in blocks."""
    cumulative = np.cumsum(1 / (np.arange(1, num_types + 1) + 2.7))
    for start in range(0, num_words, 250_000):
        draws = rng.random(min(250_000, num_words - start)) * cumulative[-1]
        yield np.searchsorted(cumulative, draws).tolist()


def append_zipf_text(path: Path, num_words: int, num_types: int) -> None:
    """Appends lines of 25 words by Zipf's law; the same for the same numbers."""
    spelled = spellings(num_types)
    with path.open("a", encoding="utf-8") as file:
        for ranks in zipf_ranks(num_words, num_types, np.random.default_rng(1)):
            words = [spelled[rank] for rank in ranks]
            for first in range(0, len(words), LINE_WORDS):
                file.write(" ".join(words[first : first + LINE_WORDS]) + "\n")


def spellings(num_types: int) -> list[str]:
    """Different words, the first ones the shortest."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnprstvwxyz" for vowel in "aeiou"]
    spelled = []
    for rank in range(num_types):
        word = syllables[rank % 100]
        while rank := rank // 100:
            word += syllables[rank % 100]
        spelled.append(word)
    return spelled


def print_header(*columns: str) -> None:
    """The first two lines of a Markdown table."""
    print_row(columns)
    print_row("---" for _ in columns)


def print_row(cells: Iterable[object]) -> None:
    """A line of a Markdown table."""
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def write_json(path: Path | None, figures: Mapping[str, object]) -> None:
    """The figures and the machine they were measured on."""
    if path is not None:
        text = json.dumps({"machine": _machine(), **figures}, indent=1)
        path.write_text(text + "\n", encoding="utf-8")


def _machine() -> dict[str, object]:
    return {
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("torch", "numpy", "lmtrain")},
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
