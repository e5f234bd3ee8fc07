"""Well-formed rows become windows: one grouping for all aggregations of a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, Observation
from pyspark.sql import functions as F

from engine import plan
from engine.fusion import Slot, Unit, derived, key_types, shared_slots, slots, text
from engine.spark.duplicates import ID, identity, without_duplicates
from engine.spark.expression import field_column
from engine.spark.logical import expanded
from engine.spark.rows import END, MOVED, ORDER, TIME, UNIT, needs_order
from engine.spark.stages import add_columns, compile_expression
from engine.spark.windows import bounds, each_window_end, watermarked, window_ends
from engine.types import Type

#: In how many windows a row may be for each to have a list of columns in Spark's plan.
_FEW = 24


def truth(condition: plan.Expression, column: Column) -> Column:
    """A condition as Python takes it: numbers and strings by their truth, null as not met."""
    if condition.type.is_number:
        column = column != 0
    elif condition.type is Type.STRING:
        column = column != ""
    return F.coalesce(column, F.lit(False))


def taken(unit: Unit, index: int) -> Column:
    """Whether a unit takes a row: its condition is met, and no key is null."""
    met = F.col(f"_where{index}") if unit.where is not None else F.lit(True)
    for key in unit.keys:
        met = met & field_column(key.name).isNotNull()
    return met


def with_conditions(frame: DataFrame, units: Sequence[Unit], query: plan.Query) -> DataFrame:
    """Adds ``_where0``, ``_where1`` …: whether a unit's condition is met."""
    conditions = {
        f"_where{index}": unit.where for index, unit in enumerate(units) if unit.where is not None
    }
    if not conditions:
        return frame
    frame = add_columns(frame, conditions, query.time_zone, query.tables)
    return frame.withColumns({name: truth(each, F.col(name)) for name, each in conditions.items()})


