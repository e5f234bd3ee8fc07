"""The analysis of a config becomes rules, each with the aggregation that it judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from engine import plan, template
from engine.catalog import Catalog
from engine.check.aggregation import Aggregations
from engine.check.alerts import check_alerts
from engine.check.expression import ExpressionCheck, Scope
from engine.check.history import check_history
from engine.check.outputs import Teller
from engine.check.own import own_rule
from engine.check.transformation import teller
from engine.config.build import build
from engine.config.load import Document
from engine.config.schema import is_required, option_name
from engine.dsl import parse_expression
from engine.dsl.lexer import RuleError
from engine.dsl.tree import Name, Tree, walk
from engine.source import Problem, Problems, nearest
from engine.types import Type

Path = tuple[str | int, ...]
PATH = ("analysis", "rule")


def check_analysis(
    document: Document,
    catalog: Catalog,
    aggregations: Aggregations,
    outputs: Sequence[plan.Output],
    scope: Scope,
    problems: Problems,
    not_yet: list[Problem],
) -> plan.Analysis | None:
    """Tells what is wrong with rules, with what they ask, and with who is told.

    Args:
        scope: the transformation's; of it the catalog and the config's values are used.
    """
    node = document.root.at(("analysis",))
    if node is None or node.value is None:
        return None
    rules = document.root.at(PATH)
    count = len(rules.value) if rules is not None and isinstance(rules.value, list) else 0
    check = _Check(document, catalog, aggregations, scope, problems, not_yet)
    found = [check.rule(index) for index in range(count)]
    known = tuple(each for each in found if each is not None)
    check.names(known)
    history = check_history(document, catalog, outputs, known, problems)
    accuracy = document.good("analysis", "accuracy")
    seconds = accuracy.value if accuracy is not None else 3
    targets = check_alerts(document, catalog, aggregations, check.seen, problems)
    return plan.Analysis(known, history, round(seconds * 1000), tuple(targets))


class _Check:
    def __init__(
        self,
        document: Document,
        catalog: Catalog,
        aggregations: Aggregations,
        scope: Scope,
        problems: Problems,
        not_yet: list[Problem],
    ) -> None:
        self.document = document
        self.catalog = catalog
        self.aggregations = aggregations
        self.scope = scope
        self.problems = problems
        self.not_yet = not_yet
        self.seen: set[str] = set()

    def rule(self, index: int) -> plan.AnalysisRule | None:
        """A rule, or None where it has a problem."""
        path: Path = (*PATH, index)
        name = self.name(path)
        module = self.document.good(*path, "module")
        if module is None or name is None:
            return None
        spelled = "options" if self.document.has(*path, "options") else "option"
        at = (*path, spelled)
        if module.value in self.catalog.analyses:
            target = self.target(self.catalog.analyses[module.value], path, at)
        else:
            target = self.own(path, at, name)
        if target is None or None in self.aggregations.names:
            return None
        trees = self.trees(target, at)
        aggregation = self.aggregation(target, at, trees)
        if trees is None or aggregation is None:
            return None
        conditions = self.conditions(aggregation, trees, at)
        say = Teller(self.document, at, self.problems)
        target.check(aggregation, say)
        self.message(target, aggregation, say)
        if conditions is None or say.told or not self.fits(target, aggregation, at):
            return None
        target = _with_field(target, aggregation, conditions)
        return plan.AnalysisRule(name, module.value, target, aggregation.name, conditions)

    def name(self, path: Path) -> str | None:
        node = self.document.good(*path, "name")
        if node is None:
            return None
        if node.value in self.seen:
            message = f"two rules are called '{node.value}'"
            hint = "alerts tell rules by their names"
            self.problems.add(self.document.problem(message, (*path, "name"), hint))
            return None
        self.seen.add(node.value)
        return str(node.value)

    def target(self, section: Any, path: Path, at: Path) -> Any:
        """The rule's options, built; None where they have a problem."""
        node = self.document.root.at(at)
        if self.document.is_wrong(*at):
            return None
        if node is None:
            missing = [option_name(each) for each in fields(section) if is_required(each)]
            if missing:
                message = f"'{section.METHOD}' needs options: {', '.join(missing)}"
                self.problems.add(self.document.problem(message, path, "write them in 'options'"))
                return None
        return build(section, node.plain() if node is not None else {})

    def own(self, path: Path, at: Path, name: str) -> Any:
        """A user's class with its options; None where they have a problem."""
        made = own_rule(self.document, path, at, name, self.catalog, self.problems)
        if made is None:
            return None
        on_error = self.document.good(*path, "on_error")
        stops = on_error is not None and on_error.value == "stop"
        return self.catalog.own.Own(name=name, stops=stops, **made)

    def trees(self, target: Any, at: Path) -> dict[str, Tree] | None:
        """The conditions of the options, parsed."""
        found = {}
        failed = False
        for name, text in target.conditions():
            try:
                found[name] = parse_expression(text)
            except RuleError as error:
                say = teller(self.document, (*at, name), self.problems)
                say(error.message, error.span, error.hint)
                failed = True
        return None if failed else found

    def aggregation(
        self, target: Any, at: Path, trees: dict[str, Tree] | None
    ) -> plan.Aggregation | None:
        """What the rule judges: what it names, or the only aggregation that has its measures."""
        known = self.aggregations.measures
        if target.aggregation is not None:
            if target.aggregation not in known:
                message = f"there is no aggregation '{target.aggregation}'"
                hint = nearest(target.aggregation, known)
                self.tell(message, (*at, "aggregation"), hint)
                return None
            if not self.has_measures(target, at, known[target.aggregation]):
                return None
            return self.judged(target.aggregation, (*at, "aggregation"))
        every = {name for names in known.values() for name in names}
        if not known or not self.has_measures(target, at, every):
            return None
        used = {name for _, name in target.measures()}
        used |= {
            node.name
            for tree in (trees or {}).values()
            for node in walk(tree)
            if isinstance(node, Name) and node.name in every
        }
        fitting = [name for name, names in known.items() if used <= names]
        if len(fitting) == 1:
            return self.judged(fitting[0], at)
        if len(known) > 1 and trees is not None:
            told = "no aggregation has all of its measures" if not fitting else "it could be of"
            which = "" if not fitting else f" {', '.join(fitting)}"
            message = f"whose windows does the rule judge? {told}{which}"
            self.tell(message, at, "name it: 'aggregation'")
        return None

    def judged(self, name: str, at: Path) -> plan.Aggregation | None:
        """The aggregation of this name, unless it has a problem, told already."""
        for each in self.aggregations.found:
            if each.name == name:
                if isinstance(each.window, plan.Session):
                    message = f"sessions ('{name}') are not analysed yet"
                    self.not_yet.append(self.document.problem(message, at))
                return each
        return None

    def has_measures(self, target: Any, at: Path, known: set[str]) -> bool:
        has_all = True
        for place, name in target.measures():
            if name not in known:
                self.tell_key(f"no aggregation has the measure '{name}'", (*at, *place), known)
                has_all = False
        return has_all

    def tell_key(self, message: str, path: Path, known: set[str]) -> None:
        """A problem of a member's name, or of the string that names it."""
        name = str(path[-1])
        above = self.document.root.at(path[:-1])
        problem = self.document.problem(message, path)
        if above is not None and isinstance(above.value, dict) and path[-2] == "deviation":
            place = above.keys[name].start
            problem = replace(problem, offset=place, hint=nearest(name, known))
        else:
            node = self.document.root.at(path)
            named = str(node.value) if node is not None else name
            problem = replace(problem, hint=nearest(named, known))
        self.problems.add(problem)

    def tell(self, message: str, path: Path, hint: str) -> None:
        while not self.document.has(*path):
            path = path[:-1]
        self.problems.add(self.document.problem(message, path, hint))

    def conditions(
        self, aggregation: plan.Aggregation, trees: dict[str, Tree], at: Path
    ) -> dict[str, plan.Expression] | None:
        """The conditions, typed over measures and keys."""
        types: dict[str, Type | None] = {each.name: each.type for each in aggregation.keys}
        types |= {each.name: each.type for each in aggregation.measures}
        types |= dict.fromkeys((plan.WINDOW_START, plan.WINDOW_END), Type.TIMESTAMP)
        scope = Scope(types, self.catalog, config=self.scope.config)
        found, failed = {}, False
        for name, tree in trees.items():
            say = teller(self.document, (*at, name), self.problems)
            typed = ExpressionCheck(scope, say).expression(tree)
            if typed is not None and typed.type is Type.TIMESTAMP:
                say("a condition cannot be a timestamp", tree.span, "compare it with another one")
                typed = None
            if typed is None:
                failed = True
            else:
                found[name] = typed
        return None if failed else found

    def message(self, target: Any, aggregation: plan.Aggregation, say: Teller) -> None:
        """Tells fields of the message that no alert has."""
        text = target.message or ""
        known = {
            "keys": [each.name for each in aggregation.keys],
            "measures": [each.name for each in aggregation.measures],
        }
        for message, hint in template.problems(text):
            say("message", message, hint)
        for of, name in template.members(text):
            if name not in known[of]:
                hint = nearest(name, known[of])
                say("message", f"'{aggregation.name}' has no '{name}' among its {of}", hint)

    def fits(self, target: Any, aggregation: plan.Aggregation, at: Path) -> bool:
        """Whether the measures are numbers, and windows have others before them."""
        types = {each.name: each.type for each in aggregation.measures}
        fits = True
        for place, name in target.measures():
            of = types[name]
            if not of.is_number and of is not Type.BOOLEAN:
                self.tell(f"the measure '{name}' must be a number, is {of}", (*at, *place), "")
                fits = False
        return fits

    def names(self, rules: Sequence[plan.AnalysisRule]) -> None:
        """Tells rules that are silenced by others that cannot."""
        known = {each.name: each for each in rules}
        places = self.places() if rules else {}
        for each in rules:
            for index, name in enumerate(each.target.inhibited_by):
                other = known.get(name) if name != each.name else None
                if other is not None and other.aggregation == each.aggregation:
                    continue
                if name in self.seen - known.keys():
                    continue  # it has a problem of its own
                message = f"there is no other rule '{name}' of the aggregation '{each.aggregation}'"
                at = (*places[each.name], "inhibited_by", index)
                self.tell(message, at, nearest(name, set(known) - {each.name}))

    def places(self) -> dict[str, Path]:
        """Where the options of each rule stand, by its name."""
        found: dict[str, Path] = {}
        rules = self.document.root.at(PATH)
        assert rules is not None
        for index in range(len(rules.value)):
            name = self.document.good(*PATH, index, "name")
            if name is not None:
                spelled = "options" if self.document.has(*PATH, index, "options") else "option"
                found.setdefault(name.value, (*PATH, index, spelled))
        return found


def _with_field(
    target: Any, aggregation: plan.Aggregation, conditions: dict[str, plan.Expression]
) -> Any:
    """The options; a rule of conditions over one measure shows that."""
    if not conditions or target.field is not None:
        return target
    numbers = {m.name for m in aggregation.measures if m.type.is_number}
    used = {
        node.name
        for each in conditions.values()
        for node in plan.walk(each)
        if isinstance(node, plan.Reference) and node.name in numbers
    }
    return replace(target, field=used.pop()) if len(used) == 1 else target
