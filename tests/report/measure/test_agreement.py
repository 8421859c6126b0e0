"""Agreement: models that always or never agree are told apart."""

import pytest
import torch

from lmtrain.corpus.synthetic.agreement import ATTRACTORS, Item, agreement_items
from lmtrain.corpus.synthetic.toy_english import toy_english_rules
from lmtrain.corpus.vocab import Vocabulary
from lmtrain.model.language_model import LanguageModel
from lmtrain.report.measure.agreement import AgreementScore, agreement

WORDS = sorted({word for rules in toy_english_rules().values() for rule in rules for word in rule.words})
VOCAB = Vocabulary((*(word for word in WORDS if word != "<eos>"), "<eos>", "<unk>"))
EACH = 20


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return agreement_items(EACH, seed=1)


def model_with(bias: dict[str, float]) -> LanguageModel:
    """Logits are 0 but for some words, whatever was read."""
    model = LanguageModel(len(VOCAB), 2, 2, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for word, logit in bias.items():
            model.softmax.bias[VOCAB.id_of(word)] = logit
    return model


@pytest.mark.parametrize(("sign", "is_right"), [(1.0, True), (-1.0, False)])
def test_a_model_that_always_or_never_agrees(items: list[Item], sign: float, is_right: bool) -> None:
    plural = [item for item in items if not item.verb.endswith("s")]  # all of one form
    scores = agreement(model_with({item.verb: sign for item in plural}), VOCAB, plural)
    assert [score.num_right for score in scores] == [s.num_verbs if is_right else 0 for s in scores]
    assert sum(score.num_verbs for score in scores) == len(plural) > 0


def test_an_undecided_model_agrees_never(items: list[Item]) -> None:
    assert [score.num_right for score in agreement(model_with({}), VOCAB, items)] == [0] * len(ATTRACTORS)


def test_what_agreeing_with_the_nearest_noun_would_get_right(items: list[Item]) -> None:
    scores = agreement(model_with({}), VOCAB, items)
    assert scores[0].nearest_right == EACH
    assert scores[1].nearest_right == sum(i.nearest_agrees for i in items if i.attractors == 1) < EACH
    assert AgreementScore(1, 100, 50, 0).interval == pytest.approx((0.4038, 0.5962), abs=1e-4)
