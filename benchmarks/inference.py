"""Speed of scoring and generating text, against the loops of the tutorials.

    python benchmarks/inference.py [--rounds 5] [--tokens 50000] [--json FILE]

An LSTM of 2 x 200 over 10,000 words with random weights, and a random text by Zipf's law in lines of some
20 words. The reference (tutorial.py) uses nn.LSTM in float32. All sides of a task take turns in one
process, which is set up as the program sets itself up; figures are medians over the rounds, ratios the
medians of the ratios within a round.

stream    the whole text: the reference cuts it into 10 streams and reads windows of 35, as the classic
          example does; ours is one exact stream, or 64
line      each line on its own: the reference reads line after line, ours puts equally long ones together
score     the surprisal of every word of lines given as words, which is lmtrain score less reading and writing
generate  word after word: ours one sample, or 64 at once
"""

import functools
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from common import median_ratio, parser, print_header, print_row, seconds, take_turns, write_json, zipf_ranks
from numpy.typing import NDArray

VOCAB_SIZE, SIZES = 10_000, {"embedding_dim": 200, "hidden_size": 200, "num_layers": 2}
REFERENCE, REFERENCE_STREAMS = "reference", 10
SAMPLES = (1, 64)

Side = tuple[Callable[[], object], int]
"""What is timed, and how many words it scores or makes."""


def zipf_lines(num_tokens: int, eos_id: int) -> list[list[int]]:
    """Lines of ids, ``eos_id`` at the end of each: 20 words on average, few very short or long."""
    rng = np.random.default_rng(1)
    words = [2 + rank for block in zipf_ranks(num_tokens, VOCAB_SIZE - 2, rng) for rank in block]
    lines = []
    while words:
        length = max(1, round(rng.lognormal(2.87, 0.5)))
        lines.append([*words[:length], eos_id])
        words = words[length:]
    return lines


def tasks(num_tokens: int, num_words: int) -> dict[str, dict[str, Side]]:
    """The sides of each task."""
    import in_memory
    import torch
    import tutorial

    from lmtrain.inference.evaluation import evaluate
    from lmtrain.inference.generate import generate
    from lmtrain.inference.score import Scorer
    from lmtrain.inference.windows import HeldOutWindow, line_windows, stream_windows

    eos_id = in_memory.EOS_ID
    vocab = in_memory.vocabulary(VOCAB_SIZE)
    lines = zipf_lines(num_tokens, eos_id)
    ids: NDArray[np.int32] = np.concatenate(lines).astype(np.int32)
    corpus = in_memory.corpus(ids)
    model = in_memory.trainer(VOCAB_SIZE, ids, SIZES, {}).model
    plain = tutorial.Model(VOCAB_SIZE)
    streams = tutorial.batchify(torch.from_numpy(ids).long(), REFERENCE_STREAMS)

    def scoring(windows: Callable[[], Iterable[HeldOutWindow]], precision: str) -> Side:
        return lambda: evaluate(model, windows(), vocab, getattr(torch, precision)), len(ids)

    def generation(num_samples: int) -> Side:
        make = functools.partial(generate, model, vocab, [], num_words=num_words, num_samples=num_samples)
        return make, num_words * num_samples

    def stream(count: int) -> Callable[[], Iterable[HeldOutWindow]]:
        return lambda: stream_windows(corpus.ids, eos_id, count)

    def line() -> Iterable[HeldOutWindow]:
        return line_windows(corpus.ids, corpus.line_ends, eos_id)

    def by_word(**options: Any) -> Side:
        words = [vocab.decode(line[:-1]) for line in lines]
        return lambda: Scorer(model, vocab, **options).score(words), len(ids)

    num_predictions = streams.numel() - REFERENCE_STREAMS
    return {
        "stream": {
            REFERENCE: (lambda: tutorial.evaluate(plain, streams), num_predictions),
            "exact, float32": scoring(stream(1), "float32"),
            "exact, bfloat16": scoring(stream(1), "bfloat16"),
            "64 streams, float32": scoring(stream(64), "float32"),
            "64 streams, bfloat16": scoring(stream(64), "bfloat16"),
        },
        "line": {
            REFERENCE: (lambda: tutorial.score_lines(plain, lines, eos_id), len(ids)),
            "float32": scoring(line, "float32"),
            "bfloat16": scoring(line, "bfloat16"),
        },
        "score": {
            REFERENCE: (lambda: tutorial.score_lines(plain, lines, eos_id), len(ids)),
            "words": by_word(),
            "words, bfloat16": by_word(precision=torch.bfloat16),
            "words, entropy, rank": by_word(with_details=True),
        },
        "generate": {
            REFERENCE: (lambda: tutorial.generate(plain, num_words), num_words),
            **{f"{count} sample{'s' * (count > 1)}": generation(count) for count in SAMPLES},
        },
    }


def measure(sides: dict[str, Side], rounds: int) -> dict[str, dict[str, float]]:
    """Words per second of each side, and the ratio to the reference."""
    timers = {name: functools.partial(seconds, action) for name, (action, _) in sides.items()}
    times = take_turns(timers, rounds, warm_up=1)
    rates = {name: [sides[name][1] / each for each in values] for name, values in times.items()}
    return {
        name: {
            "words_per_second": statistics.median(values),
            "ratio": median_ratio(values, rates[REFERENCE]),
        }
        for name, values in rates.items()
    }


def main() -> None:
    """Prints a table, and writes the figures as JSON where asked to."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--tokens", type=int, default=50_000, help="of the text that is scored")
    arguments.add_argument("--words", type=int, default=500, help="generated for each sample")
    args = arguments.parse_args()

    from lmtrain.machine.process import prepare_process

    prepare_process()
    figures: dict[str, Any] = {}
    print_header("task", "side", "words/s", "ratio")
    for task, sides in tasks(args.tokens, args.words).items():
        figures[task] = measure(sides, args.rounds)
        for name, row in figures[task].items():
            print_row((task, name, f"{row['words_per_second']:,.0f}", f"{row['ratio']:.2f}"))
    write_json(args.json, figures)


if __name__ == "__main__":
    main()
