"""Untyped trees become typed expressions, or problems at the exact character."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine import plan
from engine.catalog import Catalog
from engine.check.condition import conditional, stands_for_rows
from engine.check.databases import Tables, looked_up
from engine.check.hints import OF_ONE_ROW, common_hint, type_hint
from engine.declare import Aggregation, Declaration, Derived, Operation
from engine.dsl import parse_expression
from engine.dsl.lexer import RuleError
from engine.dsl.tree import Apply, Constant, Name, Tree
from engine.source import Span, names_secret, nearest
from engine.types import Type, common

#: Tells a problem of a rule: the message, its place in the rule, a hint.
Say = Callable[[str, Span, str], None]

LONGS = (-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class Scope:
    """What an expression may name.

    Args:
        fields: name to type; None where the field's own rule has a problem, told already.
        is_open: the fields are not all known (the data structure has a problem): an unknown name
            is then no problem of its own.
        later: fields that rules further down compute, for a hint.
        config: the config's values, for ``config('a.b')``.
        keys: aggregations only: fields that may stand outside an aggregate.
        fill: aggregations only: how missing windows count in derived measures.
        tables: what ``lookup`` may ask.
    """

    fields: Mapping[str, Type | None]
    catalog: Catalog
    is_open: bool = False
    later: Collection[str | None] = ()
    config: Any = None
    keys: frozenset[str] = field(default_factory=frozenset)
    fill: str = plan.PREVIOUS
    tables: Tables = field(default_factory=dict)


class ExpressionCheck:
    """Types the expressions of one rule. A part that has a problem gives None, told once."""

    def __init__(self, scope: Scope, say: Say, aggregating: bool = False) -> None:
        self.scope = scope
        self.say = say
        self.aggregating = aggregating

    def expression(self, tree: Tree) -> plan.Expression | None:
        """The typed expression, or None where it or a part of it has a problem."""
        spine: list[Apply] = []
        while isinstance(tree, Apply) and tree.operator and len(tree.arguments) == 2:
            spine.append(tree)  # chains are long to the left: no recursion there
            tree = tree.arguments[0]
        typed = self.operand(tree)
        for node in reversed(spine):
            typed = self.infix(node, [typed, self.expression(node.arguments[1])])
        return typed

    def operand(self, tree: Tree) -> plan.Expression | None:
        match tree:
            case Constant():
                return self.constant(tree)
            case Name():
                return self.name(tree)
            case Apply():
                declaration = self.declaration(tree)
                if declaration is None:
                    return None
                if isinstance(declaration, Aggregation):
                    return self.aggregate(declaration, tree)
                arguments = [self.expression(each) for each in tree.arguments]
                return self.applied(declaration, tree, arguments)

    def aggregate(self, declaration: Aggregation, node: Apply) -> plan.Expression | None:
        """An aggregation, of the rows that meet its condition where it has one."""
        inner = ExpressionCheck(self.scope, self.say)
        arguments = [inner.expression(each) for each in node.arguments]
        if not self.arity(declaration, node):
            return None
        if not declaration.takes_condition or len(arguments) <= (declaration.most or 0):
            return self.applied(declaration, node, arguments)
        condition = arguments.pop()
        is_one = condition is not None and self.is_condition(node, condition)
        bare = replace(node, arguments=node.arguments[:-1])
        typed = self.applied(declaration, bare, arguments)
        if not is_one or condition is None or not isinstance(typed, plan.Aggregate):
            return None
        return conditional(typed, condition, self.scope.catalog)

    def is_condition(self, node: Apply, condition: plan.Expression) -> bool:
        # Only a boolean: the truth of a number would let pass what is meant as `greatest(a, b)`.
        if condition.type is Type.BOOLEAN:
            return True
        several = OF_ONE_ROW.get(node.name)
        hint = f"of several values of one row: {several}" if several else "such as x > 0"
        message = f"the condition of '{node.name}' must be boolean, is {condition.type}"
        self.say(message, node.arguments[-1].span, hint)
        return False

    def constant(self, tree: Constant) -> plan.Literal | None:
        value = tree.value
        if isinstance(value, int) and not isinstance(value, bool):
            if not LONGS[0] <= value <= LONGS[1]:
                self.say(f"{value} does not fit a long", tree.span, "write it as a decimal: 1.0")
                return None
        elif isinstance(value, float) and value in (float("inf"), float("-inf")):
            self.say("the number does not fit a double", tree.span, "")
            return None
        return literal(value)

    def name(self, tree: Name) -> plan.Reference | None:
        if tree.name in self.scope.fields:
            of = self.scope.fields[tree.name]
            if self.aggregating and tree.name not in self.scope.keys:
                hint = f"write last({tree.name}), or make it a key"
                self.say(f"the field '{tree.name}' stands outside an aggregation", tree.span, hint)
                return None
            return None if of is None else plan.Reference(tree.name, of)
        if not self.scope.is_open:
            self.say(f"unknown field '{tree.name}'", tree.span, self.field_hint(tree.name))
        return None

    def field_hint(self, name: str) -> str:
        if name in self.scope.later:
            return "a later rule computes it; move that rule up"
        if name in self.scope.catalog.operations:
            return nearest(name, self.scope.fields) or f"is it the operation {name}(…)?"
        return nearest(name, self.scope.fields)

    def declaration(self, node: Apply) -> Declaration | None:
        catalog = self.scope.catalog
        aggregation = None if node.operator else catalog.aggregations.get(node.name)
        operation = catalog.operations.get(node.name)
        if aggregation is not None and operation is not None:
            # `mul(x)` multiplies a window's values, `mul(x, 2)` two values.
            if self.aggregating and (
                len(node.arguments) <= (aggregation.most or 0) or self.is_of_rows(node)
            ):
                return aggregation
            return operation
        if aggregation is not None and not self.aggregating:
            hint = OF_ONE_ROW.get(node.name)
            told = f"of several values of one row: {hint}" if hint else ""
            self.say(f"'{node.name}' is an aggregation and cannot stand here", node.at, told)
            return None
        if aggregation is not None or operation is not None:
            return aggregation or operation
        known = {*catalog.operations, *(catalog.aggregations if self.aggregating else ())}
        what = "operation" if not self.aggregating else "operation or aggregation"
        self.say(f"unknown {what} '{node.name}'", node.at, nearest(node.name, known))
        return None

    def is_of_rows(self, node: Apply) -> bool:
        """Whether it is a window's, with a condition: ``mul(x, x > 0)``."""
        if not stands_for_rows(node, self.scope.catalog, self.scope.keys):
            return False
        silent = ExpressionCheck(self.scope, lambda message, span, hint: None)
        last = silent.expression(node.arguments[-1])
        return last is not None and last.type is Type.BOOLEAN

    def infix(self, node: Apply, arguments: list[plan.Expression | None]) -> plan.Expression | None:
        return self.applied(self.scope.catalog.operations[node.name], node, arguments)

    def applied(
        self, declaration: Declaration, node: Apply, arguments: list[plan.Expression | None]
    ) -> plan.Expression | None:
        """A declaration on its typed arguments, if they fit it."""
        if not self.arity(declaration, node) or any(each is None for each in arguments):
            return None
        known = [each for each in arguments if each is not None]
        if isinstance(declaration, Operation) and declaration.folds:
            return self.folded(node, known)
        if not self.kinds(declaration, node, known):
            return None
        if isinstance(declaration, Operation) and declaration.looks_up:
            return self.lookup(declaration, node, known)
        unified = self.unified(declaration, node, known)
        if unified is _MISFIT:
            return None
        if (told := _verify(declaration, known)) is not None:
            self.say(told, node.arguments[-1].span, "")
            return None
        typed = _typed(declaration, tuple(known), unified)
        if isinstance(declaration, Derived) and self.scope.fill == plan.LINEAR:
            return replace(typed, type=Type.DOUBLE)
        return typed

    def arity(self, declaration: Declaration, node: Apply) -> bool:
        given, least, most = len(node.arguments), declaration.least, declaration.most
        if most is not None and declaration.takes_condition:
            most += 1
        if given >= least and (most is None or given <= most):
            return True
        wanted = f"{least}" if most == least else f"{least} to {most}"
        wanted = f"at least {least}" if most is None else wanted
        plural = "" if wanted == "1" else "s"
        message = f"'{node.name}' takes {wanted} argument{plural}, {given or 'none'} given"
        self.say(message, node.at, f"it is {declaration.signature}")
        return False

    def kinds(
        self, declaration: Declaration, node: Apply, arguments: list[plan.Expression]
    ) -> bool:
        fits = True
        for index, (tree, argument) in enumerate(zip(node.arguments, arguments, strict=True)):
            parameter = declaration.parameter(index)
            kind = parameter.kind
            is_null = argument.type is Type.NULL and not kind.constant
            is_constant = isinstance(argument, plan.Literal)
            if (is_null or argument.type in kind.accepts) and (is_constant or not kind.constant):
                continue
            found = argument.type if argument.type not in kind.accepts else "computed"
            self.say(
                f"'{parameter.name}' of {declaration.signature} must be {kind.name}, is {found}",
                tree.span,
                "" if kind.constant else type_hint(argument.type, kind.accepts),
            )
            fits = False
        return fits

    def unified(
        self, declaration: Declaration, node: Apply, arguments: list[plan.Expression]
    ) -> Any:
        joined = [
            (tree, argument)
            for index, (tree, argument) in enumerate(zip(node.arguments, arguments, strict=True))
            if declaration.parameter(index).kind.unifies
        ]
        if not joined:
            return None
        unified = common(argument.type for _, argument in joined)
        if unified is None:
            first = joined[0][1].type
            tree, other = next(each for each in joined if common([first, each[1].type]) is None)
            self.say(
                f"'{node.operator or node.name}' takes values of one type, here {first} and "
                f"{other.type}",
                tree.span,
                common_hint(first, other.type),
            )
            return _MISFIT
        numbers = all(declaration.parameter(i).kind.name == "number" for i in range(len(joined)))
        return Type.LONG if numbers and unified in (Type.BOOLEAN, Type.NULL) else unified

    def folded(self, node: Apply, arguments: list[plan.Expression]) -> plan.Literal | None:
        """``config('a.b')``: the value as a literal."""
        argument = arguments[0]
        span = node.arguments[0].span
        if not isinstance(argument, plan.Literal) or not isinstance(argument.value, str):
            self.say("config() takes a constant string", span, "config('path.in.config')")
            return None
        value, walked = self.scope.config, []
        for step in argument.value.split("."):
            walked.append(step)
            if names_secret(step):
                self.say("config() does not give secrets away", span, "")
                return None
            if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            elif isinstance(value, dict) and step in value:
                value = value[step]
            else:
                known = list(value) if isinstance(value, dict) else []
                self.say(f"the config has no '{'.'.join(walked)}'", span, nearest(step, known))
                return None
        if isinstance(value, dict | list):
            self.say(f"'{argument.value}' of the config is no single value", span, "")
            return None
        return literal(value)

    def lookup(
        self, operation: Operation, node: Apply, arguments: list[plan.Expression]
    ) -> plan.Expression | None:
        """``lookup('table', key, 'column')``, of a row: windows are not joined with tables."""
        if self.aggregating:
            hint = "look it up in a rule, or within: first(lookup(…))"
            self.say(f"{node.name}() stands outside an aggregation", node.at, hint)
            return None
        found = looked_up(operation, node, arguments, self.scope.tables)
        if isinstance(found, tuple):
            message, argument, hint = found
            self.say(message, node.arguments[argument].span, hint)
            return None
        return found


