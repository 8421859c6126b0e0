import math
import random
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtrain.corpus.synthetic.grammar import Agreement, Sentence
from lmtrain.corpus.synthetic.synthetic import toy_english
from lmtrain.corpus.synthetic.toy_english import Rule, toy_english_rules
from lmtrain.errors import DataError

RULES = toy_english_rules()
CLASSES = {rule.word_class: rule.words for rules in RULES.values() for rule in rules}


def sentences(count: int, seed: int = 0) -> list[Sentence]:
    rng = random.Random(seed)
    return [toy_english().sample(rng) for _ in range(count)]


def test_words_of_a_state_tell_its_choices_apart_and_their_probabilities_sum_to_one() -> None:
    for name, rules in RULES.items():
        words = [word for rule in rules for word in rule.words]
        assert len(words) == len(set(words)), name
        state = toy_english().states[name]
        assert state.choices.keys() == set(words)
        assert all(choice.weight > 0 for choice in state.choices.values())
        assert sum(Fraction(c.weight, state.total) for c in state.choices.values()) == 1


def test_a_rule_has_its_share_of_the_state_and_its_words_follow_zipf() -> None:
    for name, rules in RULES.items():
        state = toy_english().states[name]
        total_share = sum(rule.share for rule in rules)
        for rule in rules:
            weights = [state.choices[word].weight for word in rule.words]
            assert Fraction(sum(weights), state.total) == Fraction(rule.share, total_share)
            assert weights == sorted(weights, reverse=True)


def test_every_state_is_reachable_and_none_returns_but_to_itself() -> None:
    visits = toy_english().expected_visits()  # raises CycleError otherwise
    assert visits.keys() == RULES.keys() | {"'<eos>'"}
    assert all(times > 0 for times in visits.values())
    assert visits["Sentence"] == visits["Close"] == visits["'<eos>'"] == 1


def test_a_state_returns_to_itself_only_in_last_place_so_the_stack_does_not_grow() -> None:
    for name, rules in RULES.items():
        assert all(name not in rule.then[:-1] for rule in rules)


Stacks = dict[tuple[str, ...], Fraction]


def live_stacks(words: tuple[str, ...]) -> list[Stacks]:
    """Every stack the rules allow after each word, with its joint probability: nothing is assumed."""
    stacks: Stacks = {("Sentence",): Fraction(1)}
    history = [stacks]
    for word in words:
        after: Stacks = {}
        for (top, *below), probability in (item for item in stacks.items() if item[0]):
            shares = sum(rule.share for rule in RULES[top])
            for rule in RULES[top]:
                if word in rule.words:
                    stack = (*rule.then, *below)
                    chance = Fraction(rule.share, shares) * in_class(word, rule)
                    after[stack] = after.get(stack, Fraction(0)) + probability * chance
        stacks = after
        history.append(stacks)
    return history


def in_class(word: str, rule: Rule) -> Fraction:
    weights = [60 // (rank + 2) for rank in range(len(rule.words))]
    return Fraction(weights[rule.words.index(word)], sum(weights))


def test_only_one_stack_is_ever_possible_and_gives_the_log_probabilities() -> None:
    for sentence in sentences(300):
        history = live_stacks(sentence.words)
        assert [len(stacks) for stacks in history] == [1] * len(history)
        assert history[-1].keys() == {()}
        joint = [next(iter(stacks.values())) for stacks in history]
        chances = [float(after / before) for before, after in pairwise(joint)]
        expected = [pytest.approx(chance, rel=1e-12) for chance in [*chances, 1.0]]
        assert [math.exp(x) for x in sentence.log_probs] == expected


def test_parse_recovers_what_the_generator_knew() -> None:
    for sentence in sentences(5000):
        assert toy_english().parse(sentence.words) == sentence


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the walrus",
        "the walrus sings",
        "the walrus sing .",
        "the walrus sings . .",
        "the walrus that sings .",
        "the elephant sings .",
        "two walruses near the teapot wobbles .",
        "agatha says that barnaby says that two teapots gleam .",
    ],
)
def test_parse_refuses_what_is_not_the_language(text: str) -> None:
    with pytest.raises(DataError, match="not possible"):
        toy_english().parse(text.split())


def test_parse_wants_no_eos() -> None:
    with pytest.raises(DataError, match="<eos> is implied"):
        toy_english().parse(["the", "walrus", "sings", ".", "<eos>"])


@pytest.mark.parametrize(
    ("text", "agreements"),
    [
        ("the walrus sings .", [Agreement(2, 1, "sg", 0)]),
        ("the walrus near two teapots sings .", [Agreement(5, 1, "sg", 1)]),
        ("two hats with agatha near the hat gleam .", [Agreement(7, 1, "pl", 2)]),
        (
            "the walrus that two geese near the hat chase under our cacti is damp .",
            [Agreement(8, 4, "pl", 1), Agreement(12, 1, "sg", 2)],
        ),
        (
            "the hat that agatha paints is damp and two hats gleam .",
            [Agreement(4, 3, "sg", 0), Agreement(5, 1, "sg", 0), Agreement(10, 9, "pl", 0)],
        ),
        (
            "agatha suspects that two teapots leak .",
            [Agreement(1, 0, "sg", 0), Agreement(5, 4, "pl", 0)],
        ),
    ],
)
def test_agreements_by_hand(text: str, agreements: list[Agreement]) -> None:
    assert toy_english().parse(text.split()).agreements == tuple(agreements)


def other_form(word: str, number: str) -> str:
    """The verb in the other number."""
    other = "pl" if number == "sg" else "sg"
    for name, words in CLASSES.items():
        if word in words and (swapped := name.removesuffix(number) + other) in CLASSES:
            return CLASSES[swapped][words.index(word)]
    return ""  # verbs of saying have one form


@settings(deadline=None)
@given(st.integers(min_value=0))
def test_a_verb_in_the_wrong_number_is_no_sentence(seed: int) -> None:
    sentence = toy_english().sample(random.Random(seed))
    assert sentence.agreements
    for agreement in sentence.agreements:
        words = list(sentence.words)
        words[agreement.verb] = other_form(words[agreement.verb], agreement.number)
        with pytest.raises(DataError, match=f"word {agreement.verb + 1}, "):
            toy_english().parse(words)


def test_attractors_from_none_to_three_occur() -> None:
    counts = [a.attractors for sentence in sentences(4000) for a in sentence.agreements]
    shares = [counts.count(attractors) / len(counts) for attractors in range(4)]
    assert min(shares) > 0.005
    assert shares == sorted(shares, reverse=True)


def test_the_lexicon_has_a_few_hundred_words_each_in_one_class() -> None:
    words = [word for members in CLASSES.values() for word in members]
    assert len(words) == len(set(words))
    assert 200 <= len(words) <= 350
    assert all(word == word.lower() for word in words)


def test_nothing_that_may_follow_a_starts_with_a_vowel() -> None:
    after_a = {w for name in ("adj", "noun.being.sg", "noun.thing.sg") for w in CLASSES[name]}
    assert not [word for word in after_a if word[0] in "aeiou"]
