"""The JSON schema that `dg check yaml` and the component's documentation read.

Written so that each mistake gives one message: no unions, a template wherever a value may be, and the nearest field
for a misspelt one. Knows no single field.
"""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_TEMPLATE = r"\{\{.*\}\}"  # such as {{ env.SHARED_DATA }}
_UNLESS_TEMPLATE: Schema = {"not": {"pattern": _TEMPLATE}}
_OF_TEXTS = ("enum", "minLength", "maxLength")  # keywords that a template would violate


def yaml_schema(model: type[BaseModel]) -> Schema:
    """The JSON schema of a model's YAML, with templates allowed for every value."""
    return _readable(model.model_json_schema())


def _readable(schema: Schema) -> Schema:
    schema = _without_union(schema)
    if "$ref" in schema:
        return schema
    if "properties" in schema:
        del schema["additionalProperties"]
        schema["patternProperties"] = _misspellings(schema["properties"])
    return _with_template(schema)


def _without_union(schema: Schema) -> Schema:
    """One schema for all branches of a union, which may meet as each of their keywords concerns one type only."""
    merged: Schema = {}
    types: set[str] = set()
    for branch in map(_with_readable_parts, schema.get("anyOf", [schema])):
        merged |= branch
        types |= {branch["type"]} if isinstance(branch.get("type"), str) else set(branch.get("type", ()))
    merged |= {name: value for name, value in schema.items() if name in ("title", "description", "default")}
    if types and merged.get("default", ...) is None:
        types.add("null")
    return {**merged, "type": sorted(types)} if types else merged


def _with_readable_parts(schema: Schema) -> Schema:
    schema = dict(schema)
    for name in ("properties", "$defs"):
        if name in schema:
            schema[name] = {key: _readable(part) for key, part in schema[name].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            schema[name] = _readable(schema[name])
    if "prefixItems" in schema:
        schema["prefixItems"] = [_readable(part) for part in schema["prefixItems"]]
    return schema


def _with_template(schema: Schema) -> Schema:
    """The schema, with a template allowed in place of its value; what it demands of texts moves below `then`."""
    types: list[str] = schema.get("type", [])
    then = {name: schema.pop(name) for name in _OF_TEXTS if name in schema}
    if "pattern" in schema:
        then |= {"if": {"not": {"pattern": schema.pop("pattern")}}, "then": {"enum": [schema.pop("$comment")]}}
    if types and "string" not in types and "properties" not in schema:
        then["type"] = types
        types = [*types, "string"]
    checks = {"if": _UNLESS_TEMPLATE, "then": then} if then else {}
    return schema | ({"type": types[0] if len(types) == 1 else types} if types else {}) | checks


def _misspellings(properties: Iterable[str]) -> Schema:
    """Refuses every other name, each at its own line, with the name that it nearly is."""
    names = list(properties)
    nears = {name: _near(name) for name in names}
    patterns: Schema = {}
    for name, near in nears.items():
        right = "|".join(each for each in names if re.fullmatch(near, each))
        patterns[f"^(?!({right})$)({near})$"] = {"const": f"the field name {name}"}
    far = f"^(?!({'|'.join(nears.values())})$)"
    return {**patterns, far: {"const": f"one of the field names {', '.join(names)}"}}


def _near(name: str) -> str:
    """A pattern of the name, also where two neighbouring letters are missing, wrong, swapped or one too many."""
    return "|".join(f"{name[:at]}.{{0,3}}{name[at + 2 :]}" for at in range(len(name) - 1))
