"""What changed between the config a run was started with and the one it is resumed with."""

import json
from collections.abc import Mapping
from typing import Any

from lmtrain.config.loading import config_from_dict
from lmtrain.config.options import CosineSchedule, LinearSchedule, OneCycleSchedule
from lmtrain.config.problems import KeyPath, dotted, flatten
from lmtrain.config.schema import Config

LENGTH_KEYS = frozenset({"train.epochs", "train.max_steps"})
"""How long to train. Schedules that end with the last step need these unchanged."""

RESUMABLE_KEYS = LENGTH_KEYS | {
    "name",
    "data.train",
    "data.valid",
    "data.test",
    "data.synthetic",
    "train.early_stopping",
    "train.threads",
    "evaluation.every",
    "snapshots",
    "logging",
}
"""Keys, and sections, that may change when a run is resumed: no weight so far depends on them.
``evaluation.streams`` is not among them: validations are compared, for the best, patience and ``plateau``.

Texts may be found elsewhere: a run compares their content, by the hashes its snapshots hold, not their paths.
"""


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
    ends_with_training = isinstance(old.train.schedule, LinearSchedule | CosineSchedule | OneCycleSchedule)
    free = RESUMABLE_KEYS - LENGTH_KEYS if ends_with_training else RESUMABLE_KEYS
    changed = changes(old.to_dict(), new.to_dict())
    return [
        text
        for key, text in changed.items()
        if not any(dotted(key[:n]) in free for n in range(1, len(key) + 1))
    ]


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
