"""A small run that does what runs do: the classes that its JVM loads are what an archive holds."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from engine.spark import jvm
from engine.spark.arrow import map_in_arrow
from engine.spark.session import session

if TYPE_CHECKING:
    import pyarrow

_FIELDS = "split(value, ',')"


def rehearse() -> None:
    """Reads, splits, casts, aggregates and writes a few rows, as a stream and as a batch."""
    with tempfile.TemporaryDirectory() as folder:
        spark = session("rehearsal", checkpoint=f"{folder}/checkpoint")
        (Path(folder) / "in").mkdir()
        lines = (f"{time},{time % 7},a,{time}.5\n" for time in range(1000))
        (Path(folder) / "in" / "rows.csv").write_text("".join(lines))
        stream = spark.readStream.schema("value string").text(f"{folder}/in")
        rows = stream.selectExpr(
            f"timestamp_seconds(try_cast(get({_FIELDS}, 0) as double)) as time",
            f"try_cast(get({_FIELDS}, 1) as long) as key",
            f"try_cast(get({_FIELDS}, 3) as double) as value",
            "value as record",
        ).withWatermark("time", "0 seconds")
        windows = rows.groupBy(F.window("time", "10 seconds"), "key").agg(
            F.max("value").alias("max"), F.try_avg("value").alias("mean"), F.count("*").alias("n")
        )
        query = (
            windows.writeStream.outputMode("update")
            .foreachBatch(_write)
            .option("checkpointLocation", f"{folder}/checkpoint")
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        _batch(spark, folder)
        spark.stop()


def _write(rows: DataFrame, _: int) -> None:
    kept = rows.persist()
    map_in_arrow(kept, _count, "n long").collect()
    kept.selectExpr("to_json(struct(*)) as line").toArrow()
    kept.unpersist()


def _count(batches: Iterator[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
    import pyarrow

    yield pyarrow.record_batch([pyarrow.array([sum(each.num_rows for each in batches)])], ["n"])


def _batch(spark: SparkSession, folder: str) -> None:
    rows = spark.read.text(f"{folder}/in").selectExpr(
        "from_json(value, 'a long, b string') as json", "from_csv(value, 'a long, b string') as csv"
    )
    rows.groupBy("csv.a").agg(F.sum("json.a"), F.percentile("csv.a", F.lit(0.5))).collect()


if __name__ == "__main__":
    rehearse()
    sys.exit(jvm.end())
