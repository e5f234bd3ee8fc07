"""An aggregate and its condition become an aggregate of the rows that meet it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from engine import plan
from engine.catalog import Catalog
from engine.dsl.tree import Apply, Name, walk


def conditional(
    aggregate: plan.Aggregate, condition: plan.Expression, catalog: Catalog
) -> plan.Aggregate:
    """``sum(x, c)`` as ``sum(when(c, x))``: where it is not met, the arguments are null, and nulls
    are skipped."""
    when = catalog.operations["when"]
    arguments = tuple(
        each
        if aggregate.aggregation.parameter(index).kind.constant
        else plan.Call(when, (condition, each), each.type, each.type)
        for index, each in enumerate(aggregate.arguments)
    )
    return replace(aggregate, arguments=arguments)


def stands_for_rows(node: Apply, catalog: Catalog, keys: Collection[str]) -> bool:
    """Whether the arguments name fields that only an aggregate may name, and aggregate nothing."""
    inside = [each for argument in node.arguments for each in walk(argument)]
    called = {each.name for each in inside if isinstance(each, Apply)}
    if called & (catalog.aggregations.keys() - catalog.operations.keys()):
        return False
    return any(isinstance(each, Name) and each.name not in keys for each in inside)
