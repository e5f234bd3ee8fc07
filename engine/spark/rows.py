"""An input becomes rows: parsed, transformed, dated, each marked as well-formed or not."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from engine import plan
from engine.config.durations import readable
from engine.spark.again import Number
from engine.spark.expression import field_column
from engine.spark.parse import OK, REASON, RECORD, glance, is_unlike, kept, parse
from engine.spark.parse.values import SECONDS, epoch_timestamp
from engine.spark.stages import apply_rules
from engine.spark.windows import is_before
from engine.types import Type

#: When a row happened; the same as the watermark sees it; what sorts rows of one time; when a row
#: was read.
TIME, MOVED, ORDER, ARRIVED = "_time", "_moved", "_order", "_arrived"
#: Of a row in a window: which grouping it is, and when it ends.
UNIT, END = "_unit", "_end"

#: Whether a record is one to go on with.
_WANTED = "_wanted"
_ALL_PARTITIONS = 1_000_000


def rows(spark: SparkSession, query: plan.Query, streaming: bool) -> DataFrame:
    """Every record of the input as a row, the malformed ones too.

    Columns: ``_record`` (its text), where it came from, ``_arrived``, the fields, ``_time``,
    ``_ok`` and ``_reason``; ``_order`` where an aggregation goes by the order of rows.
    """
    source = query.input.source
    frame = source.frame(spark, streaming, query.name)
    if needs_order(query, streaming):
        # Before anything moves rows: the order of a source is known only where it is read.
        frame = frame.withColumn(ORDER, F.struct(*source.order()))
    parsed = parse(source.told(_records(frame)), query.input.fields, **_format(query))
    return _dated(apply_rules(parsed, query.rules, query.time_zone, query.tables), query)


def older(records: DataFrame, query: plan.Query, watermark: Number) -> DataFrame:
    """Those of the records that happened before a watermark, and some that may not have.

    No more is parsed than what their time is made of.
    """
    rules, fields = _dating(query)
    parsed = glance(records, fields, **_format(query)) if fields else records
    dated = apply_rules(parsed, rules, query.time_zone, query.tables)
    dated = dated.withColumn(TIME, _event_time(query))
    is_older = is_before(F.col(TIME), watermark, F.col(ARRIVED))
    wanted = is_unlike(query.input.format) | is_older if fields else is_older
    return dated.withColumn(_WANTED, kept(wanted)).filter(_WANTED)


def _dating(query: plan.Query) -> tuple[list[plan.Rule], list[plan.InputField]]:
    """The rules and the fields that the event time comes from."""
    needed = {query.event_time.name} if query.event_time else set()
    rules = []
    for rule in reversed(query.rules):
        if rule.name in needed:
            found = plan.walk(rule.expression)
            needed.remove(rule.name)
            needed |= {each.name for each in found if isinstance(each, plan.Reference)}
            rules.append(rule)
    return rules[::-1], [each for each in query.input.fields if each.name in needed]


def _format(query: plan.Query) -> dict[str, str]:
    """How records are written."""
    about = query.input
    return {"format": about.format, "sep": about.sep, "time_zone": query.time_zone}


def _records(frame: DataFrame) -> DataFrame:
    """Adds the time of the micro-batch; what was ``value`` is named apart from fields.

    Spark writes that time as a number into the code that it generates. Such code is new in each
    micro-batch: Java compiles it, and the JVM begins again to learn what of it is hot, 1 to 2 CPU
    seconds a batch were it the code that parses. To coalesce to more partitions than there are
    changes nothing, and no code is generated across it: what is above stays as it was.
    """
    others = [F.col(name) for name in frame.columns if name != "value"]
    # Records of a test bring the time of their arrival.
    arrived = [] if ARRIVED in frame.columns else [F.current_timestamp().alias(ARRIVED)]
    records = frame.select(*others, F.col("value").alias(RECORD), *arrived)
    return records.coalesce(_ALL_PARTITIONS)


def needs_order(query: plan.Query, streaming: bool) -> bool:
    """Whether something asks for the order of rows: an aggregation (``first``, ``last``), or, in a
    static frame and in sessions, which of two duplicates came first."""
    if query.deduplicate is not None and (not streaming or query.has_sessions):
        return True
    return any(
        isinstance(node, plan.Aggregate) and node.aggregation.by_order
        for aggregation in query.aggregations
        for measure in aggregation.measures
        for node in plan.walk(measure.expression)
    )


def _dated(frame: DataFrame, query: plan.Query) -> DataFrame:
    """Adds the event time; a row without one, or too far in the future, is malformed."""
    frame = frame.withColumn(TIME, _event_time(query))
    time, arrived = F.col(TIME), F.col(ARRIVED)
    told = [F.col(REASON)]
    fits = F.col(OK) & time.isNotNull()
    if query.event_time is not None:
        text = f"the event time '{query.event_time.name}' is null or out of range"
        told.append(F.when(time.isNull(), F.lit(text)))
    if query.max_future_ms is not None:
        limit = F.unix_micros(arrived) + F.lit(query.max_future_ms * 1000)
        is_future = F.unix_micros(time) > limit
        fits = fits & ~is_future
        text = f"dated more than {readable(query.max_future_ms)} ahead of its arrival"
        told.append(F.when(is_future, F.lit(text)))
    return frame.withColumns({OK: F.coalesce(fits, F.lit(False)), REASON: F.coalesce(*told)})


def _event_time(query: plan.Query) -> Column:
    if query.event_time is None:
        return F.col("_recorded") if query.input.source.has_time else F.col(ARRIVED)
    field = field_column(query.event_time.name)
    if query.event_time.type is Type.TIMESTAMP:
        return field
    if query.event_time.type.is_fractional:
        return epoch_timestamp(field)
    return F.when(
        field.between(*SECONDS), F.timestamp_micros(field.cast("bigint") * F.lit(1_000_000))
    )
