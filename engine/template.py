"""Texts with ``{fields}`` of an alert are filled in: plain dotted names, and nothing that runs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from engine.source import nearest

_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
#: What every alert has.
NAMES = (
    *("id", "kind", "rule", "module", "level", "previous", "aggregation", "message", "series"),
    *("timestamp", "window_start", "window_end", "since", "until", "revision", "corrects"),
    *(f"param.{name}" for name in ("key", "field", "lower_bound", "upper_bound", "value")),
)
#: What depends on the rule.
_OPEN = ("keys.", "measures.")


def problems(text: str, known: Collection[str] | None = None) -> Iterator[tuple[str, str]]:
    """What is wrong with a template, and a hint for each.

    Args:
        known: the members of ``keys`` and ``measures``, as they are named; None judges none.
    """
    for found in _FIELD.finditer(text):
        if found.group() in ("{", "}"):
            yield f"a single '{found.group()}' in '{text}'", f"write '{found.group() * 2}'"
    for name in _names(text):
        is_open = name.startswith(_OPEN)
        if name in NAMES or (is_open and (known is None or name in known)):
            continue
        hint = nearest(name, (known or ()) if is_open else NAMES)
        yield f"an alert has no '{name}'", hint or "such as {level}, {param.value}, {keys.NAME}"


def begins_with_field(text: str) -> bool:
    """Whether a value of an alert stands first."""
    found = _FIELD.match(text)
    return found is not None and found.group(1) is not None


def members(text: str) -> Iterator[tuple[str, str]]:
    """The members of ``keys`` and ``measures`` that a template names: (of which, name)."""
    for name in _names(text):
        if name.startswith(_OPEN):
            of, _, member = name.partition(".")
            yield of, member


def filled(text: str, alert: Mapping[str, Any]) -> str:
    """The text with the fields of an alert; what is null is empty."""
    return _FIELD.sub(lambda found: _value(found, alert), text)


def filled_in(value: Any, alert: Mapping[str, Any]) -> Any:
    """What JSON can hold, with each string filled."""
    if isinstance(value, str):
        return filled(value, alert)
    if isinstance(value, Mapping):
        return {name: filled_in(each, alert) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [filled_in(each, alert) for each in value]
    return value


def _names(text: str) -> Iterator[str]:
    for found in _FIELD.finditer(text):
        if found.group(1) is not None:
            yield found.group(1)


def _value(found: re.Match[str], alert: Mapping[str, Any]) -> str:
    name = found.group(1)
    if name is None:
        return found.group(0)[0]
    value: Any = alert
    for step in ("AnalysisModule" if name == "rule" else name).split(".", 1):
        value = value.get(step) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.15g}" if isinstance(value, float) else str(value)
