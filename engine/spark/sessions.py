"""Rows become sessions: windows that last as long as rows of a key follow each other by less than
the gap.

Spark has session windows, and refuses them where a window's row is written again when it changes. A
window that is computed cannot grow either. So the rows of sessions that may still go on are kept
between batches, and a batch makes its sessions of those rows and its own, by the same aggregates
as other windows. What that costs grows with the rows that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, StructField, StructType, TimestampType

from engine import plan
from engine.fusion import Unit
from engine.spark.again import Frames, Number
from engine.spark.aggregate import Grouping
from engine.spark.duplicates import ID, first_like_it, identity
from engine.spark.rows import END, ORDER, UNIT
from engine.spark.windows import bounds, is_refused

#: Of a row: whether it is of this batch; whether it was refused, or repeats one that came before;
#: the session that it was written in, and the one that it is in, both by the end of a session of
#: its first row alone; whether that one has rows of this batch, and may still go on.
_FRESH, _LATE, _DUPLICATE, _WRITTEN, _FIRST = "_fresh", "_late", "_dup", "_written", "_first"
_TOUCHED, _KEPT = "_touched", "_kept"
#: The column, not null in some row where a row was refused.
REFUSED = "_refused"


class Sessions(Grouping):
    """The sessions of a query: of the rows that ``entering`` gives, whose end is that of a session
    of the row alone."""

    def __init__(self, units: Sequence[Unit], query: plan.Query, first: int) -> None:
        super().__init__(units, query, first)
        self._watermark = Number()
        self._frames = Frames()

    def entering(self, frame: DataFrame) -> DataFrame:
        if self.query.deduplicate is not None:
            frame = frame.withColumn(ID, identity(self.query.deduplicate))
        return super().entering(frame)

    def joined(
        self, fresh: DataFrame, kept: DataFrame | None, watermark_ms: int | None
    ) -> DataFrame:
        """The rows of a batch and those kept before it, each with its session.

        Args:
            watermark_ms: up to where rows are refused; None where nothing is.
        """
        self._watermark.tell(watermark_ms * 1000 if watermark_ms is not None else None)
        if kept is not None:
            kept = kept.withColumns({_FRESH: F.lit(False), _LATE: F.lit(False)})
            kept = kept.select(*fresh.columns, *self._told)
        return self._frames.of("joined", self._joined, fresh, kept)

    def _joined(self, fresh: DataFrame, kept: DataFrame | None) -> DataFrame:
        values = {
            _FRESH: F.lit(True),
            _LATE: is_refused(F.col(END), self._watermark),
            _WRITTEN: F.lit(None).cast("timestamp"),
            _DUPLICATE: F.lit(None).cast("boolean"),
        }
        rows = fresh.withColumns({name: values[name] for name in self._told})
        if kept is not None:
            rows = rows.union(kept)
        rows = self._judged(rows)
        series = Window.partitionBy(*self._key).orderBy(END)
        passed = F.unix_micros(END) - F.unix_micros(F.lag(END).over(series))
        begins = F.coalesce(passed >= self._gap(), F.lit(True))
        until_here = series.rowsBetween(Window.unboundedPreceding, Window.currentRow)
        rows = rows.withColumn("_begin", F.when(begins, F.col(END)))
        rows = rows.withColumn(_FIRST, F.last("_begin", True).over(until_here)).drop("_begin")
        session = Window.partitionBy(*self._key, _FIRST)
        return rows.withColumns(
            {
                _TOUCHED: F.max(_FRESH).over(session),
                _KEPT: self._is_kept(F.max(END).over(session)),
            }
        )

    def written(self, joined: DataFrame) -> DataFrame:
        """A struct column for each aggregation, of the sessions that have new rows; beside each the
        sessions that are no more, since they became a part of another one; and ``REFUSED``."""
        return self._frames.of("written", self._written, joined)

    def _written(self, joined: DataFrame) -> DataFrame:
        grouped = joined.filter(_TOUCHED).groupBy(*self._key, _FIRST)
        before = F.collect_set(_WRITTEN).alias(_WRITTEN)
        return self.results(grouped.agg(F.max(END).alias(END), before, *self.aggregates()))

    def passed(self, joined: DataFrame) -> dict[str, int]:
        """How many rows of the batch are neither late nor duplicates, as the ledger names them."""
        those = joined.filter(F.col(_FRESH) & self._is_in_session())
        counts = [
            F.count(super(Sessions, self).of_unit(unit, F.lit(1))).alias(
                f"passed{self.first + index}"
            )
            for index, unit in enumerate(self.units)
        ]
        found = those.agg(*counts).first()
        return {} if found is None else found.asDict()

    def left(self, joined: DataFrame) -> DataFrame:
        """The rows that the next batch needs."""
        return self._frames.of("left", self._left, joined)

    def _left(self, joined: DataFrame) -> DataFrame:
        rows = joined.filter(_KEPT).withColumn(_WRITTEN, F.col(_FIRST))
        return rows.drop(_FRESH, _LATE, _FIRST, _TOUCHED, _KEPT)

    def kept_schema(self, fresh: StructType) -> StructType:
        """What ``left`` gives of rows of this schema."""
        told = [StructField(_DUPLICATE, BooleanType())] if self.query.deduplicate else []
        return StructType([*fresh, StructField(_WRITTEN, TimestampType()), *told])

    def result_columns(self) -> list[Column]:
        gone = [self._gone(unit, member) for unit, member in self.members()]
        was_refused = F.when(F.col(_LATE), F.struct(_LATE)).alias(REFUSED)
        return [*super().result_columns(), *gone, was_refused]

    def bounds(self, unit: Unit) -> tuple[Column, Column]:
        start, _ = bounds(F.col(_FIRST), unit.window)
        _, end = bounds(F.col(END), unit.window)
        return start, end

    def of_unit(self, unit: Unit, column: Column) -> Column:
        return F.when(self._is_in_session(), super().of_unit(unit, column))

    def gone_columns(self) -> dict[str, str]:
        """The columns of sessions that are no more -> their streams."""
        return {gone_column(self.stream(each)): each.name for _, each in self.members()}

    def _gone(self, unit: Unit, member: plan.Aggregation) -> Column:
        """Keys and starts of the sessions that this one has taken the place of."""
        firsts = F.array_except(F.col(_WRITTEN), F.array(_FIRST))

        def row(first: Column) -> Column:
            return F.struct(bounds(first, unit.window)[0], *self.keys(unit, member))

        return self.of_unit(unit, F.transform(firsts, row)).alias(gone_column(self.stream(member)))

    @property
    def _key(self) -> list[str]:
        """What tells series of sessions from each other; rows that are in none have their own."""
        told = [_DUPLICATE] if self.query.deduplicate is not None else []
        return [*(name for name in self.columns if name != END), _LATE, *told]

    @property
    def _told(self) -> list[str]:
        """What a row has beside its own columns before it is in a session."""
        told = [_DUPLICATE] if self.query.deduplicate is not None else []
        return [_FRESH, _LATE, _WRITTEN, *told]

    def _is_in_session(self) -> Column:
        is_duplicate = F.col(_DUPLICATE) if self.query.deduplicate is not None else F.lit(False)
        return ~F.col(_LATE) & ~is_duplicate

    def _judged(self, rows: DataFrame) -> DataFrame:
        """The rows, each with whether it repeats one that came before: those that were kept did."""
        deduplicate = self.query.deduplicate
        if deduplicate is None:
            return rows
        order = F.struct(_FRESH, F.col(f"{ORDER}.{ORDER}"))
        key = [*([UNIT] if len(self.units) > 1 else []), _LATE, ID]
        first = first_like_it(order, key, deduplicate.within_ms)
        # Duplicates are kept, too: what is near one of them repeats it, as in a batch.
        judged = F.when(F.col(_FRESH), first != order).otherwise(F.col(_DUPLICATE))
        return rows.withColumn(_DUPLICATE, judged)

    def _gap(self) -> Column:
        """The gap of a row's unit, in microseconds."""
        gaps = [F.lit(_gap_ms(unit) * 1000) for unit in self.units]
        if len(gaps) == 1:
            return gaps[0]
        cases = zip(self.units, gaps, strict=True)
        return F.coalesce(*[F.when(F.col(UNIT) == F.lit(unit.id), gap) for unit, gap in cases])

    def _is_kept(self, end: Column) -> Column:
        """Whether a row that is not refused could join a session with this end, or repeat a row
        in it.

        Such a row has its own end, a gap behind it, behind the watermark; and it is before the end
        of the session, or near the other row. The watermark never goes back, so what is forgotten
        stays as it is.
        """
        reach = self._gap()
        if self.query.deduplicate is not None:
            reach = F.greatest(reach, F.lit(self.query.deduplicate.within_ms * 1000))
        latest = F.timestamp_micros(F.unix_micros(end) + reach)
        return ~F.col(_LATE) & ~is_refused(latest, self._watermark)


def _gap_ms(unit: Unit) -> int:
    assert isinstance(unit.window, plan.Session)
    return unit.window.gap_ms


def gone_column(index: int) -> str:
    """The column that holds what was an aggregation's session, and is no more."""
    return f"_gone{index}"
