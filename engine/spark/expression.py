"""One checked operation or aggregation, with its arguments as Spark columns, becomes a column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from engine import plan
from engine.declare import Context, Declaration, Kind
from engine.spark.scalar import scalar_column
from engine.types import Type


def field_column(name: str) -> Column:
    """The column of this name, whatever characters it has."""
    return F.col("`" + name.replace("`", "``") + "`")


def literal_column(literal: plan.Literal) -> Column:
    """A constant of its type; a null that has no type yet is Spark's void."""
    if literal.type is Type.NULL:
        return F.lit(None)
    return F.lit(literal.value).cast(str(literal.type))


def finite(column: Column) -> Column:
    """The number, or null where it is NaN or infinite.

    The condition names the column twice so that Spark computes it once: it shares what is surely
    evaluated more than once in an expression, and a branch of a condition does not count.
    """
    return F.when(column - column == 0, column)


def call_column(call: plan.Call, arguments: Sequence[Column], time_zone: str) -> Column:
    """An operation on these columns. Of ``float`` or ``double`` it may be NaN or infinite, unless
    the operation is declared finite.

    Args:
        arguments: a column for each argument, of its type in the plan.
        time_zone: ``processing.time_zone``.
    """
    if call.type is Type.NULL:  # nothing but nulls went in
        return F.lit(None)
    given, types = _converted(call, arguments)
    if call.operation.python:
        return scalar_column(call.operation, call.type, types, given, time_zone)
    return applied(call.operation, given, Context(types, time_zone))


def aggregate_column(
    aggregate: plan.Aggregate, arguments: Sequence[Column], time_zone: str, order: Column | None
) -> Column:
    """An aggregation of these columns: a composition of Spark's aggregates, never NaN or infinite.

    Args:
        arguments: a column for each argument, of its type in the plan.
        time_zone: ``processing.time_zone``.
        order: sorts a window's rows by event time, then by the source's order.
    """
    if aggregate.type is Type.NULL:
        return F.max(F.lit(None))
    given, types = _converted(aggregate, arguments)
    column = applied(aggregate.aggregation, given, Context(types, time_zone, order))
    return finite(column) if aggregate.type.is_fractional else column


def applied(declaration: Declaration, given: Sequence[Any], context: Context) -> Column:
    """What a declared function makes of its arguments."""
    about = {"context": context} if declaration.takes_context else {}
    column: Column = declaration.function(*given, **about)
    return column


def _converted(
    node: plan.Call | plan.Aggregate, arguments: Sequence[Column]
) -> tuple[list[Any], tuple[Type, ...]]:
    """What the function gets: columns as its parameters want them, and plain constants."""
    declaration = node.operation if isinstance(node, plan.Call) else node.aggregation
    given: list[Any] = []
    types = []
    for index, (argument, column) in enumerate(zip(node.arguments, arguments, strict=True)):
        kind = declaration.parameter(index).kind
        if kind.constant:
            assert isinstance(argument, plan.Literal)
            given.append(argument.value)
            types.append(argument.type)
            continue
        wanted = _wanted(kind, argument.type, node.unified)
        given.append(_as(column, argument.type, wanted))
        types.append(wanted)
    return given, tuple(types)


def _wanted(kind: Kind, of: Type, unified: Type | None) -> Type:
    """The type in which a parameter gets an argument of type ``of``."""
    if kind.becomes is not None:
        return kind.becomes
    if kind.unifies and unified not in (None, Type.NULL):
        assert unified is not None
        return unified
    if of is not Type.NULL:
        return of
    # A null of no type: any type that is accepted will do, but it must be one.
    return Type.LONG if Type.LONG in kind.accepts else min(kind.accepts, key=str)


def _as(column: Column, of: Type, wanted: Type) -> Column:
    if of is wanted:
        return column
    if wanted is Type.BOOLEAN and of.is_number:
        return column != 0
    if wanted is Type.BOOLEAN and of is Type.STRING:
        return column != ""
    return column.cast(str(wanted))
