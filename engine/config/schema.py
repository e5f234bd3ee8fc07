"""The dataclasses of a config become its JSON Schema (draft-07), one ``if/then`` for each method.

``if/then`` and type lists instead of ``oneOf``: on the same bad config they give an exact error for
each mistake where ``oneOf`` says only that nothing fits.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal

from engine.catalog import Catalog
from engine.config.durations import PATTERN, WINDOW_PATTERN
from engine.config.sections import ConfigFile
from engine.json_text import Node
from engine.option import Option

DRAFT = "http://json-schema.org/draft-07/schema#"
_HINTS: dict[type[Any], Mapping[str, Any]] = {}  # asked for each field, and costly
_PATTERNS = {"duration": PATTERN, "window": WINDOW_PATTERN}
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def option_of(field: Field[Any]) -> Option:
    """What a field of a section says about itself."""
    return typing.cast(Option, field.metadata["option"])


def option_name(field: Field[Any]) -> str:
    """The option's name as a config writes it."""
    return option_of(field).name or field.name


def is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def hints(section: type[Any]) -> Mapping[str, Any]:
    """The types of a section's fields."""
    found = _HINTS.get(section)
    if found is None:
        found = _HINTS[section] = typing.get_type_hints(section)
    return found


def schema(catalog: Catalog, named: Collection[str] | None = None) -> dict[str, Any]:
    """The JSON Schema of a config with these inputs and outputs.

    Args:
        named: the methods whose options are told; all when absent.
    """
    whole = _Schema(catalog, named).section(ConfigFile)
    head = {"$schema": DRAFT, "title": "ts-engine config"}
    return {**head, **whole, "anyOf": [{"required": ["outputs"]}, {"required": ["output"]}]}


def schema_for(catalog: Catalog, root: Node) -> dict[str, Any]:
    """The JSON Schema for a config of these values: with the options of what it names alone."""
    return schema(catalog, _methods(root))


def _methods(root: Node) -> set[str]:
    """The methods and modules that a config names."""
    places: list[tuple[str | int, ...]] = [("input", "input_type")]
    for name, each in (
        (("outputs",), "method"),
        (("output",), "method"),
        (("analysis", "rule"), "module"),
        (("analysis", "alert"), "method"),
    ):
        node = root.at(name)
        count = len(node.value) if node is not None and isinstance(node.value, list) else 0
        places += [(*name, each), *((*name, index, each) for index in range(count))]
    named = map(root.at, places)
    return {str(node.value) for node in named if node is not None}


def section_schema(section: type[Any]) -> dict[str, Any]:
    """The JSON Schema of one section that names no methods."""
    return _Schema(Catalog()).section(section)


class _Schema:
    def __init__(self, catalog: Catalog, named: Collection[str] | None = None) -> None:
        self.named = named
        self.methods = {
            "inputs": catalog.inputs,
            "outputs": catalog.outputs,
            "analyses": catalog.analyses,
            "alerts": catalog.alerts,
        }

    def section(self, section: type[Any]) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        passed: dict[str, Any] = {}
        required, conditions = [], []
        for field in fields(section):
            about, name = option_of(field), option_name(field)
            if about.prefix:
                passed[f"^{re.escape(about.prefix)}"] = {"type": ["string", "number", "boolean"]}
                continue
            properties[name] = self.member(field, hints(section)[field.name])
            for alias in about.aliases:
                properties[alias] = properties[name]
            if is_required(field):
                required.append(name)
            if "methods" in about.extra:
                conditions = self.conditions(name, about.extra["methods"])
                if not about.extra.get("others"):  # a user's own classes
                    properties[name]["enum"] = sorted(self.methods[about.extra["methods"]])
        found: dict[str, Any] = {
            "type": "object",
            "description": _first_line(section.__doc__),
            "properties": properties,
            "additionalProperties": False,
        }
        if passed:
            found["patternProperties"] = passed
        if required:
            found["required"] = required
        if conditions:
            found["allOf"] = conditions
        return found

    def conditions(self, name: str, kind: str) -> list[dict[str, Any]]:
        """``options`` depend on the method: one ``if/then`` each."""
        found = []
        methods = self.methods[kind]
        for method in sorted(m for m in methods if self.named is None or m in self.named):
            options = self.section(methods[method])
            then: dict[str, Any] = {"properties": {"options": options}}
            if kind == "analyses":
                then["properties"]["option"] = options
            elif options.get("required"):
                then["required"] = ["options"]
            condition = {"properties": {name: {"const": method}}, "required": [name]}
            found.append({"if": condition, "then": then})
        return found

    def member(self, field: Field[Any], hint: Any) -> dict[str, Any]:
        about = option_of(field)
        found = self.type(hint)
        found = {"description": about.doc, **found}
        if field.default is not MISSING and field.default not in (None, ()):
            default = field.default
            found["default"] = list(default) if isinstance(default, tuple) else default
        if about.example is not None:
            found["examples"] = [about.example]
        limits = {
            "minimum": about.minimum,
            "exclusiveMinimum": about.exclusive_minimum,
            "maximum": about.maximum,
            "pattern": about.pattern,
        }
        found.update({name: limit for name, limit in limits.items() if limit is not None})
        if about.choices:
            found["enum"] = list(about.choices)
        if about.values:
            found["additionalProperties"] = {"enum": list(about.values)}
        if about.format in _PATTERNS:
            found["pattern"] = _PATTERNS[about.format]
        if about.nonempty:
            found.update(_nonempty(found["type"]))
        return found

    def type(self, hint: Any) -> dict[str, Any]:
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return self.union(inner)
        if origin is Literal:
            return {"type": "string", "enum": list(inner)}
        if origin is tuple:
            return {"type": "array", "items": self.type(inner[0])}
        if origin in (dict, Mapping):
            return {"type": "object"} | (
                {} if inner[1] is Any else {"additionalProperties": self.type(inner[1])}
            )
        if is_dataclass(hint):
            return self.section(typing.cast(type, hint))
        return {"type": _PLAIN[hint]}

    def union(self, members: tuple[Any, ...]) -> dict[str, Any]:
        """One schema with a list of types: the keywords of one type say nothing of another's."""
        found: dict[str, Any] = {"type": []}
        for member in members:
            part = self.type(member)
            of = part.pop("type")
            found["type"] += of if isinstance(of, list) else [of]
            if "description" in part and len(members) > 2:
                part.pop("description")
            if "enum" in part and type(None) in members:
                part["enum"] = [*part["enum"], None]
            found.update(part)
        return found


def _nonempty(of: Any) -> dict[str, int]:
    limits = {"string": "minLength", "array": "minItems", "object": "minProperties"}
    kinds = of if isinstance(of, list) else [of]
    return {limits[kind]: 1 for kind in kinds if kind in limits}


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().split("\n")[0]
