"""From a YAML file and ``--set`` overrides to a config, or to a list of all that is wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lmtrain.config.document import Document
from lmtrain.config.problems import Place, Problem, config_error, dotted, flatten
from lmtrain.config.renamed import with_current_names
from lmtrain.config.schema import Config
from lmtrain.config.validation import Fault, validate


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Reads and checks a config.

    Args:
        path: A YAML file.
        overrides: ``key.path=value``, the value written as in YAML; the last one of a key counts.

    Raises:
        ConfigError: It cannot be read or does not hold. Every problem is listed, with the file and
            line or the ``--set`` it comes from.
    """
    return load_config_with_origins(path, overrides)[0]


def load_config_with_origins(path: Path, overrides: Sequence[str] = ()) -> tuple[Config, dict[str, str]]:
    """Does what ``load_config`` does, and says where each value comes from.

    Returns:
        The config, and for the dotted key of each value, in the order of the schema, ``default``,
        ``--set`` or ``file:line``.

    Raises:
        ConfigError: As ``load_config``.
    """
    document = Document(path)
    for override in overrides:
        document.override(override)
    config = resolve(document)
    origins = {dotted(key): document.origin(key) for key in flatten(config.to_dict())}
    return config, origins


def resolve(document: Document) -> Config:
    """The config that a document means.

    Raises:
        ConfigError: It does not hold; lists every problem.
    """
    config, faults = validate(document.values, document.findings.unread)
    problems = document.findings.problems + [_placed(fault, document) for fault in faults]
    if config is None or problems:
        raise config_error(problems)
    return config


def config_from_dict(values: Mapping[str, Any], source: str) -> Config:
    """Checks a config that ``Config.to_dict`` made, such as the one kept in a snapshot.

    Args:
        values: What ``Config.to_dict`` returned.
        source: Where they were found, for the messages.

    Raises:
        ConfigError: They do not hold.
    """
    config, faults = validate(cast("dict[str, Any]", with_current_names(dict(values))))
    if config is None or faults:
        place = Place(source)
        raise config_error(Problem(place, fault.keys[0], fault.message) for fault in faults)
    return config


def _placed(fault: Fault, document: Document) -> Problem:
    """Blames the first of the keys that is written at all."""
    written = (key for key in fault.keys if key in document.findings.places)
    key = next(written, fault.keys[0])
    return Problem(document.place(key), key, fault.message)
