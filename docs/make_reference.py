"""Writes the two pages of the reference, out of ``--help`` of every command and of the schema of configs.

Run as ``python docs/make_reference.py`` whenever a command, an option or a key has changed; a test compares.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmtrain.cli.program import whole_program
from lmtrain.config.json_schema import model_schema
from lmtrain.config.schema_tree import Node, SchemaTree

_WIDTH = 80
_MADE = "<!-- Made by docs/make_reference.py; changes made here are lost. -->\n"
_COMMANDS = f"""\
{_MADE}
# Reference of the commands

What `--help` says. `MODEL` is a run directory or one snapshot directory; `-` is standard input where a FILE
is read. Results go to standard output, messages to standard error. `python -m lmtrain` is the same program.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a fault of lmtrain's own; please report it |
| 2 | usage, or a config that does not hold |
| 3 | the data: missing, empty, not UTF-8, no vocabulary left |
| 4 | a model or snapshot: missing, damaged, of another shape or a newer format |
| 5 | training diverged: a loss or gradient was not finite, or the training loss stays above ln V |
| 6 | the disk or the system: full, read-only, no permission; another process holds the run directory |
| 129, 130, 143 | interrupted (SIGHUP, SIGINT, SIGTERM), after a snapshot was written |
"""
_CONFIG = f"""\
{_MADE}
# Reference of the configs

Every key of a config, as the schema has it. `lmtrain config validate FILE` tells what is wrong with one,
`lmtrain config show FILE` its values and where they come from; `--set section.key=value` overrides a value
for one run. Sections and keys that are left out have their defaults.
"""


def pages() -> dict[str, str]:
    """The texts of both pages by the names of their files."""
    commands = [_COMMANDS, *_commands(whole_program(), "lmtrain")]
    return {
        "reference-commands.md": "\n".join(commands),
        "reference-config.md": "\n".join([_CONFIG, *_sections()]),
    }


def _commands(command: Any, name: str, parent: Any = None) -> Iterator[str]:
    """The help of a command and of those below it, whatever the width of the terminal."""
    context = type(command).context_class(
        command, info_name=name, parent=parent, terminal_width=_WIDTH, **command.context_settings
    )
    full_name = context.command_path
    help_text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"## {full_name}\n\n```text\n{help_text}\n```\n"
    for part, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from _commands(child, part, context)


def _sections() -> Iterator[str]:
    schema = model_schema()
    yield from _section(_Schema(schema, SchemaTree(schema)), schema, "", "## The whole")


@dataclass(frozen=True)
class _Schema:
    root: Node
    tree: SchemaTree

    def sections(self, node: Node) -> list[Node]:
        """The mappings that may stand in a node's place: several where a ``name`` tells them apart."""
        if "$ref" in node:
            return [self.root["$defs"][node["$ref"].rpartition("/")[2]]]
        options = node.get("oneOf") or node.get("anyOf") or []
        return [section for option in options for section in self.sections(option)]


def _section(schema: _Schema, node: Node, path: str, title: str) -> Iterator[str]:
    """A table of the keys of a section, then the sections in it."""
    keys: dict[str, Node] = {k: v for k, v in node.get("properties", {}).items() if "const" not in v}
    yield f"{title}\n\n{' '.join(node['description'].replace('``', '`').split())}\n"
    # What can be nothing but one section has no row: it comes below.
    rows = [_row(schema.tree, name, child) for name, child in keys.items() if "$ref" not in child]
    if rows:
        yield "\n".join(["| key | may be | default | meaning |", "|---|---|---|---|", *rows]) + "\n"
    for name, child in keys.items():
        inner = f"{path}.{name}".removeprefix(".")
        for section in schema.sections(child):
            kind = section["properties"].get("name", {}).get("const")
            named = f", `name: {kind}`" if kind else ""
            yield from _section(schema, section, inner, f"## `{inner}`{named}")


def _row(tree: SchemaTree, name: str, node: Node) -> str:
    allowed = "text" if "pattern" in node else tree.allowed(node)
    if "default" not in node:
        default = "must be given"
    elif "discriminator" in node:
        default = f"`name: {node['default']['name']}`"
    else:
        value = node["default"]
        default = f"`{value if isinstance(value, str) else json.dumps(value)}`"
    cells = (f"`{name}`", allowed, default, node["description"])
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def main() -> None:
    """Writes both pages beside this file."""
    for name, text in pages().items():
        Path(__file__).with_name(name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
