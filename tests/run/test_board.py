"""What TensorBoard shows of the inside of a model: the same words each time, and only words."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support import settings

from lmtrain.config import config_from_dict
from lmtrain.run import board
from lmtrain.run.board import validation_activations
from lmtrain.run.build import build_trainer, load_corpora
from lmtrain.training.trainer import Trainer


def activations_of(corpus: Path, **changes: Any) -> tuple[Trainer, dict[str, torch.Tensor]]:
    config = config_from_dict(settings(corpus, **changes), "test")
    corpora = load_corpora(config)
    trainer = build_trainer(config, corpora, torch.device("cpu"))
    return trainer, validation_activations(trainer.model, config, corpora)


def test_the_start_of_the_text_in_stream_context(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = activations_of(corpus)
    assert {values.shape for values in whole.values()} == {(200, 7)}  # all there are
    monkeypatch.setattr(board, "_MAX_STEPS", 12)
    trainer, start = activations_of(corpus)
    assert {values.shape for values in start.values()} == {(12, 7)}
    torch.testing.assert_close(start["layers.1/cell"], whole["layers.1/cell"][:12])
    assert trainer.model.training


def test_lines_on_their_own_without_padding(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = activations_of(corpus, data__context="line")
    first_lines = (corpus / "valid.txt").read_text().splitlines()[:16]
    num_tokens = sum(len(line.split()) + 1 for line in first_lines)
    assert {values.shape for values in found.values()} == {(num_tokens, 7)}
    monkeypatch.setattr(board, "_MAX_STEPS", 1)
    _, firsts = activations_of(corpus, data__context="line")
    # All lines start from <eos> and no context.
    assert firsts["layers.0/hidden"].shape == (16, 7)
    torch.testing.assert_close(firsts["layers.0/hidden"], firsts["layers.0/hidden"][:1].expand(16, 7))


def test_none_without_a_validation_text(corpus: Path) -> None:
    assert activations_of(corpus, data__valid=None)[1] == {}
