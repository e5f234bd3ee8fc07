"""The analysis of a config is checked here; it does not run yet."""

from __future__ import annotations

from engine.catalog import Catalog
from engine.check.aggregation import Aggregations
from engine.check.outputs import output_paths
from engine.config.load import Document
from engine.source import Problem, Problems, nearest

#: The analyses that compare a measure with its past: options that name measures.
DEVIATIONS = ("SimpleAnalysis", "AverageAnalysis")


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
