"""The transformation's strings become typed rules, in order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine import plan
from engine.check.expression import ExpressionCheck, Say, Scope
from engine.check.structure import name_problem
from engine.config.load import Document
from engine.dsl import NamedRule, parse_rule
from engine.dsl.lexer import RuleError
from engine.dsl.tree import Name, walk
from engine.source import Problems, Span
from engine.types import Type

PATH = ("processing", "transformation")


def teller(document: Document, path: tuple[str | int, ...], problems: Problems) -> Say:
    """Tells problems of the rule at ``path``, each at its exact character."""

    def say(message: str, span: Span, hint: str) -> None:
        problems.add(document.problem(message, path, hint, index=span.start))

    return say


@dataclass
class Transformation:
    """The checked rules, and what later parts need to know of them."""

    scope: Scope
    rules: list[plan.Rule] = field(default_factory=list)
    #: Rule name -> (its index, the names that it uses).
    uses: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)


def check_rules(document: Document, scope: Scope, problems: Problems) -> Transformation:
    """Types every rule in the fields before it."""
    found = Transformation(scope)
    parsed = [_parsed(document, index, problems) for index in range(_count(document))]
    names = [each[1] for each in parsed]
    fields: dict[str, Type | None] = dict(scope.fields)
    seen: dict[str, int] = {}
    for index, (rule, name) in enumerate(parsed):
        say = teller(document, (*PATH, index), problems)
        if rule is None:
            if name is not None:
                fields[name] = None
            scope = replace(scope, is_open=scope.is_open or _is_unreadable(document, index))
            continue
        assert name is not None
        inner = replace(scope, fields=dict(fields), later=names[index + 1 :])
        typed = _typed(rule, name, seen, inner, say)
        seen.setdefault(name, index)
        fields[name] = None if typed is None else typed.type
        found.uses[name] = (index, _names(rule))
        if typed is not None:
            found.rules.append(plan.Rule(name, typed))
    found.scope = replace(scope, fields=fields)
    return found


def _count(document: Document) -> int:
    node = document.root.at(PATH)
    return len(node.value) if node is not None and isinstance(node.value, list) else 0


def _parsed(
    document: Document, index: int, problems: Problems
) -> tuple[NamedRule | None, str | None]:
    """A rule's tree and name; of a rule that does not parse the name alone, where it has one."""
    node = document.good(*PATH, index)
    if node is None:
        return None, None
    try:
        rule = parse_rule(node.value)
    except RuleError as error:
        teller(document, (*PATH, index), problems)(error.message, error.span, error.hint)
        name = node.value.partition(":")[0].strip(" \t'\"`")
        return None, name if name.isidentifier() else None
    name = rule.name if rule.name is not None else getattr(rule.tree, "name", None)
    return rule, name


def _is_unreadable(document: Document, index: int) -> bool:
    """Whether a rule has a name that nobody can know: it is not even a string."""
    return document.good(*PATH, index) is None


def _typed(
    rule: NamedRule, name: str, seen: Mapping[str, int], scope: Scope, say: Say
) -> plan.Expression | None:
    if (wrong := name_problem(name)) is not None:
        say(wrong[0], rule.name_span, wrong[1])
        return None
    if name in seen:
        hint = f"it is the rule {seen[name] + 1} of the list already"
        say(f"two rules are called '{name}'", rule.name_span, hint)
        return None
    typed = ExpressionCheck(scope, say).expression(rule.tree)
    if typed is not None and typed.type is Type.NULL:
        say(f"'{name}' is null for every row", rule.tree.span, "a rule needs a value with a type")
        return None
    return typed


def _names(rule: NamedRule) -> frozenset[str]:
    return frozenset(node.name for node in walk(rule.tree) if isinstance(node, Name))


def unused(transformation: Transformation, used: Iterable[str]) -> list[tuple[int, str]]:
    """The rules (index, name) that nothing uses, neither directly nor through a used rule."""
    waiting, reached = set(used), set()
    while waiting:
        name = waiting.pop()
        if name in transformation.uses and name not in reached:
            reached.add(name)
            waiting |= transformation.uses[name][1] - {name}
    return [
        (index, name) for name, (index, _) in transformation.uses.items() if name not in reached
    ]


def tell_unused(
    document: Document, transformation: Transformation, used: Iterable[str], problems: Problems
) -> None:
    for index, name in unused(transformation, used):
        message = f"the field '{name}' is computed but no aggregation uses it"
        hint = "leave the rule out, or aggregate the field"
        problems.add(document.problem(message, (*PATH, index), hint, index=0))


def words(value: Any) -> set[str]:
    """The words of a rule that could not be parsed: what it may use."""
    return set(re.findall(r"[^\W\d]\w*", value)) if isinstance(value, str) else set()
