"""Verbs of toy-english, and whether they agree with their subjects across nouns of the other number.

Sentences come from the grammar of toy-english, which knows the subject of each verb. In "the walruses near
the teapot sing" the teapot is an attractor: of the two forms, a model that minds the nearest noun takes
"sings".

Source: Linzen, Dupoux and Goldberg (2016), "Assessing the ability of LSTMs to learn syntax-sensitive
dependencies".
"""

import random
from dataclasses import dataclass
from functools import cache

from lmtrain.corpus.suites.question import ONE_PREFIX, Pair, Place, Stretch
from lmtrain.corpus.synthetic.synthetic import toy_english
from lmtrain.corpus.synthetic.toy_english import toy_english_rules
from lmtrain.corpus.vocab import Vocabulary

ATTRACTORS = (0, 1, 2, 3)
TOY_ENGLISH = "toy-english"


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

    @property
    def pair(self) -> Pair:
        """Both forms after the words before them."""
        before = " ".join(self.before)
        nearest = "agrees" if self.nearest_agrees else "misleads"
        groups = {"attractors": str(self.attractors), "nearest noun": nearest}
        place = Place(TOY_ENGLISH, TOY_ENGLISH, groups, ONE_PREFIX)
        return Pair(Stretch.after(before, self.verb), Stretch.after(before, self.wrong), place)


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
