"""Rules become columns of a frame, in as few selects as keep every expression small.

An operation may name an argument several times (so does the guard against NaN), and a chain may
have a thousand terms: as one expression it would grow beyond what Spark can analyse, or what the
driver's stack can walk. So equal expressions are compiled once, and one that is large, or is not
small and is used more than once, becomes a column of its own, ``_t0``, in an earlier select.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from engine import plan
from engine.spark.expression import (
    aggregate_column,
    call_column,
    field_column,
    finite,
    literal_column,
)
from engine.spark.lookups import Lookup
from engine.spark.numbering import Node, Numbering
from engine.tables import Table

# Sizes count functions and names.
#: The largest expression that stands in a select.
LARGE = 64
#: What may be computed again where it is used again.
SMALL = 8


def apply_rules(
    frame: DataFrame, rules: Iterable[plan.Rule], time_zone: str, tables: Iterable[Table] = ()
) -> DataFrame:
    """The frame with a field for each rule, behind the fields that it has.

    A rule sees the frame's fields and those of the rules before it. One that is named like a field
    takes its place for the rules after it, and in the result.

    Args:
        tables: what lookups ask, ``held`` by Spark.
    """
    numbering = Numbering()
    fields: dict[str, int] = {}
    for rule in rules:
        fields[rule.name] = numbering.number(rule.expression, fields)
    return _Stages(numbering, fields, time_zone, tables=tables).onto(frame)


def add_columns(
    frame: DataFrame,
    expressions: Mapping[str, plan.Expression],
    time_zone: str,
    tables: Iterable[Table] = (),
) -> DataFrame:
    """The frame with a column for each expression; all see the frame's columns, not each other's.

    An expression that has the name of a column takes its place.
    """
    numbering = Numbering()
    fields = {name: numbering.number(each, {}) for name, each in expressions.items()}
    return _Stages(numbering, fields, time_zone, tables=tables).onto(frame)


def compile_expression(
    expression: plan.Expression, time_zone: str, order: Column | None = None
) -> Column:
    """The expression as one column of whatever size: for aggregates, and what is known to be small.

    Args:
        order: for aggregates: sorts the rows by event time, then by the source's order.
    """
    numbering = Numbering()
    number = numbering.number(expression, {})
    return _Stages(numbering, {"": number}, time_zone, order, binds=False).column(number)


@dataclass(frozen=True)
class _Value:
    """A compiled expression.

    Args:
        size: about how many functions and names it has.
        stage: the first select that can hold it.
        dirty: it may be NaN or infinite.
    """

    column: Column
    size: int
    stage: int = 0
    dirty: bool = False


class _Stages:
    """The columns of numbered expressions, and the selects and lookups that make them.

    Args:
        fields: the numbers of the wanted columns, by their names.
        order: see ``compile_expression``.
        binds: whether large expressions become columns of their own.
    """

    def __init__(
        self,
        numbering: Numbering,
        fields: Mapping[str, int],
        time_zone: str,
        order: Column | None = None,
        binds: bool = True,
        tables: Iterable[Table] = (),
    ) -> None:
        self._fields = fields
        self._time_zone = time_zone
        self._order = order
        self._binds = binds
        self._tables = {table.name: table for table in tables}
        self._selects: list[list[Column]] = []
        #: Those behind each select, by the table and the number of the key.
        self._lookups: list[dict[tuple[str, int], Lookup]] = []
        self._shapes: dict[Hashable, _Shape] = {}
        self._values: list[_Value] = []
        self._finite: dict[int, _Value] = {}
        uses = Counter(each for node in numbering.nodes for each in node.arguments)
        uses.update(fields.values())
        for number, node in enumerate(numbering.nodes):
            value = self._compiled(node)
            self._values.append(self._bound(value, SMALL if uses[number] > 1 else LARGE))

    def onto(self, frame: DataFrame) -> DataFrame:
        """The frame with the fields behind its other columns."""
        kept = [field_column(name) for name in frame.columns if name not in self._fields]
        fields = [self.column(number).alias(name) for name, number in self._fields.items()]
        for select, lookups in zip_longest(self._selects, self._lookups):
            frame = frame.select("*", *select) if select else frame
            for lookup in (lookups or {}).values():
                frame = lookup.onto(frame)
        return frame.select(*kept, *fields)

    def column(self, number: int) -> Column:
        return self._clean(number).column

    def _compiled(self, node: Node) -> _Value:
        match node.expression:
            case plan.Literal() as literal:
                return _Value(literal_column(literal), 1)
            case plan.Reference(name):
                return _Value(field_column(name), 1)
            case plan.Aggregate() as aggregate:
                columns = [self.column(each) for each in node.arguments]
                column = aggregate_column(aggregate, columns, self._time_zone, self._order)
                return _Value(column, 1)
            case plan.Call() as call if call.operation.looks_up:
                return self._looked_up(call, node.arguments[1])
            case plan.Call() as call:
                return self._called(call, node.arguments)

    def _called(self, call: plan.Call, numbers: tuple[int, ...]) -> _Value:
        operation = call.operation
        read = self._value if operation.keeps_infinity else self._clean
        arguments = [read(each) for each in numbers]
        shape = self._shape(call)
        named = zip(shape.names, arguments, strict=True)
        return _Value(
            call_column(call, [each.column for each in arguments], self._time_zone),
            shape.size + sum(times * argument.size for times, argument in named),
            max((each.stage for each in arguments), default=0),
            call.type.is_fractional and not (operation.finite or operation.python),
        )

    def _looked_up(self, call: plan.Call, key: int) -> _Value:
        """A lookup: its column is there behind the select that has the key."""
        name, of, column = plan.asked(call)
        asked = self._bound(self._clean(key), 1)
        while len(self._lookups) <= asked.stage:
            self._lookups.append({})
        behind = self._lookups[asked.stage]
        if (name, key) not in behind:
            number = sum(map(len, self._lookups))
            lookup = Lookup(self._tables[name], asked.column, of.type, number, self._time_zone)
            behind[name, key] = lookup
        return _Value(behind[name, key].column(column), 1, asked.stage + 1)

    def _value(self, number: int) -> _Value:
        return self._values[number]

    def _clean(self, number: int) -> _Value:
        """The value, null where it is NaN or infinite."""
        value = self._values[number]
        if not value.dirty:
            return value
        if number not in self._finite:
            value = self._values[number] = self._bound(value, LARGE // 3)
            guarded = _Value(finite(value.column), 3 * value.size + 3, value.stage)
            self._finite[number] = guarded
        return self._finite[number]

    def _bound(self, value: _Value, limit: int) -> _Value:
        """The value, as a column of its own where it is larger than the limit."""
        if not self._binds or value.size <= limit:
            return value
        while len(self._selects) <= value.stage:
            self._selects.append([])
        name = f"_t{sum(map(len, self._selects))}"
        self._selects[value.stage].append(_kept(value.column).alias(name))
        return _Value(field_column(name), 1, value.stage + 1, value.dirty)

    def _shape(self, call: plan.Call) -> _Shape:
        types = tuple(each.type for each in call.arguments)
        key = (id(call.operation), types, call.unified)
        if key not in self._shapes:
            self._shapes[key] = _shape(call, self._time_zone)
        return self._shapes[key]


def _kept(column: Column) -> Column:
    """The column, which Spark's optimizer will not put back into what names it.

    It merges selects where a column is named once, and moves every filter below all of them,
    however often that repeats an expression: both would undo the stages, the second exponentially.
    It leaves alone what is not deterministic, so the column is made the least of itself and of a
    null that depends on the partition.
    """
    return F.least(column, F.when(F.spark_partition_id() < 0, F.lit(None)))


@dataclass(frozen=True)
class _Shape:
    """How large an operation's column is, and how often it names each argument."""

    size: int
    names: tuple[int, ...]


def _shape(call: plan.Call, time_zone: str) -> _Shape:
    marks = [f"<{index}>" for index in range(len(call.arguments))]
    text = str(call_column(call, [field_column(mark) for mark in marks], time_zone))
    return _Shape(text.count("("), tuple(text.count(mark) for mark in marks))
