"""Plain words out of a JSON Schema: which key, what it allows, what an unknown one may have meant."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from lmtrain.config.problems import KeyPath, dotted

Node = dict[str, Any]

_BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
# Matching takes time in the length of the key, and nobody means a key this long.
_LONGEST_KEY = 60


class SchemaTree:
    """The JSON Schema of a config, as pydantic writes it.

    Args:
        schema: Its root, with the definitions it refers to.
    """

    def __init__(self, schema: Node) -> None:
        self.root = schema
        self._definitions: dict[str, Node] = schema["$defs"]

    def child(self, node: Node, part: str | int) -> Node | None:
        """What stands under a key of a mapping or at an index of a list; None: nothing may."""
        for option in self._options(node):
            if part in option.get("properties", {}):
                return dict(option["properties"][part])
            if isinstance(part, int) and option["type"] == "array":
                return dict(option.get("items") or option["prefixItems"][0])
        return None

    def children(self, node: Node) -> Iterator[tuple[str, Node]]:
        """The keys of a section in the order of the schema, each with what stands under it."""
        for option in self._options(node):
            yield from option.get("properties", {}).items()

    def explanation(self, node: Node) -> str:
        """What a key is, in the words of the schema, and its values where they can be listed."""
        options = self._options(node)
        text = str(node.get("description") or options[0].get("description", ""))
        choices = [choice for option in options for choice in option.get("enum", ())]
        if "discriminator" in node:
            choices = self.names(node)
        return f"{text} ({', '.join(choices)})" if choices else text

    def variant(self, node: Node, name: str | int) -> Node:
        """The one of a union of mappings that has this ``name``."""
        return next(o for o in self._options(node) if o["properties"]["name"]["const"] == name)

    def names(self, node: Node) -> list[str]:
        """The names that tell the mappings of a union apart."""
        return [option["properties"]["name"]["const"] for option in self._options(node)]

    def required(self, node: Node, key: KeyPath) -> Iterator[tuple[KeyPath, Node]]:
        """The keys that must be given where the mapping or value at ``key`` is missing."""
        for option in self._options(node):
            if option.get("type") != "object":
                yield key, node
                return
            for name in option.get("required", ()):
                yield from self.required(option["properties"][name], (*key, name))

    def allowed(self, node: Node) -> str:
        """What a value may be."""
        if "discriminator" in node:
            return f"a mapping with name: {', '.join(self.names(node))}"
        if "pattern" in node:
            return str(node["description"])
        texts = dict.fromkeys(self._describe(option) for option in self._options(node))
        # A union of whole numbers and numbers is told in one.
        return " or ".join(
            text for text in texts if "whole " not in text or text.replace("whole ", "") not in texts
        )

    def meant(self, section: KeyPath, node: Node, name: str) -> str:
        """What an unknown key of a section may have meant, else the keys it may have."""
        siblings = [key for option in self._options(node) for key in option.get("properties", ())]
        wanted = name.rpartition(".")[2][:_LONGEST_KEY]
        others = dict.fromkeys(key for key in self._all_keys if key[:-1] != section)
        sections = [dotted(key[:-1]) for key in others if key[-1] == wanted]
        homes = " or ".join(f"under {section}" if section else "at the top level" for section in sections)
        if near := get_close_matches(wanted, siblings, n=1):
            also = f" ({wanted!r} itself belongs {homes})" if homes else ""
            return f"did you mean {near[0]!r}?{also}"
        if homes:
            return f"it belongs {homes}"
        if far := get_close_matches(wanted, [str(key[-1]) for key in others], n=1, cutoff=0.8):
            return f"did you mean {dotted(next(key for key in others if key[-1] == far[0]))!r}?"
        return f"allowed: {', '.join(siblings)}"

    def _options(self, node: Node) -> list[Node]:
        """A node without references and unions: all that may stand in its place."""
        if "$ref" in node:
            return self._options(self._definitions[node["$ref"].rpartition("/")[2]])
        union = node.get("anyOf") or node.get("oneOf")
        return [leaf for option in union for leaf in self._options(option)] if union else [node]

    @cached_property
    def _all_keys(self) -> list[KeyPath]:
        return list(self._keys(self.root, ()))

    def _keys(self, node: Node, section: KeyPath) -> Iterator[KeyPath]:
        for option in self._options(node):
            for name, child in option.get("properties", {}).items():
                yield (*section, name)
                yield from self._keys(child, (*section, name))

    def _describe(self, node: Node) -> str:
        if "enum" in node or "const" in node:
            return ", ".join(node.get("enum") or [node["const"]])
        match node["type"]:
            case "null":
                return "null"
            case "boolean":
                return "true or false"
            case "string":
                return "a path" if node.get("format") == "path" else "text"
            case "array":
                item = self.allowed(node.get("items") or node["prefixItems"][0])
                sizes = {"minItems": " of at least {}", "maxItems": " and at most {}"}
                size = "".join(text.format(node[k]) for k, text in sizes.items() if k in node)
                return f"a list{size}, each item {item}"
            case "object":
                return f"a mapping with {', '.join(node['properties'])}"
        bounds = " and ".join(f"{sign} {node[k]}" for k, sign in _BOUNDS.items() if k in node)
        kind = "a whole number" if node["type"] == "integer" else "a number"
        return f"{kind} {bounds}".strip()
