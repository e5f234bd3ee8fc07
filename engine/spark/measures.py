"""Measures become what stands before, in and after a grouping."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from engine import plan
from engine.spark.numbering import Numbering


@dataclass(frozen=True)
class Split:
    """Measures, cut at their aggregates.

    Args:
        before: columns that the rows need: the arguments of aggregates that are computed, ``_a0``.
        aggregates: what the grouping computes, by column: ``_m0``. Equal ones are there once.
        after: the measures, over the columns of the aggregates.
    """

    before: dict[str, plan.Expression]
    aggregates: dict[str, plan.Aggregate]
    after: dict[str, plan.Expression]


def split(measures: Iterable[plan.Measure]) -> Split:
    """The measures cut at their aggregates.

    Aggregates are named in the order in which they first stand in the measures, and take only
    columns and constants as arguments.
    """
    cut = _Cut()
    after = {each.name: cut.after(each.expression) for each in measures}
    return Split(cut.before, cut.aggregates, after)


class _Cut:
    def __init__(self) -> None:
        self.before: dict[str, plan.Expression] = {}
        self.aggregates: dict[str, plan.Aggregate] = {}
        self._numbering = Numbering()
        self._columns: dict[int, plan.Reference] = {}

    def after(self, expression: plan.Expression) -> plan.Expression:
        """The expression with a column's name in the place of each aggregate."""
        # An aggregate's arguments are no part of what comes after: they are cut off first.
        done: dict[int, plan.Expression] = {}
        for each in reversed(list(_above_aggregates(expression))):
            match each:
                case plan.Aggregate():
                    done[id(each)] = self._aggregate(each)
                case plan.Call():
                    arguments = tuple(done[id(argument)] for argument in each.arguments)
                    done[id(each)] = replace(each, arguments=arguments)
                case _:
                    done[id(each)] = each
        return done[id(expression)]

    def _aggregate(self, aggregate: plan.Aggregate) -> plan.Reference:
        number = self._numbering.number(aggregate, {})
        if number not in self._columns:
            name = f"_m{len(self.aggregates)}"
            arguments = tuple(self._argument(each) for each in aggregate.arguments)
            self.aggregates[name] = replace(aggregate, arguments=arguments)
            self._columns[number] = plan.Reference(name, aggregate.type)
        return self._columns[number]

    def _argument(self, argument: plan.Expression) -> plan.Expression:
        if not isinstance(argument, plan.Call):
            return argument
        number = self._numbering.number(argument, {})
        if number not in self._columns:
            name = f"_a{len(self.before)}"
            self.before[name] = argument
            self._columns[number] = plan.Reference(name, argument.type)
        return self._columns[number]


def _above_aggregates(expression: plan.Expression) -> Iterable[plan.Expression]:
    """Like ``plan.walk``, but not into aggregates."""
    waiting = [expression]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, plan.Call):
            waiting.extend(reversed(node.arguments))
