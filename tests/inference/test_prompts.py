"""Prompts of different lengths in one batch: each read as if it were alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import VOCAB, V, make_model

from lmtrain.inference import prompts as module
from lmtrain.inference.prompts import read_prompts, rows_of

PROMPTS = [[], [0, 2, 4], [5], [0, 2, 4, 5, 6, 0, 3], [], [1, 1, 1], [6, 5, 4]]


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "concat_elman"])
@settings(max_examples=10, deadline=None)
@given(prompts=st.lists(st.lists(st.integers(0, V - 1), max_size=6), min_size=1, max_size=8))
def test_each_prompt_is_read_as_if_alone(cell: str, prompts: list[list[int]]) -> None:
    model = make_model(cell=cell)
    with torch.inference_mode():
        features, state = read_prompts(model, prompts, VOCAB.eos_id)
        for i, prompt in enumerate(prompts):
            window = torch.tensor([[VOCAB.eos_id, *prompt]]).t()
            own = model(window, model.initial_state(1))
            torch.testing.assert_close(features[i], own.features[-1, 0], rtol=1e-4, atol=1e-3)
            for ours, theirs in zip(
                sum(rows_of(state, slice(i, i + 1)), ()), sum(own.state, ()), strict=True
            ):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_long_prompts_are_read_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    sizes = []
    model.register_forward_pre_hook(lambda _, arguments: sizes.append(arguments[0].numel()))
    with torch.inference_mode():
        whole, _ = read_prompts(model, PROMPTS, VOCAB.eos_id)
        monkeypatch.setattr(module, "WINDOW_TOKENS", 7)
        sizes.clear()
        cut, _ = read_prompts(model, PROMPTS, VOCAB.eos_id)
    torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-3)
    assert sum(sizes) == sum(len(prompt) + 1 for prompt in PROMPTS)  # nothing is padded
    assert max(sizes) == 7
