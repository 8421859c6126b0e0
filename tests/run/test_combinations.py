"""All pairs of options: two steps each, or a refusal that says why."""

import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pairs import Case, all_pairs
from support import make_corpus, settings

from lmtrain.config import Config, config_from_dict
from lmtrain.config import options as schema
from lmtrain.config.validation import validate
from lmtrain.errors import ConfigError
from lmtrain.run import build
from lmtrain.run.build import build_trainer, load_corpora, load_pretrained


def names(section: type[schema.Options], key: str) -> tuple[Any, ...]:
    return get_args(section.model_fields[key].annotation)


def sections(union: Any) -> list[dict[str, Any]]:
    """The least that each section of a union takes."""
    found = []
    for section in get_args(get_args(union)[0]):
        required = {key: f.examples[0] for key, f in section.model_fields.items() if f.is_required()}
        found.append({"name": section.model_fields["name"].default, **required})
    return found


VECTORS = Path("vectors.txt")
OPTIONS: dict[str, list[Any]] = {
    "model__cell": sorted(names(schema.ModelOptions, "cell"), key=lambda cell: cell != "lstm"),
    "model__activation": ["tanh", "relu"],
    "model__softmax": list(names(schema.ModelOptions, "softmax")),
    "model__sampled": [{"num_samples": 5}, {"num_samples": 5, "distribution": "unigram"}],
    "model__tie_weights": [False, True],
    "model__pretrained_embedding": [None, str(VECTORS)],
    "model__freeze_embedding": [False, True],
    "model__embedding_activation": list(names(schema.ModelOptions, "embedding_activation")),
    "model__num_layers": [2, 1],
    "model__last_hidden_size": [None, 5],
    "model__skip_connections": [False, True],
    "model__dropout": [
        {},
        {"input": 0.3, "output": 0.3},
        {"layers": 0.3},
        {"words": 0.2, "recurrent": 0.3, "output": 0.3, "locked": True},
    ],
    "model__init": list(names(schema.ModelOptions, "init")),
    "model__recurrent_init": list(names(schema.ModelOptions, "recurrent_init")),
    "model__forget_gate_bias": [None, 1.0],
    "train__precision": list(names(schema.TrainOptions, "precision")),
    "train__optimizer": [*sections(schema.Optimizer), {"name": "sgd", "momentum": 0.9, "nesterov": True}],
    "train__schedule": sections(schema.Schedule),
    "train__loss_reduction": list(names(schema.TrainOptions, "loss_reduction")),
    "train__max_grad_norm": [5.0, None],
    "train__random_bptt": [False, True],
    "train__partial_shuffle": [False, True],
    "train__activation_regularization": [0.0, 2.0],
    "train__temporal_regularization": [0.0, 1.0],
    "train__averaging": sections(schema.Averaging),
    "data__context": list(names(schema.DataOptions, "context")),
    "_small_embedding": [1 << 60, 0],  # dense gradients, or sparse ones where they can be
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_corpus(tmp_path_factory.mktemp("corpus"))
    rows = [" ".join([f"w{i}", *(f"{(i * j) % 5 / 10}" for j in range(1, 8))]) for i in range(17)]
    (folder / VECTORS).write_text("\n".join(rows) + "\n")
    return folder


def values_of(case: Case, corpus: Path) -> dict[str, Any]:
    chosen = {name: OPTIONS[name][number] for name, number in case.items() if not name.startswith("_")}
    if chosen["model__pretrained_embedding"]:
        chosen["model__pretrained_embedding"] = str(corpus / VECTORS)
    if chosen["model__softmax"] == "mixture":  # which alone has latent vectors
        chosen["model__dropout"] = {**chosen["model__dropout"], "latent": 0.3}
    return settings(corpus, **chosen, model__embedding_dim=7)


def take_steps(config: Config) -> None:
    """Two of them; what is to be trained changes, what is frozen does not."""
    corpora = load_corpora(config)
    trainer = build_trainer(config, corpora, torch.device("cpu"))
    load_pretrained(config, corpora, trainer.model)
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    for _ in range(2):
        trainer.step()
    figures = trainer.meter.read(trainer.optimizer.lr)
    assert math.isfinite(figures.loss)
    assert figures.grad_norm > 0
    trainer.check_weights()
    weights = dict(trainer.model.named_parameters())
    changed = {name for name, weight in weights.items() if not torch.equal(weight, before[name])}
    assert ("embedding.weight" in changed) != config.model.freeze_embedding
    assert len(changed) > len(weights) / 2  # a gradient may be too small to change a weight


def test_every_pair_of_options_is_trained_or_refused(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def holds(case: Case) -> bool:
        config, faults = validate(values_of(case, corpus))
        return config is not None and not faults

    cases, refused = all_pairs(OPTIONS, holds)
    for case in cases:
        values = values_of(case, corpus)
        monkeypatch.setattr(build, "_SMALL_EMBEDDING", OPTIONS["_small_embedding"][case["_small_embedding"]])
        try:
            take_steps(config_from_dict(values, "test"))
        except Exception as error:
            error.add_note(f"{values['model']} {values['train']} {case['_small_embedding']}")
            raise
    default = dict.fromkeys(OPTIONS, 0)
    for pair in refused:
        keys = [name.replace("__", ".") for name, _ in pair]
        with pytest.raises(ConfigError) as caught:
            config_from_dict(values_of(default | dict(pair), corpus), "test")
        assert any(key in str(caught.value) for key in keys), (pair, str(caught.value))
    assert len(refused) < 30


@pytest.mark.parametrize("softmax", ["full", "sampled"])
def test_a_tied_embedding_that_is_frozen_freezes_the_softmax(
    softmax: str, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of weights as many as have sparse gradients, by plain SGD: this failed at the first step."""
    monkeypatch.setattr(build, "_SMALL_EMBEDDING", 0)
    chosen = {
        "model__softmax": softmax,
        "model__sampled": {"num_samples": 5},
        "model__tie_weights": True,
        "model__freeze_embedding": True,
        "model__pretrained_embedding": str(corpus / VECTORS),
    }
    take_steps(config_from_dict(settings(corpus, **chosen, model__embedding_dim=7), "test"))
