"""Grammars that know the probability of each word they emit, and so their own entropy.

They are *simple* in the sense of Korenjak and Hopcroft (1966): every step emits one word, and the word
alone tells which choice was taken. A sentence thus has one derivation, found from left to right, and the
probability of a word given all words before it is exactly that of its choice; there are no hidden
alternatives to sum over.
"""

import math
import random
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from graphlib import TopologicalSorter
from itertools import accumulate

from lmtrain.corpus.synthetic.toy_english import Rule
from lmtrain.errors import DataError

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
