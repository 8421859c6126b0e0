from lmtrain.corpus.mending import mending_rules
from lmtrain.corpus.text import TextRules
from lmtrain.corpus.vocab import Vocabulary

PTB = Vocabulary(("<unk>", "<eos>", "the", "dog", "'s", "do", "n't", "go", "N", "people"))


PLAIN = TextRules()


def found(line: str, rules: TextRules = PLAIN, vocab: Vocabulary = PTB) -> TextRules | None:
    better = mending_rules([line], rules, vocab)
    return better and better[0]


def test_the_rules_that_mend_most_by_changing_least() -> None:
    assert found("The dog") == TextRules(lowercase=True)
    assert found("the dog's") == TextRules(penn=True)
    assert found("Don't go, the dog's 1,000 people.") == TextRules(lowercase=True, penn=True, numbers="N")
    assert found("the 12 people") == TextRules(numbers="N")
    assert found("the 12 people", vocab=Vocabulary(("<unk>", "<eos>", "the", "people"))) is None
    assert found("the dog") is None
    assert found("the unicorn") is None
    assert found("the dog ,") is None  # no rules make punctuation known
    assert found("the people", TextRules(penn=True)) is None
    assert found("the unicorn rests " * 10 + "The dog") is None  # all but one of 21 stay unknown
