"""Who is told of alerts: the targets of a config, each with what it wants."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from engine import plan
from engine.catalog import Catalog
from engine.check.aggregation import Aggregations
from engine.check.outputs import instance
from engine.config.load import Document
from engine.source import Problems, nearest

_AT = ("analysis", "alert")


def check_alerts(
    document: Document,
    catalog: Catalog,
    aggregations: Aggregations,
    rules: Collection[str],
    problems: Problems,
) -> list[plan.Told]:
    """Builds every target; tells wrong options, and rules that there are not.

    Args:
        rules: the names of all rules.
    """
    node = document.root.at(_AT)
    if node is None or node.value is None:
        return []
    paths = [(*_AT, i) for i in range(len(node.value))] if isinstance(node.value, list) else [_AT]
    found: list[plan.Told] = []
    known = _members(aggregations)
    counts: dict[str, int] = {}
    for path in paths:
        for index, name in enumerate(_list(document, path, "rules")):
            if name not in rules:
                message = f"there is no rule '{name}'"
                at = (*path, "rules", index)
                problems.add(document.problem(message, at, nearest(name, rules)))
        method = document.good(*path, "method")
        if method is None or document.is_wrong(*path, "options"):
            continue
        target = instance(catalog.alerts[method.value], document, path, problems, known)
        if target is not None:
            found.append(_routed(document, path, method.value, target, counts))
    return found


def _members(aggregations: Aggregations) -> set[str] | None:
    """What templates may name of keys and measures; None where some have problems of their own."""
    if None in aggregations.names:
        return None
    keys = {f"keys.{key.name}" for each in aggregations.found for key in each.keys}
    names = {name for each in aggregations.measures.values() for name in each}
    return keys | {f"measures.{name}" for name in names}


def _routed(
    document: Document,
    path: tuple[str | int, ...],
    method: str,
    target: Any,
    counts: dict[str, int],
) -> plan.Told:
    counts[method] = counts.get(method, 0) + 1
    name = method if counts[method] == 1 else f"{method} {counts[method]}"
    levels = tuple(_list(document, path, "levels"))
    return plan.Told(name, method, target, levels, tuple(_list(document, path, "rules")))


def _list(document: Document, path: tuple[str | int, ...], name: str) -> list[str]:
    node = document.good(*path, name)
    return [str(each.value) for each in node.value] if node is not None else []
