"""``base: other.yaml``: a config that says only what differs from another one.

What the file gives stands; what it leaves out comes from its base, which may have a base itself. Mappings
are merged key by key, everything else is replaced as a whole, lists too. Where a section is of another kind,
which its ``name`` says (an optimizer, a schedule), the base's keys would not fit: it is replaced as a whole.
The top level's own ``name`` is not inherited: two configs of one name would train in one directory.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lmtrain.config.problems import KeyPath, Place, Problem, shown
from lmtrain.config.yaml_text import MAX_BYTES, Findings, UnreadableYamlError, parse_yaml
from lmtrain.files.paths import meant

BASE = "base"
"""The key; its value is a path from the folder of the file that it is written in."""
_MAX_BASES = 16


def read_with_bases(
    path: Path, findings: Findings, above: tuple[Path, ...] = (), named_at: Place | None = None
) -> dict[str, Any]:
    """The values of a file over those of its bases.

    Args:
        path: The file; ``-`` is standard input.
        findings: Is added to.
        above: The files whose base it is, the first one first.
        named_at: Where it is named as a base.

    Raises:
        UnreadableYamlError: It or a base cannot be read, or is no YAML mapping.
    """
    text = read_text(path, named_at)
    values = parse_yaml(text, lambda line: Place(str(path), line), (), findings)
    if not isinstance(values, dict):
        found = "an empty file" if values is None else shown(values)
        message = f"a config is a mapping of keys to values, this is {found}"
        raise UnreadableYamlError(Problem(Place(str(path), 1), (), message))
    named = values.pop(BASE, None)
    if (BASE,) in findings.unread:
        findings.unread.add(())  # nobody knows what it would have given
    if named is not None:
        named_at = findings.places[(BASE,)]
        chain = (*above, path)
        base, lower = _base_path(named, named_at, chain), Findings()
        try:
            inherited = read_with_bases(base, lower, chain, named_at)
        finally:
            findings.problems += lower.problems
        inherited.pop("name", None)
        findings.adopt(set(_inherit(values, inherited, ())), lower)
    return values


def _base_path(named: object, place: Place, chain: tuple[Path, ...]) -> Path:
    """The path of a base, from the folder of the last file of the chain that leads to it."""
    if not isinstance(named, str) or Path(named).name in ("", "-"):
        message = f"of the wrong kind (got {shown(named)}); allowed: a path, from the folder of this file"
        raise UnreadableYamlError(Problem(place, (BASE,), message))
    path = chain[-1].parent / named
    if os.path.realpath(path) in map(os.path.realpath, chain):
        circle = " → ".join(map(str, (*chain, path)))
        raise UnreadableYamlError(Problem(place, (BASE,), f"a config cannot be its own base: {circle}"))
    if len(chain) > _MAX_BASES:
        raise UnreadableYamlError(Problem(place, (BASE,), f"more than {_MAX_BASES} configs on each other"))
    return path


def _inherit(mine: dict[str, Any], theirs: dict[str, Any], section: KeyPath) -> Iterator[KeyPath]:
    """Takes what a section leaves out from the same section of the base; says which keys these are."""
    for name, value in theirs.items():
        key, own = (*section, name), mine.get(name)
        if name not in mine:
            mine[name] = value
            yield key
        elif isinstance(own, dict) and isinstance(value, dict):
            kinds = {each["name"] for each in (own, value) if isinstance(each.get("name"), str)}
            if len(kinds) < 2:
                yield from _inherit(own, value, key)


def read_text(path: Path, named_at: Place | None = None) -> str:
    """The text of a file; ``-`` is standard input.

    Raises:
        UnreadableYamlError: It cannot be read, is too large or not UTF-8.
    """
    try:
        with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}{meant(path)}"
        problem = Problem(named_at, (BASE,), f"{path} {message}") if named_at else None
        raise UnreadableYamlError(problem or Problem(Place(str(path)), (), message)) from None
    if len(raw) > MAX_BYTES:
        message = f"more than {MAX_BYTES // 1024} KiB: this is no config"
        raise UnreadableYamlError(Problem(Place(str(path)), (), message))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(str(path), raw.count(b"\n", 0, error.start) + 1)
        message = f"not UTF-8 (byte 0x{raw[error.start]:02x})"
        raise UnreadableYamlError(Problem(place, (), message)) from None
