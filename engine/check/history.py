"""What the analysis asks about the past: one of the outputs, or a store of its own."""

from __future__ import annotations

from collections.abc import Sequence

from engine import plan
from engine.catalog import Catalog
from engine.check.outputs import output_paths
from engine.config.build import build
from engine.config.load import Document
from engine.source import Problems, nearest

_AT = ("analysis", "historical")


def check_history(
    document: Document,
    catalog: Catalog,
    outputs: Sequence[plan.Output],
    rules: Sequence[plan.AnalysisRule],
    problems: Problems,
) -> plan.Output | None:
    """What answers, where a rule asks: the one that is named, or the main one."""
    asking = [each for each in rules if each.target.LOOKS_BACK]
    asked = tuple(dict.fromkeys(each.aggregation for each in asking))
    node = document.root.at(_AT)
    if node is not None and isinstance(node.value, dict):
        return _store(document, catalog, asked)
    return _Outputs(document, catalog, outputs, problems).answering(asked, asking)


def _store(document: Document, catalog: Catalog, asked: tuple[str, ...]) -> plan.Output | None:
    """A store that is only asked, in the older spelling."""
    node = document.good(*_AT)
    if node is None or not asked:
        return None
    found = node.plain()
    method = found["method"]
    options = {method: found[f"{method}_options"]}
    target = build(catalog.outputs[method], options, document.beside)
    return plan.Output("historical", method, target, asked)


class _Outputs:
    """The outputs of a config, of which one may answer."""

    def __init__(
        self,
        document: Document,
        catalog: Catalog,
        outputs: Sequence[plan.Output],
        problems: Problems,
    ) -> None:
        self.document = document
        self.outputs = outputs
        self.problems = problems
        self.paths = output_paths(document)
        self.methods = {path: document.good(*path, "method") for path in self.paths}
        self.catalog = catalog
        able = sorted(name for name, each in catalog.outputs.items() if each.ANSWERS)
        self.hint = f"of the methods, {', '.join(able)} answer"

    def answering(
        self, asked: Sequence[str], asking: Sequence[plan.AnalysisRule]
    ) -> plan.Output | None:
        """The output that answers, or None where it has a problem or nothing is asked."""
        chosen = self.chosen(bool(asking))
        if chosen is None:
            return None
        path, at = chosen
        method = self.methods[path]
        if method is None:
            return None
        if not self.catalog.outputs[method.value].ANSWERS:
            message = f"the output '{method.value}' cannot answer about the past"
            self.problems.add(self.document.problem(message, at, self.hint))
            return None
        if not asking or len(self.outputs) != len(self.paths):
            return None
        found = self.outputs[self.paths.index(path)]
        for name in asked:
            if name not in found.streams:
                message = f"the output '{found.name}' is asked about '{name}', and does not take it"
                hint = "what it never had it cannot answer"
                self.problems.add(self.document.problem(message, at, hint))
                return None
        return found

    def chosen(self, is_asked: bool) -> tuple[tuple[str | int, ...], tuple[str | int, ...]] | None:
        """The path of the output that answers, and where it is said."""
        named = self.document.root.at(_AT)
        if named is not None and isinstance(named.value, str):
            return self.named(named.value)
        mains = [p for p in self.paths if (n := self.document.good(*p, "main")) and n.value is True]
        for path in mains[1:]:
            message = "two outputs are the main one"
            self.problems.add(self.document.problem(message, (*path, "main")))
        if not mains:
            if is_asked:
                message = 'the analysis asks about the past, and no output has "main": true'
                self.problems.add(self.document.problem(message, ("analysis",), self.hint))
            return None
        return mains[0], (*mains[0], "main")

    def named(self, name: str) -> tuple[tuple[str | int, ...], tuple[str | int, ...]] | None:
        known = {method.value: path for path, method in self.methods.items() if method is not None}
        if name not in known:
            message = f"there is no output '{name}'"
            self.problems.add(self.document.problem(message, _AT, nearest(name, known)))
            return None
        return known[name], _AT
