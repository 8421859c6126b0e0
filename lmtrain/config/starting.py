"""A config to start from: texts and a size, written out with the schema's own words as comments."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lmtrain.config.json_schema import SCHEMA_FILE, model_schema, modeline
from lmtrain.config.loading import config_from_dict
from lmtrain.config.schema_tree import Node, SchemaTree
from lmtrain.config.yaml_text import dump_inline
from lmtrain.errors import DataError

_SPLITS = ("train", "valid", "test")
SYNTHETIC = ("toy-english", "counting")
"""What ``lmtrain data`` puts into the folder of this name in ``data/``."""

_ZAREMBA = {"batch_size": 20, "loss_reduction": "sum_over_time", "max_grad_norm": 5.0}
_SGD = {"optimizer": {"name": "sgd", "lr": 1.0}}
_ELMAN = {"loss_reduction": "mean", "max_grad_norm": 1.0}
"""Of a cell without gates: it learns as in configs/tutorial-elman.yaml and runs wild with larger steps."""


def _network(size: int, num_layers: int, dropout: object, init_range: float) -> dict[str, Any]:
    layers = {"embedding_dim": size, "hidden_size": size, "num_layers": num_layers}
    return {**layers, "dropout": dropout, "init_range": init_range}


def _zaremba(epochs: int, bptt_len: int, constant_epochs: int, factor: float) -> dict[str, Any]:
    decay = {"name": "step_decay", "constant_epochs": constant_epochs, "factor": factor}
    return {"epochs": epochs, "bptt_len": bptt_len, **_ZAREMBA, **_SGD, "schedule": decay}


# Where the values come from, the network, the training.
_SIZES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "tiny": (
        "configs/quickstart.yaml",
        {**_network(128, 1, {"input": 0.1, "output": 0.2}, 0.1), "tie_weights": True},
        {
            "epochs": 6,
            "batch_size": 32,
            "bptt_len": 35,
            "loss_reduction": "mean",
            "max_grad_norm": 5.0,
            "optimizer": {"name": "adam", "lr": 0.004},
            "schedule": {"name": "linear"},
        },
    ),
    "small": (
        "the small LSTM of Zaremba et al. (2014)",
        _network(200, 2, 0.0, 0.1),
        _zaremba(13, 20, 4, 0.5),
    ),
    "medium": (
        "the medium LSTM of Zaremba et al. (2014)",
        _network(650, 2, 0.5, 0.05),
        _zaremba(39, 35, 6, 1 / 1.2),
    ),
    "large": (
        "the large LSTM of Zaremba et al. (2014)",
        _network(1500, 2, 0.65, 0.04),
        {**_zaremba(55, 35, 14, 1 / 1.15), "max_grad_norm": 10.0},
    ),
}
SIZES = tuple(_SIZES)
_COMMENT_COLUMN = 36


def texts_of(corpora: Sequence[str], fetched: Iterable[str] = ()) -> dict[str, Any]:
    """The texts of a corpus, as keys of ``data``.

    Args:
        corpora: One name of a known corpus, whether its files are there yet or not; one folder that holds
            train.txt and maybe valid.txt and test.txt; or any number of texts to train on.
        fetched: The names that ``lmtrain data fetch`` knows; the synthetic ones are known here.

    Raises:
        DataError: They are none of these.
    """
    first, known = corpora[0], [*fetched, *SYNTHETIC]
    if len(corpora) == 1 and first in known:
        generator = {"synthetic": first} if first in SYNTHETIC else {}
        return {**generator, **{split: f"data/{first}/{split}.txt" for split in _SPLITS}}
    if len(corpora) == 1 and Path(first).is_dir():
        files = {split: Path(first) / f"{split}.txt" for split in _SPLITS}
        if not files["train"].is_file():
            raise DataError(f"{first}: there is no train.txt in this folder; name the text to train on")
        return {split: file.as_posix() for split, file in files.items() if file.is_file()}
    for each in corpora:
        if not Path(each).is_file():
            near = get_close_matches(each, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known corpora: {', '.join(known)}"
            raise DataError(
                f"{each}: no such {'file' if len(corpora) > 1 else 'file, folder or corpus'}; {hint}"
            )
    return {"train": [*map(str, corpora)] if len(corpora) > 1 else first}


def starting_config(data: Mapping[str, Any], size: str, cell: str = "lstm", name: str | None = None) -> str:
    """A config of known-good values as YAML, each key with what the schema says of it.

    Args:
        data: The texts; see ``texts_of``.
        size: One of ``SIZES``.
        cell: ``elman``, ``lstm`` or ``gru``; the state of ``concat_elman`` is linear and diverges with these
            values.
        name: Of the run; by default of the corpus, the cell and the size.

    Raises:
        ConfigError: It would not hold, since the name cannot be one.
    """
    source, model, train = _SIZES[size]
    if cell == "elman":
        train = {**train, **_ELMAN}
    rest = {"context": "stream", "max_vocab": None, "min_count": 1, "lowercase": False}
    values = {
        "name": name or _default_name(data, cell, size),
        "seed": 1,
        "data": {**data, **rest},
        "model": {"cell": cell, "tie_weights": False, **model, "softmax": "full"},
        "train": {**train, "precision": "float32"},
        "evaluation": {"every": "epoch"},
        "snapshots": {"every": "epoch", "keep": 3},
        "logging": {"every": 50},
    }
    config_from_dict(values, "the new config")
    tree = SchemaTree(model_schema())
    header = [
        modeline(SCHEMA_FILE),
        f"# Size {size}, after {source}.",
        "# `lmtrain config show FILE` lists the keys left out here, too; what training will take:",
        "# `lmtrain train --config FILE --dry-run`.",
    ]
    return "\n".join([*header, *_lines(values, tree.root, tree)]) + "\n"


def name_of(path: Path) -> str:
    """The name of a file as the name of a run: what may not be in it becomes a hyphen."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", path.stem).strip(".-")[:60] or "my"


def _default_name(data: Mapping[str, Any], cell: str, size: str) -> str:
    train = data["train"]
    first = Path(train if isinstance(train, str) else train[0])
    return f"{name_of(first.parent if first.stem == 'train' else first)}-{cell}-{size}"


def _lines(values: Mapping[str, Any], node: Node, tree: SchemaTree, depth: int = 0) -> Iterator[str]:
    """Lines of YAML in the order of the schema, each with what it says of the key."""
    for key, child in tree.children(node):
        if key not in values:
            continue
        value, text = values[key], f"{'  ' * depth}{key}:"
        if not isinstance(value, dict):
            yield f"{f'{text} {dump_inline(value)}':<{_COMMENT_COLUMN}}  # {tree.explanation(child)}"
            continue
        if depth:
            yield f"{text:<{_COMMENT_COLUMN}}  # {tree.explanation(child)}"
        else:
            yield from ("", f"# {tree.explanation(child)}", text)
        yield from _lines(
            value, tree.variant(child, value["name"]) if "name" in value else child, tree, depth + 1
        )
