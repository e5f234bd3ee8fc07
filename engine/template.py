"""Texts with ``{names}`` in them become texts about an alert.

Names are plain and dotted: ``{level}``, ``{param.value}``, ``{keys.sensor_id}``. They are looked up
in mappings and nothing else: no attributes, no formats, no calls. ``{{`` and ``}}`` are braces.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from engine.source import nearest

_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")

#: What there is of every alert; ``rule`` is its rule's name, ``config`` the config's.
ALWAYS = (
    *("id", "kind", "level", "previous", "rule", "module", "aggregation", "timestamp"),
    *("window_start", "window_end", "since", "until", "series", "revision", "corrects"),
    *("corrected_value", "message", "config"),
    *(f"param.{name}" for name in ("key", "field", "lower_bound", "upper_bound", "value")),
)


def known_names(keys: Iterable[str], measures: Iterable[str]) -> set[str]:
    """What a template may name, of aggregations with these keys and measures."""
    keyed, measured = (f"keys.{name}" for name in keys), (f"measures.{name}" for name in measures)
    return {*ALWAYS, *keyed, *measured}


def template_problem(text: str, known: Collection[str] | None) -> tuple[str, str] | None:
    """What is wrong with a template: a message and a hint; None where nothing is.

    Args:
        known: the names there are; None where those of keys and measures are not known.
    """
    for part, name in _parts(text):
        if name is None:
            if part in ("{", "}"):
                return f"a single '{part}' in '{text}'", f"write '{part * 2}' for a brace"
            continue
        if known is None and name.startswith(("keys.", "measures.")):
            continue
        names = known if known is not None else ALWAYS
        if name not in names:
            below = sorted(each for each in names if each.endswith(f".{name}"))
            hint = nearest(name, below or names) or f"such as {{level}}, {{{'param.value'}}}"
            return f"unknown name '{{{name}}}'", f"did you mean '{below[0]}'?" if below else hint
    return None


def filled(text: str, values: Mapping[str, Any]) -> str:
    """The text with values in the place of names; what is absent or null is empty.

    Example:
        >>> filled("{{{level}}} {keys.sensor}", {"level": "crit", "keys": {"sensor": 7}})
        '{crit} 7'
    """
    return "".join(
        {"{{": "{", "}}": "}"}.get(part, part) if name is None else shown(value_of(name, values))
        for part, name in _parts(text)
    )


def filled_json(template: Any, values: Mapping[str, Any]) -> Any:
    """JSON whose strings are templates, filled; one that is a name alone becomes the value itself:
    ``"{param.value}"`` a number."""
    if isinstance(template, dict):
        return {name: filled_json(each, values) for name, each in template.items()}
    if isinstance(template, list | tuple):
        return [filled_json(each, values) for each in template]
    if not isinstance(template, str):
        return template
    parts = list(_parts(template))
    if len(parts) == 1 and parts[0][1] is not None:
        return value_of(parts[0][1], values)
    return filled(template, values)


def begins_with_name(text: str) -> bool:
    """Whether a value of unknown text stands first."""
    return next((name is not None for _, name in _parts(text)), False)


def value_of(name: str, values: Mapping[str, Any]) -> Any:
    """What a dotted name stands for; None where there is none. A key's own name may have dots."""
    if name in values:
        return values[name]
    above, _, below = name.partition(".")
    inner = values.get(above)
    return inner.get(below) if isinstance(inner, Mapping) else None


def shown(value: Any) -> str:
    """A value as people read it: numbers exactly, nothing for null."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case list() | tuple():
            return ", ".join(map(shown, value))
    return str(value)


def _parts(text: str) -> Iterator[tuple[str, str | None]]:
    """The text in pieces, each with the name that it stands for, if it does."""
    for found in _PARTS.finditer(text):
        yield found.group(), found.group(1)
