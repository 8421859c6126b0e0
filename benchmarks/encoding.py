"""How fast text is encoded, and how much memory a large corpus takes.

    python benchmarks/encoding.py                          # words/s, beside a plain dict loop
    python benchmarks/encoding.py --memory --words 100000000   # peak memory (Linux)

The text is synthetic: words by Zipf's law, the same for the same --words and --types; or a file.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lmtrain.corpus.corpus import encode_text
from lmtrain.corpus.text import TextRules, file_blocks
from lmtrain.corpus.vocab import EOS, UNK, Vocabulary

LINE_WORDS = 25
RULES = TextRules()

# VmHWM, because the ru_maxrss of a fresh process starts from that of the process that started it.
REPORT_PEAK = """
import pathlib, re
status = pathlib.Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
"""
IMPORT_ONLY = "import lmtrain.corpus.corpus"
BUILD_AND_ENCODE = """
import pathlib, sys
from lmtrain.corpus.corpus import build_vocabulary, load_corpus
from lmtrain.corpus.text import TextRules
text, cache = map(pathlib.Path, sys.argv[1:])
vocab = build_vocabulary([text], TextRules(), cache_dir=cache)
load_corpus([text], vocab, TextRules(), cache)
"""


def write_zipf_text(path: Path, num_words: int, num_types: int) -> None:
    """Writes words drawn independently, the r-th most frequent with probability ∝ 1 / (r + 2.7)."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnprstvwxyz" for vowel in "aeiou"]
    spelled = []
    for rank in range(num_types):
        word = syllables[rank % 100]
        while rank := rank // 100:
            word += syllables[rank % 100]
        spelled.append(word)
    cumulative = np.cumsum(1 / (np.arange(1, num_types + 1) + 2.7))
    rng = np.random.default_rng(1)
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, num_words, 250_000):
            draws = rng.random(min(250_000, num_words - start)) * cumulative[-1]
            words = [spelled[rank] for rank in np.searchsorted(cumulative, draws).tolist()]
            for first in range(0, len(words), LINE_WORDS):
                file.write(" ".join(words[first : first + LINE_WORDS]) + "\n")


def plain_loop(path: Path, ids_by_word: dict[str, int]) -> list[int]:
    """What one would write first."""
    ids = []
    unk_id, eos_id = ids_by_word[UNK], ids_by_word[EOS]
    with path.open(encoding="utf-8") as file:
        for line in file:
            for word in line.split():
                ids.append(ids_by_word.get(word, unk_id))  # noqa: PERF401  (the loop is the point)
            ids.append(eos_id)
    return ids


def measure_speed(path: Path, repeats: int) -> dict[str, float]:
    """Tokens per second, `<eos>` included; the two take turns, so that both see the same machine."""
    vocab = Vocabulary.from_files([path], RULES)
    ids_by_word = {word: index for index, word in enumerate(vocab.words)}

    def encode() -> int:
        return sum(ids.size for ids in encode_text(file_blocks(path), vocab, RULES, str(path)))

    def loop() -> int:
        return len(plain_loop(path, ids_by_word))

    def rate(run: Callable[[], int]) -> float:
        start = time.perf_counter()
        num_tokens = run()
        return num_tokens / (time.perf_counter() - start)

    rates = [(rate(encode), rate(loop)) for _ in range(repeats)]
    return {
        "vocab_size": len(vocab),
        "words_per_second": statistics.median(ours for ours, _ in rates),
        "words_per_second_plain_loop": statistics.median(plain for _, plain in rates),
        "ratio": statistics.median(ours / plain for ours, plain in rates),
    }


def measure_memory(path: Path, cache: Path) -> dict[str, float]:
    """Peak memory of counting and encoding, in MB above an interpreter that imported the package."""
    start = time.perf_counter()
    peak = peak_bytes(BUILD_AND_ENCODE, path, cache)
    seconds = time.perf_counter() - start
    return {"peak_mb": (peak - peak_bytes(IMPORT_ONLY)) / 1e6, "seconds_count_and_encode": seconds}


def peak_bytes(program: str, *arguments: Path) -> int:
    command = [sys.executable, "-c", program + REPORT_PEAK, *map(str, arguments)]
    return 1024 * int(subprocess.run(command, check=True, capture_output=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--text", type=Path, help="a text file instead of a synthetic one")
    parser.add_argument("--words", type=int, default=10_000_000)
    parser.add_argument("--types", type=int, default=500_000, help="different words in the source")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="measure memory instead of speed")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = args.text or Path(folder, "zipf.txt")
        if not args.text:
            write_zipf_text(text, args.words, args.types)
        figures = {"text_bytes": text.stat().st_size}
        if args.memory:
            figures |= measure_memory(text, Path(folder, "cache"))
        else:
            figures |= measure_speed(text, args.repeats)
    for name, value in figures.items():
        print(f"{name:28} {value:15,.2f}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
