"""Synthetic corpora: texts whose source is known, and with it the best perplexity a model can reach.

``counting`` is ``1 2 2 3 3 3 …``, cycle after cycle. ``toy-english`` comes from a *simple* grammar in the
sense of Korenjak and Hopcroft (1966): every step emits one word, and the word alone tells which choice
was taken. A sentence thus has one derivation, found from left to right, and the probability of a word
given all words before it is exactly that of its choice; there are no hidden alternatives to sum over.
"""

import difflib
import hashlib
import json
import math
import os
import random
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from graphlib import TopologicalSorter
from itertools import accumulate, zip_longest
from pathlib import Path
from typing import Final

from lmtrain.corpus.toy_english import Rule, toy_english_rules
from lmtrain.errors import DataError, StorageError, UsageError

SYNTHETIC: Final[Mapping[str, str]] = {
    "counting": "1 2 2 3 3 3 … up to 9, over and over: a sequence that can be learnt without error",
    "toy-english": "whimsical sentences from a grammar that knows the probability of each word",
}

_NUM_LINES = {"train": 40_000, "valid": 4_000, "test": 4_000}  # of toy-english
_SOURCE_FILE = "source.json"
_REMAKE = "write the corpus anew with 'lmtrain data synth'"
_START = "Sentence"
_END = "'<eos>'"
_ZIPF = 60  # the word of rank r = 0, 1, … has weight 60 // (r + 2) in its class: 30, 20, 15, 12, …


@dataclass(frozen=True, slots=True)
class Agreement:
    """A verb and the subject that decides its form.

    Attributes:
        verb: Index of the verb in the sentence.
        subject: Index of its subject, a noun.
        number: ``sg`` or ``pl``, of both.
        attractors: How many nouns of the other number stand between the two.
    """

    verb: int
    subject: int
    number: str
    attractors: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and what its source knows about it.

    Attributes:
        words: The words, without ``<eos>``.
        log_probs: Natural-log probability of each word given all before it, and at last of ``<eos>``.
        agreements: The verbs, from left to right.
    """

    words: tuple[str, ...]
    log_probs: tuple[float, ...]
    agreements: tuple[Agreement, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One word a state may emit.

    Attributes:
        word: The word.
        word_class: Its class in the grammar, such as ``noun.being.sg``.
        weight: Integer; the word's probability is ``weight`` over the state's ``total``.
        log_prob: Natural log of that.
        then: The states that it puts on the stack, the first on top.
    """

    word: str
    word_class: str
    weight: int
    log_prob: float
    then: tuple[str, ...]


class State:
    """A distribution over the next word.

    Attributes:
        choices: By word.
        total: Sum of their weights.
    """

    def __init__(self, choices: Iterable[Choice]) -> None:
        self._ordered = tuple(choices)
        self._cumulative = list(accumulate(choice.weight for choice in self._ordered))
        self.choices = {choice.word: choice for choice in self._ordered}
        self.total = self._cumulative[-1]

    def draw(self, rng: random.Random) -> Choice:
        """A choice with probability exactly ``weight / total``: rejection in integers, no floats."""
        num_bits = self.total.bit_length()
        while (point := rng.getrandbits(num_bits)) >= self.total:
            pass
        return self._ordered[bisect(self._cumulative, point)]

    def entropy(self) -> float:
        """Entropy of one draw, in nats."""
        return -math.fsum(c.weight * c.log_prob for c in self._ordered) / self.total


class Grammar:
    """A stack automaton that emits a sentence word by word, each word revealing the step it took.

    Args:
        rules: The choices of each state. A sentence starts in ``Sentence``, and ``<eos>`` follows it.

    Attributes:
        states: By name.

    Raises:
        ValueError: A state emits the same word by two choices.
    """

    def __init__(self, rules: Mapping[str, Sequence[Rule]]) -> None:
        ended = {**rules, _END: [Rule(1, _END, ("<eos>",))]}
        self.states = {name: _state(name, choices) for name, choices in ended.items()}

    def sample(self, rng: random.Random) -> Sentence:
        """A random sentence."""
        return self._walk(lambda state: state.draw(rng))

    def parse(self, words: Sequence[str]) -> Sentence:
        """The one derivation of ``words``, which do not include ``<eos>``.

        Raises:
            DataError: The words are no sentence of this language.
        """
        if "<eos>" in words:
            raise DataError("<eos> is implied at the end of a sentence: leave it out")
        rest = enumerate([*words, "<eos>"], start=1)

        def look_up(state: State) -> Choice:
            position, word = next(rest)
            if word not in state.choices:
                raise DataError(f"word {position}, {word!r}: not possible in {' '.join(words)!r}")
            return state.choices[word]

        return self._walk(look_up)

    def _walk(self, choose: Callable[[State], Choice]) -> Sentence:
        # Each state on the stack remembers the subject it was put there for: a noun leaves its own
        # index with what it leaves to be said, and every other word hands on the index it was given.
        stack = [(_END, -1), (_START, -1)]
        words: list[str] = []
        log_probs: list[float] = []
        nouns: list[tuple[int, str]] = []
        agreements: list[Agreement] = []
        while stack:
            name, subject = stack.pop()
            choice = choose(self.states[name])
            here, number = len(words), choice.word_class[-2:]  # sg or pl for nouns and verbs
            if choice.word_class.startswith("noun."):
                subject = here
                nouns.append((here, number))
            elif choice.word_class.startswith("verb."):
                attractors = sum(1 for i, other in nouns if i > subject and other != number)
                agreements.append(Agreement(here, subject, number, attractors))
            stack.extend((state, subject) for state in reversed(choice.then))
            words.append(choice.word)
            log_probs.append(choice.log_prob)
        return Sentence(tuple(words[:-1]), tuple(log_probs), tuple(agreements))

    def expected_visits(self) -> dict[str, Fraction]:
        """How often each state is visited in a sentence, on average: exact, not sampled.

        Raises:
            graphlib.CycleError: States call each other in a circle (one that calls itself may).
        """
        calls = {name: _expected_calls(state) for name, state in self.states.items()}
        callers: dict[str, set[str]] = {name: set() for name in self.states}
        for name, called in calls.items():
            for other in called.keys() - {name}:
                callers[other].add(name)
        visits = dict.fromkeys(self.states, Fraction(0)) | {_START: Fraction(1), _END: Fraction(1)}
        for name in TopologicalSorter(callers).static_order():
            visits[name] /= 1 - calls[name].pop(name, Fraction(0))  # a geometric series of returns
            for other, times in calls[name].items():
                visits[other] += visits[name] * times
        return visits

    def expected_length(self) -> float:
        """Expected tokens of a sentence, ``<eos>`` included: one a visit."""
        return float(sum(self.expected_visits().values()))

    def entropy(self) -> float:
        """Entropy of the source in nats per token, ``<eos>`` included: what no model can go below."""
        visits = self.expected_visits()
        per_sentence = math.fsum(float(visits[n]) * s.entropy() for n, s in self.states.items())
        return per_sentence / float(sum(visits.values()))


