"""Where alerts go becomes targets, each with what it wants of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from engine.catalog import Catalog
from engine.check.aggregation import Aggregations
from engine.check.outputs import Teller
from engine.config.build import build
from engine.config.load import Document
from engine.source import Problems, nearest
from engine.template import known_names

Path = tuple[str | int, ...]
PATH = ("analysis", "alert")


@dataclass(frozen=True)
class AlertTarget:
    """Who is told. It is pickled.

    Args:
        name: the method; a second one of it is ``kafka 2``.
        target: one of ``engine.alerts``.
        levels: of the alerts that it wants.
        rules: their names; none are all of them.
    """

    name: str
    method: str
    target: Any
    levels: tuple[str, ...]
    rules: tuple[str, ...] = ()

    def wants(self, alert: Mapping[str, Any]) -> bool:
        """Whether an alert goes there: by its rule, and by the level that it has or ends; so who
        is told of an alarm is told that it is over, or another one now."""
        if self.rules and alert["AnalysisModule"] not in self.rules:
            return False
        level, previous = alert["level"], alert["previous"]
        return level in self.levels or (previous != "ok" and previous in self.levels)


def check_alerts(
    document: Document,
    catalog: Catalog,
    aggregations: Aggregations,
    rules: Collection[str],
    problems: Problems,
) -> tuple[AlertTarget, ...]:
    """Builds every target; tells wrong options, and rules that there are not.

    Args:
        rules: the names of the analysis' rules, also of those with problems.
    """
    known = None
    if None not in aggregations.names:
        keys = {key.name for each in aggregations.found for key in each.keys}
        known = known_names(keys, {n for names in aggregations.measures.values() for n in names})
    found: list[AlertTarget] = []
    for path in alert_paths(document):
        method = document.good(*path, "method")
        levels, wanted = _levels(document, path), _rules(document, path, rules, problems)
        if method is None or document.is_wrong(*path, "options"):
            continue
        node = document.root.at((*path, "options"))
        values = node.plain() if node is not None else {}
        target = build(catalog.alerts[method.value], values, document.beside)
        say = Teller(document, (*path, "options"), problems)
        target.check(say, known)
        if levels is not None and wanted is not None and not say.told:
            count = sum(each.method == method.value for each in found)
            name = f"{method.value} {count + 1}" if count else str(method.value)
            found.append(AlertTarget(name, method.value, target, levels, wanted))
    return tuple(found)


def alert_paths(document: Document) -> list[Path]:
    """Where the targets stand: ``analysis.alert`` is one, or a list."""
    node = document.root.at(PATH)
    if node is None or not isinstance(node.value, dict | list):
        return []
    return [(*PATH, i) for i in range(len(node.value))] if isinstance(node.value, list) else [PATH]


def _levels(document: Document, path: Path) -> tuple[str, ...] | None:
    if not document.has(*path, "levels"):
        return ("info", "warn", "crit")
    node = document.good(*path, "levels")
    return None if node is None else tuple(each.value for each in node.value)


def _rules(
    document: Document, path: Path, known: Collection[str], problems: Problems
) -> tuple[str, ...] | None:
    if not document.has(*path, "rules"):
        return ()
    node = document.good(*path, "rules")
    if node is None:
        return None
    for index, each in enumerate(node.value):
        if each.value not in known:
            hint = nearest(each.value, known)
            message = f"there is no rule '{each.value}'"
            problems.add(document.problem(message, (*path, "rules", index), hint))
    return tuple(each.value for each in node.value)
