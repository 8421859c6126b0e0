"""Whether verbs agree with their subjects, across nouns of the other number that stand between.

Sentences come from the grammar of toy-english, which knows the subject of each verb. In "the walruses near
the teapot sing" the teapot is an attractor: of the two forms, a model that minds the nearest noun takes
"sings".

Source: Linzen, Dupoux and Goldberg (2016), "Assessing the ability of LSTMs to learn syntax-sensitive
dependencies".
"""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from lmtrain.corpus.batching import IGNORED
from lmtrain.corpus.synthetic.synthetic import toy_english
from lmtrain.corpus.synthetic.toy_english import toy_english_rules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.inference.reader import Reader, ReadWindow
from lmtrain.inference.windows import WINDOW_TOKENS, HeldOutWindow
from lmtrain.model.language_model import LanguageModel
from lmtrain.report.measure.held_out import Watch, unwatched

ATTRACTORS = (0, 1, 2, 3)
_Z = 1.96


@dataclass(frozen=True)
class Item:
    """A verb in its place."""

    before: tuple[str, ...]
    """The words of the sentence up to the verb."""
    verb: str
    """In the form that agrees with its subject."""
    wrong: str
    """In the other one."""
    attractors: int
    nearest_agrees: bool
    """Whether the last noun before the verb has its number."""


@dataclass(frozen=True)
class AgreementScore:
    """How often the form that agrees was the more probable one."""

    attractors: int
    num_verbs: int
    num_right: int
    nearest_right: int
    """What always agreeing with the nearest noun would get right."""

    @property
    def accuracy(self) -> float:
        """Share of verbs; 0.5 is chance."""
        return self.num_right / self.num_verbs

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 %, Wilson's: in it, the accuracy on ever more verbs is to be expected."""
        n, p = self.num_verbs, self.accuracy
        middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
        return max(0.0, middle - half), min(1.0, middle + half)

    def to_dict(self) -> dict[str, Any]:
        """For ``report.json``."""
        return {
            **vars(self),
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "nearest_noun_accuracy": self.nearest_right / self.num_verbs,
        }


def missing_words(vocab: Vocabulary) -> list[str]:
    """The words of toy-english that a vocabulary lacks."""
    words = {word for rules in toy_english_rules().values() for rule in rules for word in rule.words}
    return sorted(word for word in words if word not in vocab)


def agreement_items(number: int, seed: int) -> list[Item]:
    """``number`` verbs for each number of attractors, from random sentences, half of the subjects plural.

    Subjects that are names are left out: they are never plural.
    """
    rng, grammar, forms = random.Random(seed), toy_english(), _other_forms()  # noqa: S311
    wanted = {(attractors, plural): number // 2 for attractors in ATTRACTORS for plural in ("sg", "pl")}
    items: list[Item] = []
    while any(wanted.values()):
        sentence = grammar.sample(rng)
        for verb in sentence.agreements:
            word, subject = sentence.words[verb.verb], sentence.words[verb.subject]
            key = (verb.attractors, verb.number)
            if not wanted.get(key) or word not in forms or subject not in _numbers():
                continue
            wanted[key] -= 1
            before = sentence.words[: verb.verb]
            nearest = next(_numbers(names=True)[w] for w in reversed(before) if w in _numbers(names=True))
            items.append(Item(before, word, forms[word], verb.attractors, nearest == verb.number))
    return items


def agreement(
    model: LanguageModel, vocab: Vocabulary, items: Sequence[Item], watch: Watch = unwatched
) -> list[AgreementScore]:
    """Compares p(agreeing form) with p(other form) after the words before, from ``<eos>`` on."""
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        by_length[len(item.before)].append(i)
    batches = [
        group[start : start + size]
        for length, group in sorted(by_length.items())
        for size in [max(1, WINDOW_TOKENS // (length + 1))]
        for start in range(0, len(group), size)
    ]
    wrong_ids = torch.tensor([vocab.id_of(item.wrong) for item in items], device=model.device)

    def ask(read: ReadWindow) -> list[bool]:
        forms = torch.stack([read.targets, wrong_ids[torch.from_numpy(read.positions)]], dim=1)  # (N, 2)
        right, wrong = model.softmax.logits(read.features).gather(1, forms).unbind(1)
        return (right > wrong).tolist()

    windows = (_window(items, batch, vocab) for batch in watch(batches, "agreement", len(batches)))
    verdicts = [
        (items[i], is_right)
        for read, are_right in Reader(model).read(windows, ask)
        for i, is_right in zip(read.positions, are_right, strict=True)
    ]
    return [_score(number, verdicts) for number in sorted({item.attractors for item in items})]


def _window(items: Sequence[Item], chosen: Sequence[int], vocab: Vocabulary) -> HeldOutWindow:
    """Some of the items, side by side; what stands before each is equally long, its verb is the target."""
    lines = [["<eos>", *items[i].before, items[i].verb] for i in chosen]
    ids = torch.tensor([[vocab.id_of(word) for word in line] for line in lines]).t()
    targets = torch.full_like(ids[1:], IGNORED)
    targets[-1] = ids[-1]
    return HeldOutWindow(ids[:-1], targets, np.array(chosen), goes_on=False)


def _score(attractors: int, verdicts: Sequence[tuple[Item, bool]]) -> AgreementScore:
    here = [(item, is_right) for item, is_right in verdicts if item.attractors == attractors]
    return AgreementScore(
        attractors,
        len(here),
        sum(is_right for _, is_right in here),
        sum(item.nearest_agrees for item, _ in here),
    )


@cache
def _classes() -> dict[str, tuple[str, ...]]:
    return {rule.word_class: rule.words for rules in toy_english_rules().values() for rule in rules}


@cache
def _other_forms() -> dict[str, str]:
    """Each verb that has two forms, with the other one; "says" has but one in toy-english."""
    forms: dict[str, str] = {}
    for name, words in _classes().items():
        plural = _classes().get(f"{name[:-2]}pl")
        if name.startswith("verb.") and name.endswith(".sg") and plural:
            forms.update(zip(words, plural, strict=True))
            forms.update(zip(plural, words, strict=True))
    return forms


@cache
def _numbers(*, names: bool = False) -> dict[str, str]:
    """``sg`` or ``pl`` of each noun; with or without names."""
    return {
        word: word_class[-2:]
        for word_class, words in _classes().items()
        if word_class.startswith("noun.") and (names or not word_class.startswith("noun.name"))
        for word in words
    }
