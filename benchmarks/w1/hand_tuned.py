"""W1 as a good Spark engineer writes it by hand: no internals, every setting thought about."""

import argparse
import os
import sqlite3
import sys
from collections.abc import Iterable

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("rows")
parser.add_argument("result")
parser.add_argument("checkpoint")
parser.add_argument("--files-per-batch", type=int, default=4)
parser.add_argument("--sink", choices=["sqlite", "noop"], default="sqlite")
options = parser.parse_args()

COLUMNS = {
    "sensor_id": "INTEGER",
    "sensor_type": "TEXT",
    "window_start": "TEXT",
    "rpm_max": "REAL",
    "rpm_min": "REAL",
    "rpm_sum": "REAL",
    "speed_lt": "INTEGER",
    "speed_gt": "INTEGER",
    "counter": "INTEGER",
}
CORES = str(os.cpu_count())
SETTINGS = {
    # A stream of this size wants a partition a core; the default of 200 is 200 tasks, 200 state
    # files and 200 commits a batch.
    "spark.sql.shuffle.partitions": CORES,
    # The default manager asks Hadoop's FileContext, which forks a `chmod` for each checkpoint file
    # where there is no native Hadoop.
    "spark.sql.streaming.checkpointFileManagerClass": (
        "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
    ),
    # In update mode an empty batch has nothing to tell.
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # On two cores 41 CPU seconds for 2 million rows in 10 batches, where G1 took 45 and the serial
    # collector 43.
    "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
}


def connect() -> sqlite3.Connection:
    """A connection in autocommit mode, so that `BEGIN IMMEDIATE` is ours to say.

    Two executors write to one file: with a write-ahead log a commit does not wait for the disk.
    """
    connection = sqlite3.connect(options.result, timeout=600, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def upsert(rows: Iterable[Row]) -> None:
    """Writes the windows of one partition; a window that is there already is replaced."""
    places = ", ".join("?" * len(COLUMNS))
    # All rows first: the lock is not to be held while Spark computes the partition.
    windows = list(rows)
    connection = connect()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(f"INSERT OR REPLACE INTO rotation VALUES ({places})", windows)
    connection.execute("COMMIT")
    connection.close()


def save(batch: DataFrame, batch_id: int) -> None:
    """Writes from the executors; `noop` makes Spark compute the batch and write nothing."""
    if options.sink == "noop":
        batch.write.format("noop").mode("overwrite").save()
    else:
        # Arrow (an iterating `arrow_udf`, `DataSourceArrowWriter`) takes as long at 5,000 rows a
        # partition, and each new worker has to import pyarrow; `mapInArrow` wants pandas.
        batch.foreachPartition(upsert)


def main() -> None:
    """Takes all files, a few at a time, and ends."""
    declarations = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    connection = connect()
    connection.execute(
        f"CREATE TABLE rotation ({declarations}, "
        "PRIMARY KEY (sensor_id, sensor_type, window_start)) WITHOUT ROWID"
    )
    connection.close()

    # Spark would start the system's `python3` for the workers.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.appName("W1").master(f"local[{CORES}]")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")

    # `split` and a cast of the four columns that the query needs cost less than the csv parser.
    field = F.split("value", ",")
    rows = (
        spark.readStream.option("maxFilesPerTrigger", options.files_per_batch)
        .text(options.rows)
        .select(field.alias("fields"))
        .select(
            F.timestamp_seconds(F.get("fields", F.lit(0)).try_cast("long")).alias("time"),
            F.get("fields", F.lit(1)).try_cast("long").alias("sensor_id"),
            F.get("fields", F.lit(2)).alias("sensor_type"),
            F.get("fields", F.lit(5)).try_cast("double").alias("rpm"),
        )
    )
    windows = (
        rows.withWatermark("time", "10 seconds")
        .groupBy(F.window("time", "10 seconds"), "sensor_id", "sensor_type")
        .agg(
            F.date_format("window.start", "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").alias("window_start"),
            F.max("rpm").alias("rpm_max"),
            F.min("rpm").alias("rpm_min"),
            F.sum("rpm").alias("rpm_sum"),
            F.sum((F.col("rpm") < 1000).cast("long")).alias("speed_lt"),
            F.sum((F.col("rpm") > 4000).cast("long")).alias("speed_gt"),
            F.count(F.lit(1)).alias("counter"),
        )
        .select(*COLUMNS)
    )
    query = (
        windows.writeStream.outputMode("update")
        .option("checkpointLocation", options.checkpoint)
        .foreachBatch(save)
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    spark.stop()


if __name__ == "__main__":
    main()
