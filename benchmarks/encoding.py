"""How fast text is encoded, and how much memory a large corpus takes.

    python benchmarks/encoding.py                          # words/s, beside a plain dict loop
    python benchmarks/encoding.py --memory --words 100000000   # peak memory (Linux)

The text is synthetic: words by Zipf's law, the same for the same --words and --types; or a file.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import append_zipf_text, parser, print_header, print_row, write_json

from lmtrain.corpus.corpus import build_vocabulary, encode_text
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import EOS, UNK
from lmtrain.files.text_input import file_blocks

RULES = TextRules()

# VmHWM, and not ru_maxrss: see common.memory.
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
    vocab = build_vocabulary([path], RULES, cache_dir=path.parent / "cache")
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
    arguments = parser(__doc__)
    arguments.add_argument("--text", type=Path, help="a text file instead of a synthetic one")
    arguments.add_argument("--words", type=int, default=10_000_000)
    arguments.add_argument("--types", type=int, default=500_000, help="different words in the source")
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--memory", action="store_true", help="measure memory instead of speed")
    args = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = args.text or Path(folder, "zipf.txt")
        if not args.text:
            append_zipf_text(text, args.words, args.types)
        figures: dict[str, float] = {"text_bytes": text.stat().st_size}
        if args.memory:
            figures |= measure_memory(text, Path(folder, "cache"))
        else:
            figures |= measure_speed(text, args.repeats)
    print_header("figure", "value")
    for name, value in figures.items():
        print_row((name, f"{value:,.2f}"))
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
