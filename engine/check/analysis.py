"""The analysis and the databases of a config are checked here; they do not run yet."""

from __future__ import annotations

import os

from engine.catalog import Catalog
from engine.check.aggregation import Aggregations
from engine.check.outputs import output_paths
from engine.config.load import Document
from engine.source import Problem, Problems, either, nearest

#: The analyses that compare a measure with its past: options that name measures.
DEVIATIONS = ("SimpleAnalysis", "AverageAnalysis")
_TABLES = (".csv", ".json", ".mmdb")


def check_databases(document: Document, problems: Problems, not_yet: list[Problem]) -> None:
    """Tells files that are missing or of a kind that lookup() cannot read."""
    node = document.root.at(("databases",))
    if node is None or not isinstance(node.value, dict) or not node.value:
        return
    not_yet.append(document.problem("databases do not run yet", ("databases",)))
    for name in node.value:
        if document.good("databases", name) is None:
            continue
        at = ("databases", name, "path")
        path = document.root.at(at)
        assert path is not None
        if not path.value.endswith(_TABLES):
            message = f"'{path.value}' is no table that can be read"
            problems.add(document.problem(message, at, f"it ends with {either(_TABLES)}"))
        elif not os.path.isfile(document.beside(path.value)):
            problems.add(document.problem(f"there is no file '{path.value}'", at))


def check_analysis(
    document: Document,
    catalog: Catalog,
    aggregations: Aggregations,
    problems: Problems,
    not_yet: list[Problem],
) -> None:
    """Tells measures that do not exist, and an output that cannot answer."""
    node = document.root.at(("analysis",))
    if node is None or node.value is None:
        return
    not_yet.append(document.problem("the analysis does not run yet", ("analysis",)))
    _check_history(document, catalog, problems)
    rules = document.good("analysis", "rule")
    if rules is None or None in aggregations.names:
        return
    measures = {name for each in aggregations.measures.values() for name in each}
    for index, rule in enumerate(rules.value):
        if rule.value["module"].value not in DEVIATIONS:
            continue
        spelled = "options" if "options" in rule.value else "option"
        at = ("analysis", "rule", index, spelled, "deviation")
        deviation = document.root.at(at)
        if deviation is None or not isinstance(deviation.value, dict):
            continue
        for name in deviation.value:
            if name not in measures:
                place = deviation.keys[name].start
                problems.add(
                    Problem(
                        f"no aggregation has the measure '{name}'",
                        document.source,
                        place,
                        document.problem("", (*at, name)).pointer,
                        nearest(name, measures),
                    )
                )


def _check_history(document: Document, catalog: Catalog, problems: Problems) -> None:
    """The analysis asks one output about the past: the one that is named, or the main one."""
    historical = document.root.at(("analysis", "historical"))
    paths = output_paths(document)
    methods = {path: document.good(*path, "method") for path in paths}
    if historical is not None and isinstance(historical.value, dict):
        return
    if historical is not None and isinstance(historical.value, str):
        known = {node.value for node in methods.values() if node is not None}
        if historical.value not in known:
            message = f"there is no output '{historical.value}'"
            hint = nearest(historical.value, known)
            problems.add(document.problem(message, ("analysis", "historical"), hint))
        return
    mains = [path for path in paths if (n := document.good(*path, "main")) and n.value is True]
    answering = sorted(name for name, each in catalog.outputs.items() if each.ANSWERS)
    hint = f"of the methods, {', '.join(answering)} answer"
    if not mains:
        message = 'the analysis asks about the past, and no output has "main": true'
        problems.add(document.problem(message, ("analysis",), hint))
    for path in mains[1:]:
        problems.add(document.problem("two outputs are the main one", (*path, "main")))
    for path in mains[:1]:
        node = methods[path]
        if node is not None and not catalog.outputs[node.value].ANSWERS:
            message = f"the output '{node.value}' cannot answer about the past"
            problems.add(document.problem(message, (*path, "main"), hint))
