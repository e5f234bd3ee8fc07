"""Expressions become a list of numbered nodes: equal ones have one number, arguments come first."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from engine import plan


@dataclass(frozen=True)
class Node:
    """One operation, aggregate, constant or name; its arguments by their numbers.

    ``expression`` says which; its own arguments are not to be looked at (they may be names that
    stand for the fields of other rules).
    """

    expression: plan.Expression
    arguments: tuple[int, ...]


class Numbering:
    """Numbers expressions without recursion, since chains make trees a thousand levels deep."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._known: dict[Hashable, int] = {}

    def number(self, expression: plan.Expression, fields: Mapping[str, int]) -> int:
        """The number of the expression.

        Args:
            fields: the numbers of names that stand for expressions; any other is a column's.
        """
        numbers: dict[int, int] = {}
        for each in reversed(list(plan.walk(expression))):
            if isinstance(each, plan.Reference) and each.name in fields:
                numbers[id(each)] = fields[each.name]
                continue
            under = each.arguments if isinstance(each, plan.Call | plan.Aggregate) else ()
            numbers[id(each)] = self._add(each, tuple(numbers[id(each)] for each in under))
        return numbers[id(expression)]

    def _add(self, expression: plan.Expression, arguments: tuple[int, ...]) -> int:
        key = (*_identity(expression), arguments)
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(Node(expression, arguments))
        return self._known[key]


def _identity(expression: plan.Expression) -> tuple[Hashable, ...]:
    """What tells a node from another one, beside its arguments."""
    match expression:
        case plan.Literal(value, of):
            return (of, repr(value))  # 0.0 equals -0.0, and 1 equals True
        case plan.Reference(name):
            return (name,)
        case plan.Call(operation, _, of, unified):
            return (id(operation), of, unified)
        case plan.Aggregate(aggregation, _, of, unified):
            return (id(aggregation), of, unified)
