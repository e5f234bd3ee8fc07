"""Rows on their way into windows become those that repeat no row that came before them.

In a stream Spark keeps what it has seen in a stateful operator of its own, which stands before the
grouping. It is given the window's end as the event time, so it refuses exactly the late rows that
the grouping would: they are late, whatever came before.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Observation, Window
from pyspark.sql import functions as F

from engine import plan
from engine.fusion import Unit, remembered_ms
from engine.spark.expression import field_column
from engine.spark.rows import ARRIVED, END, ORDER, TIME, UNIT
from engine.spark.windows import watermarked

#: What is equal in duplicates; the end of the window in which they are sought, where windows hop.
ID, _HOP = "_id", "_hop"
#: The name of the counts of what passes, in Spark's plan.
PASSED = "passed"


def identity(deduplicate: plan.Deduplicate) -> Column:
    """What is equal in duplicates; a row with a null there has something that no other row has."""
    fields = [field_column(each.name) for each in deduplicate.by]
    has_null = F.lit(False)
    for field in fields:
        has_null = has_null | field.isNull()
    # The time of the micro-batch, and the row's number in it.
    alone = F.when(has_null, F.struct(F.col(ARRIVED), F.monotonically_increasing_id()))
    return F.struct(*[each.alias(f"f{place}") for place, each in enumerate(fields)], alone)


def without_duplicates(
    frame: DataFrame, query: plan.Query, units: Sequence[Unit], passed: Observation | str
) -> DataFrame:
    """The rows without duplicates.

    Args:
        frame: a row for each window that a row is in, with ``ID`` and the window's end; of a static
            frame with ``ORDER``.
        passed: counts the rows by unit.
    """
    deduplicate = query.deduplicate
    assert deduplicate is not None
    # Hopping windows judge each for itself: one may refuse a row as late that another one takes.
    hops = [unit for unit in units if isinstance(unit.window, plan.Hopping)]
    frame = frame.withColumn(_HOP, F.when(_is_of(hops, units), F.unix_micros(END)))
    key = [*([UNIT] if len(units) > 1 else []), _HOP, ID]
    if frame.isStreaming:
        # Forgotten when the watermark, which is that of the rows, has passed the end by so much.
        frame = watermarked(frame, END, remembered_ms(deduplicate, units))
        frame = frame.dropDuplicatesWithinWatermark(key)
        frame = watermarked(frame, END, query.allowed_lateness_ms)
    else:
        frame = _static(frame, key, deduplicate.within_ms)
    counts = [
        F.count(F.when(_is_of([unit], units), 1)).alias(f"passed{index}")
        for index, unit in enumerate(units)
    ]
    return frame.drop(_HOP, ID).observe(passed, *counts)


def _is_of(some: Sequence[Unit], units: Sequence[Unit]) -> Column:
    if len(units) == 1:
        return F.lit(bool(some))
    return F.col(UNIT).isin([unit.id for unit in some])


def _static(frame: DataFrame, key: Sequence[str], within_ms: int) -> DataFrame:
    """The rows before which, in the order of the source, none was near them in event time."""
    order = F.col(f"{ORDER}.{ORDER}")
    return (
        frame.withColumn("_first", first_like_it(order, key, within_ms))
        .filter(F.col("_first") == order)
        .drop("_first")
    )


def first_like_it(order: Column, key: Sequence[str], within_ms: int) -> Column:
    """The least ``order`` of the rows with the same key, and near in event time: a row of another
    one is a duplicate."""
    time = F.unix_micros(f"{ORDER}.{TIME}")
    near = Window.partitionBy(*key).orderBy(time).rangeBetween(-within_ms * 1000, within_ms * 1000)
    return F.min(order).over(near)
