"""What changed between the config a run was started with and the one it is resumed with."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lmtrain.config.loading import config_from_dict
from lmtrain.config.options import Options, TrainOptions
from lmtrain.config.problems import KeyPath, dotted, flatten
from lmtrain.config.schema import Config

_ABSENT = object()


def differences(old: Config | Mapping[str, Any], new: Config) -> list[str]:
    """Lists the changes that forbid resuming, such as ``train.batch_size: 20 → 40``.

    Args:
        old: The config of the run, or what its ``to_dict`` returned.
        new: The config to go on with.

    Raises:
        ConfigError: ``old`` is a dictionary that is no config of this version.
    """
    if not isinstance(old, Config):
        old = config_from_dict(old, "the config of the run")
    free = set(_free_keys(Config))
    if not old.train.schedule.depends_on_length:
        free |= {("train", key) for key in TrainOptions.length}
    changed = changes(old.to_dict(), new.to_dict())
    return [text for key, text in changed.items() if not any(key[:n] in free for n in range(1, len(key) + 1))]


def _free_keys(section: type[Options], key: KeyPath = ()) -> Iterator[KeyPath]:
    """The keys that a section, or one in it, lets change."""
    for name, field in section.model_fields.items():
        if name in section.free:
            yield (*key, name)
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Options):
            yield from _free_keys(field.annotation, (*key, name))


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[KeyPath, str]:
    """All values that differ between two nested mappings, by key, such as ``train.batch_size: 20 → 40``."""
    before, after = flatten(old), flatten(new)
    return {
        key: f"{dotted(key)}: {_text(before.get(key, _ABSENT))} → {_text(after.get(key, _ABSENT))}"
        for key in {**after, **before}
        if before.get(key, _ABSENT) != after.get(key, _ABSENT)
    }


def _text(value: object) -> str:
    if value is _ABSENT:
        return "absent"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
