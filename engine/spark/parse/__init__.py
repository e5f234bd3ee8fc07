"""A record's text becomes typed fields, or the reason why it cannot."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from engine import plan
from engine.spark.parse import csv, json, values
from engine.spark.parse.names import OK, REASON, RECORD, TEXT, kept, value

__all__ = ["OK", "REASON", "RECORD", "glance", "is_unlike", "kept", "parse", "record_text"]


def parse(
    frame: DataFrame,
    fields: Sequence[plan.InputField],
    *,
    format: str,
    sep: str,
    time_zone: str,
) -> DataFrame:
    """The frame with a typed column for each field.

    A malformed record keeps its row: ``_ok`` is false, ``_reason`` says why (costly, and computed
    only where it is selected), its fields are null or meaningless. Nothing raises.

    Args:
        frame: ``_record`` is the record's text, a string or binary. All columns stay.
        fields: by ``index`` for csv, by ``path`` for json.
        format: ``csv`` or ``json``.
        sep: csv: what stands between columns, one or several characters, no quote.
        time_zone: of times that name none.
    """
    others = [F.col(name) for name in frame.columns]
    if format == "csv":
        read = csv.read(frame, fields, sep, time_zone)
    else:
        read = json.read(frame, fields, time_zone)
    not_utf8 = F.col(RECORD).isNotNull() & F.col(TEXT).isNull()
    reason = F.when(not_utf8, F.lit("not valid UTF-8")).otherwise(read.reason)
    return read.frame.withColumn(OK, kept(read.ok)).select(
        *others, *_named(fields), OK, F.when(~F.col(OK), reason).alias(REASON)
    )


def glance(
    frame: DataFrame,
    fields: Sequence[plan.InputField],
    *,
    format: str,
    sep: str,
    time_zone: str,
) -> DataFrame:
    """As ``parse``, without a word on what is malformed, at a third of the cost: the fields of
    well-formed records, but for those that ``is_unlike`` tells; of others anything."""
    others = [F.col(name) for name in frame.columns]
    if format == "csv":
        found = csv.glance(frame, fields, sep, time_zone)
    else:
        found = json.read(frame, fields, time_zone).frame
    return found.select(*others, *_named(fields))


def is_unlike(format: str) -> Column:
    """Whether a glance may take fields of a well-formed record for others."""
    # Where a column ends is known from all quotes of the record.
    return F.col(RECORD).cast("string").contains('"') if format == "csv" else F.lit(False)


def _named(fields: Sequence[plan.InputField]) -> list[Column]:
    return [
        values.without_nan(F.col(value(index)), each.type).alias(each.name)
        for index, each in enumerate(fields)
    ]


def record_text(record: Column) -> Column:
    """A record for people: whole, with U+FFFD where it is not UTF-8."""
    return F.make_valid_utf8(record.cast("string"))
