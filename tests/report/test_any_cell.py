"""A report on a model of a cell that nobody has thought of yet: with three tensors of state, and no gates."""

import torch
from tiny_models import VOCAB, E, H, V
from tiny_texts import random_corpus
from torch import Tensor, nn

from lmtrain.model.language_model import LanguageModel
from lmtrain.model.recurrent import RecurrentLayer, State
from lmtrain.report.measure.diagnose import Examiner, Subject
from lmtrain.report.report import Report


class Slow(RecurrentLayer):
    """Three states, each of which follows the one before more slowly; the output is the last."""

    num_states = 3

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight = nn.Parameter(torch.randn(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.randn(hidden_size, hidden_size))

    def state_weight(self) -> Tensor:
        return self.weight_hh

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        outputs = []
        for x in inputs:
            first, second, third = state
            first = torch.tanh(x @ self.weight.t() + first @ self.recurrent_weight().t())
            second = 0.5 * second + 0.5 * first
            third = 0.9 * third + 0.1 * second
            state = (first, second, third)
            outputs.append(third)
        return torch.stack(outputs), state


def test_a_report_on_a_cell_of_three_states() -> None:
    torch.manual_seed(0)
    model = LanguageModel(V, E, H, 2)
    model.layers = nn.ModuleList([Slow(E, H), Slow(H, H)])
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_()
    subject = Subject("slow", "slow 2 × 6", "run", model, VOCAB, random_corpus(120), "stream", 10)
    found = Examiner(num_positions=20, seed=1).examine(subject)
    names = [f"layer {i} {name}" for i in (1, 2) for name in ("h", "c", "state 3")]
    assert list(found.gradient_reach.parts) == names
    assert [gate.name for gate in found.saturation] == ["layer 1, unit", "layer 2, unit"]
    files = dict(Report("text.txt", "0" * 64, 20, 1, (found,)).files())
    assert files["gradient_reach.png"].startswith(b"\x89PNG")
