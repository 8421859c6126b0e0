"""Keys that have another name than once: what configs and snapshots call them of old is still understood."""

from lmtrain.config.problems import KeyPath

_NEW_NAMES: dict[KeyPath, str] = {("model", "dropout", "embedding"): "input"}


def current(key: KeyPath) -> KeyPath:
    """A key by the name it has now."""
    for n in range(1, len(key) + 1):
        if name := _NEW_NAMES.get(key[:n]):
            key = (*key[: n - 1], name, *key[n:])
    return key


def with_current_names(value: object, key: KeyPath = ()) -> object:
    """The value at a key, with all keys in it by the names they have now.

    Where a section has a key by both names, the old one stays, and is an unknown key.
    """
    if not isinstance(value, dict):
        return value
    renamed: dict[str | int, object] = {}
    for name, below in value.items():
        new = current((*key, name))[-1]
        new = name if new in value else new
        renamed[new] = with_current_names(below, (*key, new))
    return renamed
