"""Values that the schema has passed become instances of the sections' dataclasses."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, cast

from engine.config.schema import hints, option_name, option_of

Section = TypeVar("Section")


def build(
    section: type[Section],
    values: Mapping[str, Any],
    beside: Callable[[str], str] = lambda path: path,
) -> Section:
    """An instance of ``section``; paths are made relative to the config by ``beside``."""
    found: dict[str, Any] = {}
    for field in fields(cast(Any, section)):
        about = option_of(field)
        if about.prefix:
            passed = {n: v for n, v in values.items() if n.startswith(about.prefix)}
            found[field.name] = {n: _text(v) for n, v in passed.items()}
            continue
        names = [name for name in (option_name(field), *about.aliases) if name in values]
        if names:
            value = _value(hints(section)[field.name], values[names[0]], beside)
            found[field.name] = beside(value) if about.format == "path" and value else value
    return section(**found)


def _value(hint: Any, value: Any, beside: Callable[[str], str]) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for member in inner:
            if _fits(member, value):
                return _value(member, value, beside)
        return value
    if is_dataclass(hint) and isinstance(value, dict):
        return build(cast(type, hint), value, beside)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(inner[0], each, beside) for each in value)
    if origin in (dict, Mapping) and isinstance(value, dict):
        return {name: _value(inner[1], each, beside) for name, each in value.items()}
    return value


def _fits(hint: Any, value: Any) -> bool:
    origin = typing.get_origin(hint)
    if isinstance(value, dict):
        return is_dataclass(hint) or origin in (dict, Mapping)
    if isinstance(value, list):
        return origin is tuple
    return not is_dataclass(hint) and origin is not tuple


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
