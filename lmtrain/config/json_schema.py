"""The JSON Schema of a config file, which editors complete and check keys with.

It says of a file what can be said of it alone. A file with a ``base`` may leave out what the base gives, so
that what must be given is demanded only where there is no base.
"""

import json
from typing import Any

from lmtrain.config.inheritance import BASE
from lmtrain.config.schema import Config

Node = dict[str, Any]

SCHEMA_FILE = "lmtrain.schema.json"
"""What the file is called where it lies beside configs, whose first line names it."""
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_BASE_NODE = {
    "type": "string",
    "format": "path",
    "description": "a config whose values hold where this one gives none; its path from this file's folder",
}


def model_schema() -> Node:
    """What pydantic makes of ``Config``, with ``base``, in a form that our own messages are made from."""
    schema = Config.model_json_schema()
    schema["properties"][BASE] = dict(_BASE_NODE)
    for definition in schema["$defs"].values():
        name = definition["properties"].get("name", {})
        if "const" in name:
            name["description"] = definition["description"]
    return schema


def file_schema() -> Node:
    """The JSON Schema, draft 2020-12, of a config file."""
    schema = model_schema()
    definitions = schema["$defs"]
    needed = _demands(schema, definitions)
    needed["required"].remove("name")  # which no config inherits
    for node in (schema, *definitions.values()):
        node.pop("required", None)
        for child in node.get("properties", {}).values():
            if "$ref" in child:  # a section, which may be left empty
                _definition(child, definitions)["type"] = ["object", "null"]
    schema |= {"required": ["name"], "if": {"not": {"required": [BASE]}}, "then": needed}
    return {"$schema": _DIALECT, "title": "Config of lmtrain", **_tidied(schema)}


def schema_text() -> str:
    """``file_schema`` as it is printed and stored."""
    return json.dumps(file_schema(), indent=2, ensure_ascii=False) + "\n"


def modeline(schema_path: str) -> str:
    """The comment by which editors find the schema of a YAML file."""
    return f"# yaml-language-server: $schema={schema_path}"


def _definition(node: Node, definitions: Node) -> Node:
    found: Node = definitions[node["$ref"].rpartition("/")[2]]
    return found


def _demands(node: Node, definitions: Node) -> Node:
    """A schema of nothing but the keys that must be given, in it and in its sections."""
    if "$ref" in node:
        return _demands(_definition(node, definitions), definitions)
    if "discriminator" in node:
        options = [_definition(option, definitions) for option in node["oneOf"]]
        demands = [
            (option["properties"]["name"]["const"], _demands(option, definitions)) for option in options
        ]
        rules = [
            {"if": {"properties": {"name": {"const": name}}}, "then": demand}
            for name, demand in demands
            if demand
        ]
        return {"required": ["name"], **({"allOf": rules} if rules else {})}
    if "anyOf" in node:
        # At most one of the options is a section.
        return next((demand for option in node["anyOf"] if (demand := _demands(option, definitions))), {})
    below = {name: _demands(child, definitions) for name, child in node.get("properties", {}).items()}
    properties = {name: demand for name, demand in below.items() if demand}
    required = {"required": list(node["required"])} if "required" in node else {}
    return {**required, "properties": properties} if properties else required


def _tidied(node: Any) -> Any:
    """Without pydantic's titles and what is no keyword of JSON Schema."""
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    # A default that is a whole section would be filled in by editors.
    useless = {"discriminator", *(["default"] if isinstance(node.get("default"), dict) else ())}
    if isinstance(node.get("title"), str):
        useless.add("title")
    tidy = {key: _tidied(value) for key, value in node.items() if key not in useless}
    if "oneOf" in tidy:  # more than one fits where a base gives the name that tells them apart
        tidy["anyOf"] = tidy.pop("oneOf")
    return tidy