_MISFIT = object()


def literal(value: bool | int | float | str | None) -> plan.Literal:
    """A constant with its type: integers are long, decimal numbers double."""
    of = {bool: Type.BOOLEAN, int: Type.LONG, float: Type.DOUBLE, str: Type.STRING}
    return plan.Literal(value, of.get(type(value), Type.NULL))


def _typed(
    declaration: Declaration, arguments: tuple[plan.Expression, ...], unified: Type | None
) -> plan.Expression:
    of = declaration.type_of([each.type for each in arguments], unified)
    if isinstance(declaration, Operation):
        return plan.Call(declaration, arguments, of, unified)
    assert isinstance(declaration, Aggregation)
    return plan.Aggregate(declaration, arguments, of, unified)


def _verify(declaration: Declaration, arguments: list[plan.Expression]) -> str | None:
    """What a declaration says of its constants (a pattern, a format), or None."""
    verify = getattr(declaration, "verify", None)
    if verify is None:
        return None
    constants = [each.value if isinstance(each, plan.Literal) else None for each in arguments]
    told: str | None = verify(*constants)
    return told


def check_text(
    text: str,
    fields: Mapping[str, Type],
    catalog: Catalog,
    *,
    aggregating: bool = False,
    config: Any = None,
    tables: Tables | None = None,
) -> plan.Expression:
    """An expression's text, typed.

    Raises:
        RuleError: the first problem, with its place in the text.
    """

    def say(message: str, span: Span, hint: str) -> None:
        raise RuleError(message, span, hint)

    check = ExpressionCheck(
        Scope(fields, catalog, config=config, tables=tables or {}), say, aggregating
    )
    typed = check.expression(parse_expression(text))
    assert typed is not None
    return typed
