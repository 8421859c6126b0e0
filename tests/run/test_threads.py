"""How many threads a run computes with, and goes on with."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Silent, run, settings

from lmtrain.config import config_from_dict
from lmtrain.machine import threads
from lmtrain.machine.place import Place
from lmtrain.run.build import threads_of

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _as_many_as_before() -> Iterator[None]:
    before = threads.available_threads(), torch.get_num_threads()
    yield
    torch.set_num_threads(before[1])


def number_of(corpus: Path, vocab_size: int = 10_000, **changes: Any) -> int:
    return threads_of(config_from_dict(settings(corpus, **changes), "test"), vocab_size, CPU, Place())


def test_large_models_get_more_of_them(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available_threads", lambda: 4)
    large = {"model__hidden_size": 650, "train__batch_size": 20, "train__bptt_len": 35}
    assert number_of(corpus) == 1
    assert number_of(corpus, **large) == 4
    assert number_of(corpus, 10**6, model__softmax="sampled", model__sampled={"num_samples": 9}) == 1
    assert number_of(corpus, train__threads=3) == 3
    config = config_from_dict(settings(corpus), "test")
    assert threads_of(config, 10_000, torch.device("cuda"), Place()) == 4


@pytest.mark.parametrize(
    ("first", "then", "number", "note"),
    [
        (2, None, 2, ["threads: 2, as the run had"]),
        (None, None, 1, []),
        (2, 3, 3, ["made with 2 threads, this one has 3"]),
    ],
)
def test_a_run_goes_on_with_as_many_as_it_had(
    first: int | None, then: int | None, number: int, note: list[str], corpus: Path, tmp_path: Path
) -> None:
    run(settings(corpus, train__max_steps=4, train__threads=first), tmp_path)
    observer = Silent()
    torch.set_num_threads(1)
    run(settings(corpus, train__max_steps=6, train__threads=then), tmp_path, observer)
    assert torch.get_num_threads() == number
    for said, expected in zip(observer.notes, note, strict=True):
        assert expected in said
    about = json.loads((tmp_path / "snapshots" / "step-00000006" / "snapshot.json").read_text())
    assert about["provenance"]["environment"]["threads"] == number