class Grouping:
    """One grouping for its units: what goes in, what is kept in the state, what comes out.

    Args:
        first: the place of its first unit among all units of the query.
    """

    def __init__(self, units: Sequence[Unit], query: plan.Query, first: int = 0) -> None:
        self.units = units
        self.query = query
        self.first = first
        hopping = [unit.window for unit in units if isinstance(unit.window, plan.Hopping)]
        self.hops = bool(hopping)
        self.explodes = any(window.fewest > _FEW for window in hopping)
        self.slots = [slots(unit) for unit in units]
        self.all_slots = shared_slots(units)
        self.key_types = key_types(units)

    def key_places(self, unit: Unit) -> list[int]:
        """Where each key of a unit stands among the key's columns."""
        free = list(range(len(self.key_types)))
        places = []
        for key in unit.keys:
            place = next(each for each in free if self.key_types[each] is key.type)
            free.remove(place)
            places.append(place)
        return places

    def grouped(self, frame: DataFrame, passed: Observation | str) -> DataFrame:
        """A row for each window that has rows: ``columns``, then ``slot_columns``.

        Args:
            passed: counts what passes the deduplication.
        """
        if self.query.deduplicate is not None:
            frame = frame.withColumn(ID, identity(self.query.deduplicate))
        entering = self.entering(frame)
        if self.query.deduplicate is not None:
            entering = without_duplicates(entering, self.query, self.units, passed)
        return _in_this_order(entering.groupBy(*self.columns).agg(*self.aggregates()))

    def entering(self, frame: DataFrame) -> DataFrame:
        """A row for each window of each row: ``columns``, and the slots' arguments."""
        arguments = self._arguments()
        if arguments:
            frame = add_columns(frame, arguments, self.query.time_zone, self.query.tables)
        if len(self.units) == 1 and (self.explodes or not self.hops):
            return self._single(frame)
        return self._expanded(frame)

    @property
    def columns(self) -> list[str]:
        """What tells a window from another one: its unit, where there are several, end and keys."""
        keys = [f"_k{place}" for place in range(len(self.key_types))]
        return [*([UNIT] if len(self.units) > 1 else []), END, *keys]

    @property
    def slot_columns(self) -> list[str]:
        return [f"_s{number}" for number in range(len(self.all_slots))]

    def slot_column(self, unit: Unit, aggregate: plan.Aggregate) -> str:
        """The column that holds an aggregate of a unit."""
        place = [each.id for each in self.units].index(unit.id)
        _, slot = self.slots[place][text(aggregate)]
        return f"_s{self.all_slots.index(slot)}"

    def _arguments(self) -> dict[str, plan.Expression]:
        """The aggregates' arguments that are more than a field: columns of their own."""
        return {
            self._argument(index, slot, place): argument
            for index, each in enumerate(self.slots)
            for aggregate, slot in each.values()
            for place, argument in enumerate(aggregate.arguments)
            if not isinstance(argument, plan.Reference)
        }

    def _argument(self, unit: int, slot: Slot, place: int) -> str:
        return f"_u{unit}_s{self.all_slots.index(slot)}_{place}"

    def _entering(self, index: int) -> list[Column]:
        """What a unit gives to the grouping: its keys, its slots' arguments."""
        unit, filled = self.units[index], self.slots[index]
        places = dict(zip(self.key_places(unit), unit.keys, strict=True))
        columns = []
        for place, of in enumerate(self.key_types):
            key = places.get(place)
            value = field_column(key.name) if key else F.lit(None).cast(str(of))
            columns.append(value.alias(f"_k{place}"))
        given = {slot: aggregate for aggregate, slot in filled.values()}
        for number, slot in enumerate(self.all_slots):
            for place, of in enumerate(slot.types):
                value = F.lit(None).cast(_sql(of))
                if slot in given:
                    argument = given[slot].arguments[place]
                    name = self._argument(index, slot, place)
                    if isinstance(argument, plan.Reference):
                        name = argument.name
                    value = field_column(name).cast(_sql(of))
                columns.append(value.alias(f"_a{number}_{place}"))
        return columns

    def _beside(self, frame: DataFrame) -> list[Column]:
        """What goes with a row into all of its windows."""
        ordered = needs_order(self.query, frame.isStreaming)
        order = [F.struct(F.col(TIME), F.col(ORDER)).alias(ORDER)] if ordered else []
        return [*order, *([F.col(ID)] if self.query.deduplicate is not None else [])]

    def _single(self, frame: DataFrame) -> DataFrame:
        met = taken(self.units[0], self.first)
        # Named together with the watermark's time, the condition stays above the watermark: a
        # filtered row moves it, with one unit as with several.
        rows = frame.filter(F.when(F.col(MOVED).isNotNull(), met))
        end = self._ends(self.units[0].window)[0].alias(END)
        return self._ended(rows.select(end, *self._entering(0), *self._beside(frame)))

    def _expanded(self, frame: DataFrame) -> DataFrame:
        ends: dict[plan.Window, list[str]] = {}
        # Columns of their own, so that Spark computes once what the windows have in common.
        columns: dict[str, Column] = {}
        for window in dict.fromkeys(unit.window for unit in self.units):
            found = {f"_end{len(columns) + n}": e for n, e in enumerate(self._ends(window))}
            ends[window] = list(found)
            columns |= found
        frame = frame.withColumns(columns)
        beside = self._beside(frame)
        lists = []
        for index, unit in enumerate(self.units):
            is_taken = F.when(taken(unit, self.first + index), F.lit(unit.id)).alias(UNIT)
            of_unit = [*self._entering(index), *beside]
            lists += [[is_taken, F.col(end).alias(END), *of_unit] for end in ends[unit.window]]
        is_in_window = F.col(UNIT).isNotNull() & F.col(END).isNotNull()
        return self._ended(expanded(frame, lists).filter(is_in_window))

    def _ends(self, window: plan.Window) -> list[Column]:
        """A column for each window of a row; or one with an array of all, where they are many."""
        if self.explodes:
            return [window_ends(F.col(TIME), window)]
        return each_window_end(F.col(TIME), window)

    def _ended(self, rows: DataFrame) -> DataFrame:
        """The rows, one for each window, with the watermark on the window's end."""
        if self.explodes:
            rows = rows.withColumn(END, F.explode(END)).withColumn(END, F.timestamp_micros(END))
        return watermarked(rows, END, self.query.allowed_lateness_ms)

    def aggregates(self) -> list[Column]:
        """The columns of the slots, over the rows that enter."""
        columns = []
        for number, slot in enumerate(self.all_slots):
            pattern = next(
                aggregate
                for each in self.slots
                for aggregate, held in each.values()
                if held == slot
            )
            arguments = tuple(
                argument
                if pattern.aggregation.parameter(place).kind.constant
                else plan.Reference(f"_a{number}_{place}", argument.type)
                for place, argument in enumerate(pattern.arguments)
            )
            moved = plan.Aggregate(pattern.aggregation, arguments, pattern.type, pattern.unified)
            column = compile_expression(moved, self.query.time_zone, F.col(ORDER))
            columns.append(column.alias(f"_s{number}"))
        return columns

    def results(self, frame: DataFrame) -> DataFrame:
        """The measures from the slots: a column for each aggregation, a struct or null.

        Args:
            frame: windows as ``grouped`` gives them; with a ``derived_column`` for each aggregate
                that needs the window before.
        """
        measures: dict[str, plan.Expression] = {}
        for unit, filled in zip(self.units, self.slots, strict=True):
            results = {
                each: plan.Reference(f"_s{self.all_slots.index(slot)}", aggregate.type)
                for each, (aggregate, slot) in filled.items()
            }
            for member in unit.members:
                stream = self.stream(member)
                known = {
                    text(each): plan.Reference(derived_column(stream, place), each.type)
                    for place, each in enumerate(derived(member))
                }
                for place, measure in enumerate(member.measures):
                    measures[f"_m{stream}_{place}"] = _after(measure, results | known)
        frame = add_columns(frame, measures, self.query.time_zone)
        return frame.select(*self.result_columns())

    def result_columns(self) -> list[Column]:
        """A struct column for each aggregation; null where a window is not of it."""
        return [self._struct(unit, member) for unit, member in self.members()]

    def members(self) -> list[tuple[Unit, plan.Aggregation]]:
        """The aggregations, each with its unit."""
        return [(unit, member) for unit in self.units for member in unit.members]

    def streams(self) -> dict[str, str]:
        """The result columns -> their streams."""
        return {stream_column(self.stream(each)): each.name for _, each in self.members()}

    def bounds(self, unit: Unit) -> tuple[Column, Column]:
        """Start and end of the windows of a unit, as users see them."""
        return bounds(F.col(END), unit.window)

    def of_unit(self, unit: Unit, column: Column) -> Column:
        """The column where a row is of the unit, else null."""
        return F.when(F.col(UNIT) == F.lit(unit.id), column) if len(self.units) > 1 else column

    def stream(self, member: plan.Aggregation) -> int:
        """The place of an aggregation in the config: a part of its columns' names."""
        return self.query.aggregations.index(member)

    def _struct(self, unit: Unit, member: plan.Aggregation) -> Column:
        columns = [
            *self.bounds(unit),
            *self.keys(unit, member),
            *[
                F.col(f"_m{self.stream(member)}_{place}").alias(measure.name)
                for place, measure in enumerate(member.measures)
            ],
        ]
        return self.of_unit(unit, F.struct(*columns)).alias(stream_column(self.stream(member)))

    def keys(self, unit: Unit, member: plan.Aggregation) -> list[Column]:
        """The keys of an aggregation of a unit, by their names."""
        places = dict(zip((key.name for key in unit.keys), self.key_places(unit), strict=True))
        return [F.col(f"_k{places[key.name]}").alias(key.name) for key in member.keys]


def _in_this_order(grouped: DataFrame) -> DataFrame:
    """The grouping with its slots in the state in the order of its columns, whatever uses them.

    Spark's optimizer puts what stands on a grouping into it, and its state has the columns in the
    order in which that names them, compared with a checkpoint's by their types alone. So `min` and
    `max` would change places, and go on with each other's numbers, when the measures do. A filter
    that is not deterministic stays where it is.
    """
    return grouped.filter(F.spark_partition_id() >= 0)


def _after(measure: plan.Rule, results: Mapping[str, plan.Reference]) -> plan.Expression:
    """A measure over the columns of its aggregates, which ``results`` has by their text."""
    return plan.rewritten(measure.expression, lambda aggregate: results[text(aggregate)])


def derived_column(stream: int, place: int) -> str:
    """The column of an aggregation's aggregate that needs the window before."""
    return f"_d{stream}_{place}"


def stream_column(index: int) -> str:
    """The column that holds an aggregation's rows."""
    return f"_stream{index}"


def _sql(of: Type) -> str:
    return "void" if of is Type.NULL else str(of)
