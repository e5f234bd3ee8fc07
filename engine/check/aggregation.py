"""The aggregations of a config become typed ones: keys, conditions, windows and measures."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from engine import plan
from engine.check.expression import ExpressionCheck, Say, Scope
from engine.check.structure import RESERVED
from engine.check.transformation import teller, words
from engine.check.windows import check_window
from engine.config.load import Document
from engine.dsl import KeyRule, NamedRule, parse_aggregation_rule, parse_expression
from engine.dsl.lexer import RuleError
from engine.dsl.tree import Apply, Name, Tree, walk
from engine.source import Problems, Span
from engine.types import Type

PATH = ("processing", "aggregations")
Path = tuple[str | int, ...]


@dataclass
class Aggregations:
    """The checked aggregations; ``names`` also has those with problems, for the outputs' check.

    ``places`` tells where aggregations, their keys and rules stand, as ``check.places`` wants it.
    """

    found: list[plan.Aggregation] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    measures: dict[str, set[str]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    places: dict[tuple[str, ...], Path] = field(default_factory=dict)


def check_aggregations(
    document: Document, scope: Scope, batch_ms: int, problems: Problems
) -> Aggregations:
    """Types every aggregation in the fields that the transformation leaves."""
    result = Aggregations()
    for path in _paths(document):
        name = _name(document, path, result, problems)
        _Check(document, path, scope, batch_ms, result, problems).aggregation(name)
    return result


def _paths(document: Document) -> list[Path]:
    node = document.root.at(PATH)
    if node is None or not isinstance(node.value, dict | list):
        return []
    if isinstance(node.value, dict):
        return [PATH]
    return [(*PATH, index) for index in range(len(node.value))]


def _name(document: Document, path: Path, result: Aggregations, problems: Problems) -> str | None:
    """The aggregation's name, taken note of; None where it has a problem."""
    if document.root.at((*path, "name")) is None:
        name: str | None = plan.AGGREGATED
        if name in result.names:
            message = "two aggregations have no name"
            problems.add(document.problem(message, path, "give each its 'name'"))
    else:
        node = document.good(*path, "name")
        name = node.value if node is not None else None
        wrong = _name_problem(name, result) if name is not None else None
        if wrong is not None:
            problems.add(document.problem(wrong[0], (*path, "name"), wrong[1]))
    result.names.append(name)
    return name


def _name_problem(name: str, result: Aggregations) -> tuple[str, str] | None:
    if name in plan.STREAMS:
        return f"the name '{name}' is the engine's own", "choose another name"
    if name in result.names:
        return f"two aggregations are called '{name}'", "choose another name"
    if name.startswith("_") or not name.isprintable() or name != name.strip():
        return f"'{name}' is no name for an aggregation", "it is a stream's and a table's name"
    return None


