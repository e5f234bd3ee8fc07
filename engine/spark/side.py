"""All rows of a micro-batch become the streams beside the windows: raw, malformed and late."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from engine import plan
from engine.fusion import Unit
from engine.spark.again import Number
from engine.spark.aggregate import taken
from engine.spark.expression import field_column
from engine.spark.parse import OK, REASON, RECORD, record_text
from engine.spark.rows import ARRIVED, TIME
from engine.spark.windows import bounds, first_window_end, is_refused, window_ends

_RAW, _MALFORMED, _LATE = "_side_raw", "_side_malformed", "_side_late"


def side_columns(
    query: plan.Query, units: Sequence[Unit], watermark: Number | None
) -> dict[str, Column]:
    """A struct column for ``raw`` and ``malformed``, null where a row is not of that stream; for
    ``late`` an array of structs, one for each window that refused the row.

    Args:
        watermark: the watermark by which late rows were refused; None where none were.
    """
    ok = F.col(OK)
    fields = [field_column(name).alias(name) for name in query.fields]
    origin = [
        *[F.col(name) for name, _ in query.input.source.origin],
        F.col(ARRIVED),
        F.lit(None).cast("bigint").alias("_batch"),
    ]
    record = [F.col(REASON).alias("reason"), record_text(F.col(RECORD)).alias("record")]
    found = {
        _RAW: F.when(ok, F.struct(*fields, *origin)),
        _MALFORMED: F.when(~ok, F.struct(*record, *origin)),
    }
    if watermark is not None and units:
        refused = [
            refusals(unit, index, member, watermark, [*fields, *origin])
            for index, unit in enumerate(units)
            for member in unit.members
        ]
        found[_LATE] = F.concat(*refused)
    return {name: column.alias(name) for name, column in found.items()}


def refusals(
    unit: Unit,
    index: int,
    member: plan.Aggregation,
    watermark: Number,
    columns: Sequence[Column],
) -> Column:
    """The late rows of an aggregation: an array of a struct, or null, for each window of the row.

    A struct where the window had ended for good.
    """
    enters = F.col(OK) & taken(unit, index)

    def refusal(end: Column) -> Column:
        about = [F.lit(member.name).alias("aggregation"), *bounds(end, unit.window)]
        return F.struct(*about, *columns)

    if not isinstance(unit.window, plan.Hopping):
        end = F.col(_first_end(index))
        return F.array(F.when(enters & is_refused(end, watermark), refusal(end)))
    ends = F.when(enters, window_ends(F.col(TIME), unit.window))
    ended = F.filter(ends, lambda end: is_refused(F.timestamp_micros(end), watermark))
    found = F.transform(ended, lambda end: refusal(F.timestamp_micros(end)))
    return F.coalesce(found, F.array())


def _first_end(index: int) -> str:
    """The column with the end of the first window, in the unit of this index, that a row is in."""
    return f"_end{index}"


def side_streams(streams: Iterable[str]) -> dict[str, str]:
    """The columns of ``side_frame`` -> their streams."""
    return {f"_side_{stream}": stream for stream in streams}


def side_frame(
    every: DataFrame,
    query: plan.Query,
    units: Sequence[Unit],
    watermark: Number | None,
    streams: frozenset[str],
) -> DataFrame:
    """The rows of some side streams in one pass, a column for each."""
    columns = side_columns(query, units, watermark)
    those = side_streams(streams)
    wanted = {name: column for name, column in columns.items() if name in those}
    # What tells of which streams a row is; the arrays of late rows are made of late ones only.
    is_of = {_RAW: F.col(OK), _MALFORMED: ~F.col(OK)}
    if _LATE in wanted:
        # Columns of their own: an end by a calendar is costly, and a late row names it many times.
        every = every.withColumns(
            {
                _first_end(index): F.when(F.col(OK), first_window_end(F.col(TIME), unit.window))
                for index, unit in enumerate(units)
            }
        )
        assert watermark is not None
        refused = [
            taken(unit, index) & is_refused(F.col(_first_end(index)), watermark)
            for index, unit in enumerate(units)
        ]
        is_of[_LATE] = F.col(OK) & reduce(or_, refused)
    is_any = reduce(or_, (is_of[name] for name in wanted))
    return every.filter(is_any).select(*wanted.values())
