"""The settings of a run as TensorBoard compares them: flat, each under its dotted key."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

from lmtrain.config import Config
from lmtrain.config.options import Options
from lmtrain.training.summaries import HyperParameter, Setting

_SECTIONS = ("model", "train", "seed")
_TELLING = (
    "model.cell",
    "model.hidden_size",
    "model.num_layers",
    "model.dropout.output",
    "train.optimizer.lr",
)
"""TensorBoard shows five columns until it is told otherwise."""


def settings(config: Config) -> dict[str, Setting]:
    """What is trained and how, by dotted key, without what does not apply."""
    sections = config.to_dict()
    model = sections["model"]
    choices = {"adaptive": "softmax", "sampled": "softmax", "mixture": "softmax", "mogrifier": "cell"}
    for choice, key in choices.items():
        if model[key] != choice:
            del model[choice]
    return dict(_leaves({name: sections[name] for name in _SECTIONS}))


def columns() -> list[HyperParameter]:
    """All settings that any run may have."""
    found: dict[str, HyperParameter] = {}
    for section in _SECTIONS:
        for each in _columns(section, Config.model_fields[section].annotation):
            others = found[each.name].choices if each.name in found else ()
            is_telling = each.name in _TELLING
            found[each.name] = replace(each, choices=(*others, *each.choices), is_telling=is_telling)
    return list(found.values())


def _leaves(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Setting]]:
    for name, value in section.items():
        match value:
            case dict():
                yield from _leaves(value, f"{prefix}{name}.")
            case bool() | str():
                yield prefix + name, value
            case int() | float():
                yield prefix + name, float(value)
            case list():
                yield prefix + name, json.dumps(value)


def _columns(key: str, annotation: Any) -> Iterator[HyperParameter]:
    """Those at or below a key; of a union of sections, those of all of them."""
    parts = list(_parts(annotation))
    sections = [part for part in parts if isinstance(part, type) and issubclass(part, Options)]
    for section in sections:
        for name, field in section.model_fields.items():
            yield from _columns(f"{key}.{name}", field.annotation)
    if not sections:
        if bool in parts:
            yield HyperParameter(key, bool, (False, True))
        elif int in parts or float in parts:
            yield HyperParameter(key, float)
        else:
            yield HyperParameter(key, str, tuple(part for part in parts if isinstance(part, str)))


def _parts(annotation: Any) -> Iterator[Any]:
    """The types and literal values that a union, a literal or an annotated type consists of."""
    if isinstance(annotation, type) or get_origin(annotation) is tuple:
        yield annotation
    elif get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for part in get_args(annotation):
            yield from _parts(part)
