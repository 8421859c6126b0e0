"""Grammars whose entropy is known by hand."""

import math
from graphlib import CycleError

import pytest

from lmtrain.corpus.synthetic.grammar import Grammar
from lmtrain.corpus.synthetic.toy_english import Rule


def test_entropy_of_a_coin_thrown_until_heads() -> None:
    coin = Grammar({"Sentence": [Rule(1, "tails", ("t",), ("Sentence",)), Rule(1, "heads", ("h",))]})
    assert coin.expected_visits() == {"Sentence": 2, "'<eos>'": 1}
    assert coin.expected_length() == 3.0
    assert coin.entropy() == pytest.approx(2 * math.log(2) / 3, rel=1e-15)


def test_entropy_counts_a_state_as_often_as_it_is_called() -> None:
    grammar = Grammar(
        {
            "Sentence": [Rule(3, "x", ("go",), ("Pair", "Pair")), Rule(1, "y", ("stop",))],
            "Pair": [Rule(1, "z", ("left", "right"))],  # Zipf: 30 to 20
        }
    )
    first = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    pair = -0.6 * math.log(0.6) - 0.4 * math.log(0.4)
    assert grammar.expected_length() == 1 + 1.5 + 1
    assert grammar.entropy() == pytest.approx((first + 1.5 * pair) / 3.5, rel=1e-15)
    log_probs = grammar.parse(["go", "left", "right"]).log_probs
    assert log_probs == pytest.approx([math.log(0.75), math.log(0.6), math.log(0.4), 0.0])


def test_a_word_that_does_not_reveal_its_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="'x' does not tell"):
        Grammar({"Sentence": [Rule(1, "one", ("x", "y")), Rule(1, "two", ("x",), ("Sentence",))]})


def test_states_that_call_each_other_have_no_expected_length_here() -> None:
    ping, pong = [Rule(1, "a", ("a",), ("Pong",))], [Rule(1, "b", ("b",), ("Sentence",))]
    with pytest.raises(CycleError):
        Grammar({"Sentence": ping, "Pong": pong}).expected_length()
