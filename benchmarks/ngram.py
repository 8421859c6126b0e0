"""Estimates an n-gram model to interpolate with, where KenLM's lmplz and SRILM are not installed.

    python benchmarks/ngram.py data/ptb/train.txt --order 5 --out kn5.arpa

Interpolated modified Kneser-Ney (Chen and Goodman, 1999, section 3) without count cutoffs, as lmplz estimates
it, in ARPA format. The text is held in memory: some ten million words are enough for it. A literal `<unk>` is
a word like any other; where the text has none, `<unk>` gets the share of a word never seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from common import parser, print_header, print_row, seconds, write_json
from numpy.typing import NDArray

BOS, EOS, UNK = b"<s>", b"</s>", b"<unk>"
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
"""For a text so small that its counts of counts say nothing; those of lmplz --discount_fallback."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass
class Order:
    """The G different n-grams of one length in a text of M words, `<s>` and `</s>` included."""

    at: Ints  # (M,) the n-gram that ends at each word, -1 where the line has fewer words up to there
    first: Ints  # (G,) where each one ends for the first time
    context: Ints  # (G,) it without its last word, an (n-1)-gram
    suffix: Ints  # (G,) it without its first word, an (n-1)-gram
    counts: Ints  # (G,) how often it occurs; below the highest order, after how many different words


def read_text(path: Path) -> tuple[list[str], Ints]:
    """The words, `<s>`, `</s>` and `<unk>` first, and the lines as ids, each from `<s>` to `</s>`."""
    ids = {BOS: 0, EOS: 1, UNK: 2}
    with path.open("rb") as file:
        words = chain.from_iterable([BOS, *line.split(), EOS] for line in file)
        tokens = np.fromiter((ids.setdefault(word, len(ids)) for word in words), np.int64)
    return [word.decode() for word in ids], tokens


def count(tokens: Ints, num_words: int, highest: int) -> list[Order]:
    """The n-grams of each order within lines, with the counts that Kneser-Ney smoothing estimates from."""
    starts = np.flatnonzero(tokens == 0)
    place = np.arange(len(tokens)) - np.repeat(starts, np.diff(starts, append=len(tokens)))  # in its line
    root, first = np.zeros(num_words, np.int64), np.full(num_words, -1, np.int64)
    first[tokens[::-1]] = np.arange(len(tokens))[::-1]
    orders = [Order(tokens, first, root, root, np.bincount(tokens, minlength=num_words))]
    for length in range(2, highest + 1):
        shorter = orders[-1].at
        ends = np.flatnonzero(place >= length - 1)
        keys = shorter[ends - 1] * num_words + tokens[ends]
        unique, index, inverse, counts = np.unique(keys, True, True, True)
        at = np.full(len(tokens), -1, np.int64)
        at[ends] = inverse
        first = ends[index]
        orders.append(Order(at, first, unique // num_words, shorter[first], counts))
    for length, (order, longer) in enumerate(pairwise(orders), 1):
        # What begins a line has no word before it: its own count stands, as in lmplz and SRILM.
        begins = place[order.first] == length - 1
        preceded = np.bincount(longer.suffix, minlength=len(order.counts))
        order.counts = np.where(begins, order.counts, preceded)
    orders[0].counts[0] = 0  # <s> is never predicted
    return orders


def discounts(counts: Ints) -> Floats:
    """What is taken from counts of 0, 1, 2 and 3 or more (Chen and Goodman, equation 26)."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    taken = FALLBACK_DISCOUNTS
    if min(n1, n2, n3, n4) > 0:
        y = n1 / (n1 + 2 * n2)
        estimated = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        if all(0 <= d <= number for number, d in enumerate(estimated, 1)):
            taken = estimated
    return np.array([0.0, *taken])


def estimate(orders: list[Order]) -> Iterator[tuple[Floats, Floats]]:
    """For each order the probabilities of its n-grams, (G,), and the backoff weights of their contexts."""
    lower = np.full(1, 1 / (len(orders[0].counts) - 1))  # uniform, over all words but <s>
    for order in orders:
        taken = discounts(order.counts)[np.minimum(order.counts, 3)]
        totals = np.bincount(order.context, order.counts, minlength=len(lower))
        weights = np.bincount(order.context, taken, minlength=len(lower))
        with np.errstate(invalid="ignore"):
            weights = np.where(totals > 0, weights / totals, 1.0)
        share = (order.counts - taken) / totals[order.context]
        lower = share + weights[order.context] * lower[order.suffix]
        yield lower, weights


def write_arpa(path: Path, words: list[str], tokens: Ints, orders: list[Order]) -> None:
    """Log probabilities to base 10."""
    estimates = list(estimate(orders))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        file.writelines(f"ngram {n}={len(order.counts)}\n" for n, order in enumerate(orders, 1))
        for n, (order, (probabilities, _)) in enumerate(zip(orders, estimates, strict=True), 1):
            file.write(f"\n\\{n}-grams:\n")
            logs = np.log10(probabilities)
            if n == 1:
                logs[0] = -99  # <s>
                grams = np.arange(len(words))[:, None]
            else:
                grams = tokens[order.first[:, None] + np.arange(1 - n, 1)]
            backoffs = np.log10(estimates[n][1]) if n < len(orders) else np.zeros(len(logs))
            for gram, log, backoff in zip(grams.tolist(), logs.tolist(), backoffs.tolist(), strict=True):
                text = " ".join([words[word] for word in gram])
                file.write(f"{log:.7g}\t{text}\t{backoff:.7g}\n" if backoff else f"{log:.7g}\t{text}\n")
        file.write("\n\\end\\\n")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("text", type=Path, help="one sentence a line, words between spaces")
    arguments.add_argument("--order", type=int, default=5, help="words of the longest n-grams, at least 2")
    arguments.add_argument("--out", type=Path, required=True, help="the ARPA file")
    options = arguments.parse_args()
    words, tokens = read_text(options.text)
    orders: list[Order] = []
    counting = seconds(lambda: orders.extend(count(tokens, len(words), options.order)))
    writing = seconds(lambda: write_arpa(options.out, words, tokens, orders))
    print_header("n", "n-grams", "D1", "D2", "D3+")
    for n, order in enumerate(orders, 1):
        print_row([n, f"{len(order.counts):,}", *(f"{d:.3f}" for d in discounts(order.counts)[1:])])
    megabytes = options.out.stat().st_size / 1e6
    figures = {"ngrams": [len(order.counts) for order in orders], "mb": megabytes}
    write_json(options.json, {**figures, "seconds": counting + writing})


if __name__ == "__main__":
    main()