@cache
def toy_english() -> Grammar:
    """The grammar of ``lmtrain.corpus.toy_english``."""
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
        out: Folder, made if missing; files of the same names are replaced, each at one stroke.
        seed: Of ``toy-english``; ``counting`` has nothing random.

    Returns:
        The files written.

    Raises:
        UsageError: There is no such corpus.
        StorageError: A file could not be written.
    """
    if name not in SYNTHETIC:
        raise UsageError(_unknown(name))
    texts = {split: out / f"{split}.txt" for split in _NUM_LINES}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for stale in (*map(_sidecar, texts.values()), out / _SOURCE_FILE):
            stale.unlink(missing_ok=True)  # numbers must never lie beside a text they are not about
        if name == "counting":
            return [_write_lines(path, counting()) for path in texts.values()]
        return _write_toy_english(texts, out / _SOURCE_FILE, seed)
    except OSError as error:
        where = error.filename or out
        hint = "choose another folder with --out"
        raise StorageError(f"cannot write {where}: {error.strerror}; {hint}") from error


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
    nats, num_tokens = 0.0, 0
    try:
        # In bytes: so lines and words are those of the corpus, cut at ASCII whitespace alone.
        with text_path.open("rb") as text, sidecar.open("rb") as numbers:
            for line_number, (line, row) in enumerate(zip_longest(text, numbers), start=1):
                log_probs = _matched(line, row, f"{sidecar}:{line_number}")
                nats -= math.fsum(log_probs)
                num_tokens += len(log_probs)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error
    if not num_tokens:
        raise DataError(f"{text_path}: empty; {_REMAKE}")
    return SourceLogProbs(nats, num_tokens)


def _state(name: str, rules: Sequence[Rule]) -> State:
    weights = [[_ZIPF // (rank + 2) for rank in range(len(rule.words))] for rule in rules]
    scale = math.lcm(*map(sum, weights))  # so that a rule's words have its share between them
    total = scale * sum(rule.share for rule in rules)
    choices: dict[str, Choice] = {}
    for rule, class_weights in zip(rules, weights, strict=True):
        unit = rule.share * (scale // sum(class_weights))
        for word, class_weight in zip(rule.words, class_weights, strict=True):
            if word in choices:
                raise ValueError(f"state {name}: {word!r} does not tell which choice was taken")
            weight = unit * class_weight
            log_prob = math.log(weight / total)
            choices[word] = Choice(word, rule.word_class, weight, log_prob, rule.then)
    return State(choices.values())


def _expected_calls(state: State) -> dict[str, Fraction]:
    calls: dict[str, Fraction] = {}
    for choice in state.choices.values():
        for name in choice.then:
            calls[name] = calls.get(name, Fraction(0)) + Fraction(choice.weight, state.total)
    return calls


def _unknown(name: str) -> str:
    nearest = difflib.get_close_matches(name, SYNTHETIC, n=1, cutoff=0.0)
    return f"no synthetic corpus {name!r}; did you mean {nearest[0]}? (known: {', '.join(SYNTHETIC)})"


def _write_toy_english(texts: Mapping[str, Path], source: Path, seed: int) -> list[Path]:
    written = []
    for split, path in texts.items():
        digest = hashlib.sha256(f"toy-english {seed} {split}".encode()).digest()
        rng = random.Random(int.from_bytes(digest, "big"))  # noqa: S311  (no secret: a corpus)
        sentences = [toy_english().sample(rng) for _ in range(_NUM_LINES[split])]
        rows = (" ".join(f"{x:.6f}" for x in sentence.log_probs) for sentence in sentences)
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
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
        return partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _sidecar(text_path: Path) -> Path:
    return text_path.with_suffix(".logprobs.txt")


def _matched(line: bytes | None, row: bytes | None, where: str) -> list[float]:
    if line is None or row is None:
        which = "the text" if line is None else "the file of its log-probabilities"
        raise DataError(f"{where}: {which} ends here, the other goes on; {_REMAKE}")
    try:
        log_probs = [float(field) for field in row.split()]
    except ValueError as error:
        raise DataError(f"{where}: {error}; {_REMAKE}") from error
    if not all(-math.inf < x <= 0.0 for x in log_probs):
        raise DataError(f"{where}: a log-probability is finite and at most 0; {_REMAKE}")
    if len(log_probs) != (num_tokens := len(line.split()) + 1):
        raise DataError(f"{where}: {len(log_probs)} numbers for {num_tokens} tokens; {_REMAKE}")
    return log_probs
