"""The windows of a batch, and those kept from the batches before it, become measures that need the
window before: ``delta``, ``increase``, ``rate``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from engine import plan
from engine.declare import Context, Derived
from engine.fusion import Unit, derived, parts
from engine.spark.again import Frames, Number
from engine.spark.aggregate import Grouping, derived_column
from engine.spark.expression import applied, finite
from engine.spark.rows import END, UNIT
from engine.spark.windows import is_refused
from engine.types import Type

#: Whether a window has new rows; in which series of hopping windows it is, each window of which
#: ends where the next begins; whether it is to be written, and to be kept for the next batch.
_TOUCHED, _SERIES, _CHANGED, _KEPT = "_touched", "_series", "_changed", "_kept"


class Derivation:
    """The derived measures of a grouping, from windows in the form of ``Grouping.grouped``.

    *Carried* are the slots that the next window goes on from. For each of them, the window before
    is the last one of the key that has a value there.
    """

    def __init__(self, grouping: Grouping) -> None:
        self.grouping = grouping
        self.units = [unit for unit in grouping.units if unit.carried]
        self.carried = sorted(
            {grouping.slot_column(unit, each) for unit in self.units for each in unit.carried}
        )
        self._watermark = Number()
        self._frames = Frames()

    def joined(
        self, touched: DataFrame, kept: DataFrame | None, watermark_ms: int | None
    ) -> DataFrame:
        """The windows of a batch and those kept before it, with the derived columns.

        A kept window to which the batch has added rows is in ``touched`` too, and taken from there.

        Args:
            watermark_ms: up to where windows are closed; None where there is no watermark yet.
        """
        self._watermark.tell(watermark_ms * 1000 if watermark_ms is not None else None)
        if kept is not None:
            kept = kept.withColumn(_TOUCHED, F.lit(False))
        return self._frames.of("joined", self._joined, touched, kept)

    def _joined(self, touched: DataFrame, kept: DataFrame | None) -> DataFrame:
        rows = touched.withColumn(_TOUCHED, F.lit(True))
        if kept is not None:
            rows = rows.union(kept)
        rows = rows.withColumn(_SERIES, self._by_unit(_series))
        # All that follows is in one order, for one exchange and one sort.
        one = Window.partitionBy(*[c for c in self.grouping.columns if c != END], _SERIES)
        order = one.orderBy(END, _TOUCHED)
        if kept is not None:
            rows = rows.withColumn("_next", F.lead(END).over(order))
            rows = rows.filter(~F.col("_next").eqNullSafe(F.col(END))).drop("_next")
        past = order.rowsBetween(Window.unboundedPreceding, -1)
        rows = rows.withColumns(
            {_before(slot): F.last(_handed_on(slot), True).over(past) for slot in self.carried}
        )
        return rows.withColumns(
            {
                **{name: self._measure(*of) for name, of in self._derived()},
                _CHANGED: reduce(or_, map(_follows_touched, self.carried), F.col(_TOUCHED)),
                _KEPT: self._is_kept(one),
            }
        )

    def written(self, joined: DataFrame) -> DataFrame:
        """A struct column for each stream: of windows that are touched, or follow one that is."""
        return self._frames.of(
            "written", lambda rows: self.grouping.results(rows.filter(_CHANGED)), joined
        )

    def left(self, joined: DataFrame) -> DataFrame:
        """The windows that the next batch needs."""
        columns = [*self.grouping.columns, *self.grouping.slot_columns]
        return self._frames.of("left", lambda rows: rows.filter(_KEPT).select(*columns), joined)

    def kept_schema(self, touched: StructType) -> StructType:
        """What ``left`` gives of windows of this schema."""
        return touched

    def _by_unit(self, of: Callable[[Unit], Column]) -> Column:
        """A column that depends on the unit; null for units without derived measures."""
        if len(self.grouping.units) == 1:
            return of(self.units[0])
        cases = [F.when(F.col(UNIT) == F.lit(unit.id), of(unit)) for unit in self.units]
        return F.coalesce(*cases)

    def _derived(self) -> Iterator[tuple[str, tuple[Unit, plan.Aggregation, plan.Aggregate]]]:
        """Each derived column, and what is in it."""
        for unit in self.units:
            for member in unit.members:
                stream = self.grouping.stream(member)
                for place, each in enumerate(derived(member)):
                    yield derived_column(stream, place), (unit, member, each)

    def _measure(self, unit: Unit, member: plan.Aggregation, aggregate: plan.Aggregate) -> Column:
        """What a derived aggregate is, by its declaration and the aggregation's fill."""
        declaration = aggregate.aggregation
        assert isinstance(declaration, Derived)
        slots = [self.grouping.slot_column(unit, each) for each in parts(aggregate)]
        whole = Type.DOUBLE if aggregate.arguments[0].type.is_fractional else Type.LONG
        last, *bases = [F.col(slot).cast(str(whole)) for slot in slots]
        before = F.col(_before(slots[0]))
        context = Context(
            (whole,),
            self.grouping.query.time_zone,
            before=before["value"].cast(str(whole)),
            bases=tuple(bases),
        )
        value = applied(declaration, [last], context)
        start, end = (F.unix_micros(each) for each in self.grouping.bounds(unit))
        passed = F.unix_micros(END) - F.unix_micros(before["end"])
        if declaration.per_second:
            value = value / (passed / F.lit(1_000_000))
        elif member.fill == plan.LINEAR:
            value = value / (passed / (end - start))
        follows = before.isNotNull()
        if member.fill == plan.NULL:
            follows = follows & (passed == end - start)
        value = F.when(follows, value)
        return finite(value) if aggregate.type.is_fractional else value

    def _is_kept(self, one: WindowSpec) -> Column:
        """Whether a window may still be corrected, or is the last closed one with a value."""
        is_ours = self._by_unit(lambda unit: F.lit(True)).isNotNull()
        is_closed = is_refused(F.col(END), self._watermark)
        lasts = [
            F.max(F.when(is_closed & F.col(slot).isNotNull(), F.col(END))).over(one)
            for slot in self.carried
        ]
        is_last = [F.col(END).eqNullSafe(last) for last in lasts]
        return is_ours & reduce(or_, is_last, ~is_closed)


def _series(unit: Unit) -> Column:
    if isinstance(unit.window, plan.Hopping):
        return F.pmod(F.unix_micros(END), F.lit(unit.window.size_ms * 1000))
    return F.lit(0).cast("long")


def _before(slot: str) -> str:
    """The column of what the window before hands on."""
    return f"_before{slot}"


def _handed_on(slot: str) -> Column:
    """What a window hands on to the next one, where it has a value."""
    told = F.struct(F.col(slot).alias("value"), F.col(END).alias("end"), F.col(_TOUCHED))
    return F.when(F.col(slot).isNotNull(), told)


def _follows_touched(slot: str) -> Column:
    return F.coalesce(F.col(_before(slot))[_TOUCHED], F.lit(False))
