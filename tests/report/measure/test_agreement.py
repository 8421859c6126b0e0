"""Agreement: the questions are of the grammar, and models that always or never agree are told apart."""

import pytest
import torch
from torch import Tensor, nn

from lmtrain.corpus.synthetic.synthetic import toy_english
from lmtrain.corpus.synthetic.toy_english import toy_english_rules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.errors import DataError
from lmtrain.model.language_model import LanguageModel
from lmtrain.report.measure.agreement import (
    ATTRACTORS,
    AgreementScore,
    Item,
    agreement,
    agreement_items,
    missing_words,
)

WORDS = sorted({word for rules in toy_english_rules().values() for rule in rules for word in rule.words})
VOCAB = Vocabulary((*(word for word in WORDS if word != "<eos>"), "<eos>", "<unk>"))
EACH = 20


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return agreement_items(EACH, seed=1)


def test_the_items_are_of_the_grammar(items: list[Item]) -> None:
    grammar = toy_english()
    for item in items:
        *before, verb = (*item.before, item.verb)
        for word, is_possible in ((verb, True), (item.wrong, False)):
            with pytest.raises(DataError) as refusal:  # of "<no word>", or already of the wrong form
                grammar.parse([*before, word, "<no word>"])
            assert ("<no word>'" in str(refusal.value).split(":")[0]) == is_possible
    counts = [sum(item.attractors == number for item in items) for number in ATTRACTORS]
    assert counts == [EACH] * len(ATTRACTORS)
    assert all(item.nearest_agrees for item in items if item.attractors == 0)
    assert not all(item.nearest_agrees for item in items if item.attractors == 1)


def test_the_same_seed_gives_the_same_items(items: list[Item]) -> None:
    assert agreement_items(EACH, seed=1) == items != agreement_items(EACH, seed=2)


class _Known(nn.Module):
    """Logits by the number of words before and the id of the last of them: enough to look an item up."""

    def __init__(self, model: LanguageModel, items: list[Item], sign: float) -> None:
        super().__init__()
        self.sign = sign
        self.right = {item.verb for item in items}

    def logits(self, features: Tensor) -> Tensor:
        scores = torch.zeros(len(features), len(VOCAB))
        for word in self.right:
            scores[:, VOCAB.id_of(word)] = self.sign
        return scores


@pytest.mark.parametrize(("sign", "right"), [(1.0, EACH), (-1.0, 0)])
def test_a_model_that_always_or_never_agrees(items: list[Item], sign: float, right: int) -> None:
    plural = [item for item in items if not item.verb.endswith("s")]  # all of one form
    model = LanguageModel(len(VOCAB), 2, 2, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.softmax = _Known(model, plural, sign)  # type: ignore[assignment]
    scores = agreement(model, VOCAB, plural)
    assert [score.num_right for score in scores] == [s.num_verbs if right else 0 for s in scores]
    assert sum(score.num_verbs for score in scores) == len(plural) > 0


def test_an_undecided_model_agrees_never(items: list[Item]) -> None:
    model = LanguageModel(len(VOCAB), 2, 2, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert [score.num_right for score in agreement(model, VOCAB, items)] == [0] * len(ATTRACTORS)


def test_wilsons_interval() -> None:
    low, high = AgreementScore(1, 100, 50, 0).interval
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    low, high = AgreementScore(1, 10, 10, 0).interval
    assert low == pytest.approx(0.7225, abs=1e-3)
    assert high == 1.0


def test_missing_words() -> None:
    assert missing_words(VOCAB) == []
    assert "walruses" in missing_words(Vocabulary(("the", "<eos>", "<unk>")))