class _Check:
    """The check of one aggregation."""

    def __init__(
        self,
        document: Document,
        path: Path,
        scope: Scope,
        batch_ms: int,
        result: Aggregations,
        problems: Problems,
    ) -> None:
        self.document = document
        self.path = path
        self.scope = scope
        self.batch_ms = batch_ms
        self.result = result
        self.problems = problems
        self.keys: list[plan.Reference] | None = None
        self.measures: dict[str, plan.Rule | None] = {}
        #: ``key``, or ``rule`` and a measure's name -> which of the rules.
        self.indexes: dict[tuple[str, ...], int] = {}
        self.failed = False
        self.fill = self.filling()

    def aggregation(self, name: str | None) -> None:
        where = self.where()
        window = check_window(
            self.document,
            (*self.path, "window"),
            self.batch_ms,
            self.problems,
        )
        self.rules()
        self.operation_type()
        self.derived(window)
        if name is not None:
            self.result.measures[name] = set(self.measures)
        if name is None or self.failed or window is None:
            return
        measures = tuple(each for each in self.measures.values() if each is not None)
        keys = tuple(self.keys or ())
        found = plan.Aggregation(name, window, keys, measures, where, self.fill)
        self.result.found.append(found)
        self.result.places[("aggregation", name)] = self.path
        for part, index in self.indexes.items():
            about = ("aggregation", name, *part)
            self.result.places[about] = (*self.path, "rule", index)

    def where(self) -> plan.Expression | None:
        path = (*self.path, "where")
        node = self.document.good(*path)
        if node is None or node.value is None:
            self.failed |= node is None and self.document.has(*path)
            return None
        say = teller(self.document, path, self.problems)
        try:
            tree = parse_expression(node.value)
        except RuleError as error:
            say(error.message, error.span, error.hint)
            self.result.used |= words(node.value)
            self.failed = True
            return None
        self.use(tree)
        typed = ExpressionCheck(self.scope, say).expression(tree)
        if typed is not None and typed.type is Type.TIMESTAMP:
            say("a condition cannot be a timestamp", tree.span, "compare it with another one")
            typed = None
        self.failed |= typed is None
        return typed

    def operation_type(self) -> None:
        path = (*self.path, "operation_type")
        node = self.document.good(*path)
        if node is None or node.value is None or self.failed:
            return
        if node.value == "reduce" and self.keys:
            hint = "reduceByKey aggregates by key"
            self.problems.add(self.document.problem("'reduce' has no key", path, hint))
        if node.value == "reduceByKey" and not self.keys:
            hint = "add the rule 'key: field'"
            self.problems.add(self.document.problem("'reduceByKey' needs a key", path, hint))

    def filling(self) -> str:
        """How missing windows count in derived measures."""
        node = self.document.good(*self.path, "fill")
        return str(node.value) if node is not None and node.value else plan.PREVIOUS

    def derived(self, window: plan.Window | None) -> None:
        """Checks what only derived measures need, or have."""
        if self.failed:
            return
        rules = [each for each in self.measures.values() if each is not None]
        found = [(rule.name, each) for rule in rules for each in plan.derived(rule.expression)]
        if not found and self.fill != plan.PREVIOUS:
            message = "no measure goes on from the window before"
            hint = "'fill' is for delta, increase and rate"
            self.problems.add(self.document.problem(message, (*self.path, "fill"), hint))
        hops = isinstance(window, plan.Hopping) and not window.is_even
        if found and hops:
            message = f"{found[0][1].aggregation.name}() needs windows that end where others begin"
            hint = "let 'size' be a multiple of 'slide'"
            self.problems.add(self.document.problem(message, (*self.path, "window"), hint))
        for name, each in found if isinstance(window, plan.Session) else ():
            message = f"{each.aggregation.name}() needs windows of a fixed length"
            path = (*self.path, "rule", self.indexes[("rule", name)])
            hint = "sessions are as long as their rows, and have none before them"
            self.problems.add(self.document.problem(message, path, hint))

    def rules(self) -> None:
        rules = self.document.root.at((*self.path, "rule"))
        count = len(rules.value) if rules is not None and isinstance(rules.value, list) else 0
        self.failed |= count == 0
        parsed = [self.parsed(index) for index in range(count)]
        for index, rule in enumerate(parsed):
            if isinstance(rule, KeyRule):
                self.indexes[("key",)] = index
                self.key(rule, self.teller(index))
        for index, rule in enumerate(parsed):
            if isinstance(rule, NamedRule):
                self.measure(rule, index)
        if count and not any(isinstance(rule, NamedRule) for rule in parsed) and not self.failed:
            hint = "such as max(temperature), or n: count()"
            message = "the aggregation has no measure"
            self.problems.add(self.document.problem(message, (*self.path, "rule"), hint))
            self.failed = True

    def teller(self, index: int) -> Say:
        return teller(self.document, (*self.path, "rule", index), self.problems)

    def parsed(self, index: int) -> NamedRule | KeyRule | None:
        node = self.document.good(*self.path, "rule", index)
        if node is None:
            self.failed = True
            return None
        try:
            return parse_aggregation_rule(node.value)
        except RuleError as error:
            self.teller(index)(error.message, error.span, error.hint)
            self.result.used |= words(node.value)
            self.failed = True
            return None

    def use(self, tree: Tree) -> None:
        self.result.used |= {node.name for node in walk(tree) if isinstance(node, Name)}

    def key(self, rule: KeyRule, say: Say) -> None:
        if self.keys is not None:
            span = rule.names[0].span
            say("the aggregation has two keys", span, "several fields: key: (a, b)")
            self.failed = True
            return
        self.keys = []
        for name in rule.names:
            self.result.used.add(name.name)
            typed = ExpressionCheck(self.scope, say).name(name)
            if typed is not None and typed in self.keys:
                say(f"'{name.name}' is in the key twice", name.span, "")
                typed = None
            if typed is None:
                self.failed = True
            else:
                self.keys.append(typed)

    def measure(self, rule: NamedRule, index: int) -> None:
        say = self.teller(index)
        self.use(rule.tree)
        name, span = self.measure_name(rule)
        if name is None and not isinstance(rule.tree, Name):
            say("the measure needs a name", rule.tree.span, "write 'name: expression'")
        elif name is not None and (wrong := self.name_problem(name)) is not None:
            say(wrong[0], span, wrong[1])
            name = None
        keys = frozenset(key.name for key in self.keys or ())
        scope = replace(self.scope, keys=keys, fill=self.fill)
        typed = ExpressionCheck(scope, say, aggregating=True).expression(rule.tree)
        if typed is not None and not any(isinstance(n, plan.Aggregate) for n in plan.walk(typed)):
            say("the measure aggregates nothing", rule.tree.span, "such as max(field)")
            typed = None
        self.failed |= typed is None or name is None
        if name is not None:
            self.measures[name] = plan.Rule(name, typed) if typed is not None else None
            self.indexes[("rule", name)] = index

    def measure_name(self, rule: NamedRule) -> tuple[str | None, Span]:
        """The measure's own name, or the field's of an aggregate such as ``max(field)``."""
        if rule.name is not None:
            return rule.name, rule.name_span
        tree = rule.tree
        if isinstance(tree, Apply) and tree.operator is None and tree.arguments:
            first = tree.arguments[0]
            if isinstance(first, Name) and tree.name in self.scope.catalog.aggregations:
                return first.name, first.span
        return None, tree.span

    def name_problem(self, name: str) -> tuple[str, str] | None:
        if name in self.measures:
            return f"two measures are called '{name}'", "give one a name: 'other: max(field)'"
        if any(key.name == name for key in self.keys or ()):
            return f"the measure '{name}' is called like a key", "give it a name of its own"
        if name in RESERVED or name.startswith("_"):
            return f"the name '{name}' is the engine's own", "choose another name"
        return None
