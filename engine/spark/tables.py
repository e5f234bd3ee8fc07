"""What was read of a table becomes what executors can reach: a frame, or a file of the job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from engine.spark.arrow import ARROW
from engine.tables import Content, Table
from engine.types import Type

KEY = "_key"
#: Beyond so many bytes Spark keeps rows apart from its plans: always, for it walks and compares the
#: plan of every micro-batch.
_LIMIT = "spark.sql.execution.arrow.localRelationThreshold"


def place_column(place: int) -> str:
    """The column of a frame that holds the column of a table at this place."""
    return f"_c{place}"


def arrow_column(values: Iterable[Any], of: Type) -> pa.Array:
    """Values of a type; times are microseconds since 1970."""
    if of is Type.TIMESTAMP:
        return pa.array(values, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return pa.array(values, ARROW[of])


def frame(spark: SparkSession, table: Table, content: Content) -> DataFrame:
    """The rows as a frame that is kept by the executors: ``KEY``, and a ``place_column`` each.

    A micro-batch makes the broadcast of a table anew. Of a million rows that takes half as long
    when they are kept.
    """
    columns = {KEY: arrow_column(content.keys, table.key_type)}
    for place, (name, of) in enumerate(table.columns.items()):
        columns[place_column(place)] = arrow_column(content.columns[name], of)
    before = spark.conf.get(_LIMIT)
    spark.conf.set(_LIMIT, "0")
    try:
        rows = spark.createDataFrame(pa.table(columns))
    finally:
        spark.conf.set(_LIMIT, str(before))
    return rows.coalesce(1).persist()


def release(held: Any) -> None:
    """Frees what executors keep of a frame."""
    if isinstance(held, DataFrame):
        held.unpersist()
