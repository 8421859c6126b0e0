"""Synthetic corpora: texts whose source is known, and with it the best perplexity a model can reach.

``counting`` is ``1 2 2 3 3 3 …``, cycle after cycle. ``toy-english`` comes from a grammar that knows the
exact probability of each word it emits.
"""

import difflib
import hashlib
import json
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Final

from lmtrain.corpus.synthetic.grammar import Grammar
from lmtrain.corpus.synthetic.toy_english import toy_english_rules
from lmtrain.corpus.text import TextRules
from lmtrain.errors import DataError, UsageError
from lmtrain.files.atomic import refusing_faults, writing
from lmtrain.files.compression import text_name
from lmtrain.files.text_input import read_lines, regular_file_stat

SYNTHETIC: Final[Mapping[str, str]] = {
    "counting": "1 2 2 3 3 3 … up to 9, over and over: can be learnt without error",
    "toy-english": "from a grammar that knows the probability of each word",
}

_NUM_LINES = {"train": 40_000, "valid": 4_000, "test": 4_000}  # of toy-english
_SOURCE_FILE = "source.json"
_REMAKE = "write the corpus anew with 'lmtrain data synth'"


@cache
def toy_english() -> Grammar:
    """The grammar of ``lmtrain.corpus.synthetic.toy_english``."""
    return Grammar(toy_english_rules())


def counting(n: int = 10, repeats: int = 100) -> list[str]:
    """Lines of ``1 2 2 3 3 3 …``: each integer i from 1 to n - 1, i times over, one whole cycle a line.

    Args:
        n: One more than the largest integer.
        repeats: Number of lines.
    """
    cycle = " ".join(str(i) for i in range(1, n) for _ in range(i))
    return [cycle] * repeats


def write_synthetic(name: str, out: Path, seed: int = 1) -> list[Path]:
    """Writes ``train.txt``, ``valid.txt`` and ``test.txt``, the same for the same seed on every platform.

    The three texts of ``counting`` are identical, as the task is to learn the sequence by heart. Those
    of ``toy-english`` are independent: each split draws from ``random.Random`` seeded with the SHA-256 of
    ``toy-english SEED SPLIT``. Beside its ``X.txt`` lies ``X.logprobs.txt``, line by line the natural-log
    probabilities of the tokens, ``<eos>`` included; ``source.json`` has the entropy of the source.

    Args:
        name: A key of ``SYNTHETIC``.
        out: Folder, made if missing. A file that is there already and says something else is kept.
        seed: Of ``toy-english``; ``counting`` has nothing random.

    Returns:
        The files written.

    Raises:
        UsageError: There is no such corpus, or another file stands in the way.
        StorageError: A file could not be written.
    """
    if name not in SYNTHETIC:
        raise UsageError(_unknown(name))
    texts = {split: out / f"{split}.txt" for split in _NUM_LINES}
    if name == "counting":
        return [_write_lines(path, counting()) for path in texts.values()]
    return _write_toy_english(texts, out / _SOURCE_FILE, seed)


@dataclass(frozen=True, slots=True)
class SourceLogProbs:
    """How well the source itself predicts a text.

    Attributes:
        nll_nats: Summed negative log-likelihood, in nats.
        num_tokens: The tokens summed over, one ``<eos>`` a line included.
    """

    nll_nats: float
    num_tokens: int

    @property
    def perplexity(self) -> float:
        """The perplexity no model can be expected to go below."""
        return math.exp(self.nll_nats / self.num_tokens)


def source_log_probs(text_path: Path) -> SourceLogProbs | None:
    """Reads the log-probabilities that ``write_synthetic`` left beside a text.

    Returns:
        Their sum and count; None if ``text_path`` has no such file beside it.

    Raises:
        DataError: A file cannot be read, or the two do not match line by line, token by token.
    """
    sidecar = _sidecar(text_path)
    if not sidecar.exists():
        return None
    regular_file_stat(sidecar)
    nats, num_tokens = 0.0, 0
    lines, rows = (
        (line for group in read_lines(path) for line in group.lines) for path in (text_path, sidecar)
    )
    for line_number, (line, row) in enumerate(zip_longest(lines, rows), start=1):
        log_probs = _matched(line, row, f"{sidecar}:{line_number}")
        nats -= math.fsum(log_probs)
        num_tokens += len(log_probs)
    return SourceLogProbs(nats, num_tokens)


def _unknown(name: str) -> str:
    nearest = difflib.get_close_matches(name, SYNTHETIC, n=1, cutoff=0.0)
    return f"no synthetic corpus {name!r}; did you mean {nearest[0]}? (known: {', '.join(SYNTHETIC)})"


def _write_toy_english(texts: Mapping[str, Path], source: Path, seed: int) -> list[Path]:
    written = []
    for split, path in texts.items():
        digest = hashlib.sha256(f"toy-english {seed} {split}".encode()).digest()
        rng = random.Random(int.from_bytes(digest, "big"))  # noqa: S311  (no secret: a corpus)
        sentences = [toy_english().sample(rng) for _ in range(_NUM_LINES[split])]
        rows = (" ".join(f"{x:z.6f}" for x in sentence.log_probs) for sentence in sentences)
        written.append(_write_lines(path, (" ".join(sentence.words) for sentence in sentences)))
        written.append(_write_lines(_sidecar(path), rows))
    entropy = toy_english().entropy()
    facts = {
        "name": "toy-english",
        "seed": seed,
        "entropy_nats_per_token": round(entropy, 9),
        "perplexity": round(math.exp(entropy), 9),
        "expected_sentence_length": round(toy_english().expected_length(), 9),
        "lines": _NUM_LINES,
        "generator": f"lmtrain data synth toy-english --seed {seed}",
    }
    return [*written, _write_lines(source, [json.dumps(facts, indent=2)])]


def _write_lines(path: Path, lines: Iterable[str]) -> Path:
    data = "".join(f"{line}\n" for line in lines).encode()
    with refusing_faults(path, advice="choose another folder with --out"):
        if path.exists():
            if path.read_bytes() != data:
                raise UsageError(
                    f"{path}: is another file, and nothing is overwritten; choose another folder"
                )
            return path
        with writing(path) as file:
            file.write(data)
    return path


def _sidecar(text_path: Path) -> Path:
    return text_path.with_name(text_name(text_path)).with_suffix(".logprobs.txt")


def _matched(line: str | None, row: str | None, where: str) -> list[float]:
    if line is None or row is None:
        which = "the text" if line is None else "the file of its log-probabilities"
        raise DataError(f"{where}: {which} ends here, the other goes on; {_REMAKE}")
    try:
        log_probs = [float(field) for field in row.split()]
    except ValueError as error:
        raise DataError(f"{where}: {str(error)[:80]}; {_REMAKE}") from error
    if not all(-math.inf < x <= 0.0 for x in log_probs):
        raise DataError(f"{where}: a log-probability is finite and at most 0; {_REMAKE}")
    if len(log_probs) != (num_tokens := len(TextRules().split(line)) + 1):
        raise DataError(f"{where}: {len(log_probs)} numbers for {num_tokens} tokens; {_REMAKE}")
    return log_probs
