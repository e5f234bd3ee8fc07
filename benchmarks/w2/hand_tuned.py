"""W2 as a good Spark engineer writes it by hand: no internals, every setting thought about."""

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
parser.add_argument("--state", choices=["memory", "rocksdb"], default="memory")
options = parser.parse_args()

COLUMNS = {
    "sensor_id": "INTEGER",
    "window_start": "TEXT",
    "rpm_max": "REAL",
    "rpm_min": "REAL",
    "rpm_sum": "REAL",
    "counter": "INTEGER",
}
CORES = str(os.cpu_count())
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
SETTINGS = {
    # A stream of this size wants a partition a core; the default of 200 is 200 tasks, 200 state
    # files and 200 commits a batch.
    "spark.sql.shuffle.partitions": CORES,
    # A million windows of a batch are on the heap, with the default of 1 GB it fails.
    "spark.driver.memory": f"{MEMORY * 2 // 5 // 1024**2}m",
    # The state of the last batch is enough to go on from; the default keeps two in memory.
    "spark.sql.streaming.maxBatchesToRetainInMemory": "1",
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
    "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
}
ROCKSDB = {
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
    # A commit uploads what has changed, and not a snapshot.
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    # To count the rows each write would look its key up first.
    "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows": "false",
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
        batch.foreachPartition(upsert)


def main() -> None:
    """Takes all files, a few at a time, and ends."""
    declarations = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    connection = connect()
    connection.execute(
        f"CREATE TABLE rotation ({declarations}, PRIMARY KEY (sensor_id, window_start)) "
        "WITHOUT ROWID"
    )
    connection.close()

    # Spark would start the system's `python3` for the workers.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.appName("W2").master(f"local[{CORES}]")
    for name, value in (SETTINGS | (ROCKSDB if options.state == "rocksdb" else {})).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")

    # `split` and a cast of the three columns that the query needs cost less than the csv parser.
    field = F.split("value", ",")
    rows = (
        spark.readStream.option("maxFilesPerTrigger", options.files_per_batch)
        .text(options.rows)
        .select(field.alias("fields"))
        .select(
            F.timestamp_seconds(F.get("fields", F.lit(0)).try_cast("long")).alias("time"),
            F.get("fields", F.lit(1)).try_cast("long").alias("sensor_id"),
            F.get("fields", F.lit(5)).try_cast("double").alias("rpm"),
        )
    )
    windows = (
        rows.withWatermark("time", "10 seconds")
        .groupBy(F.window("time", "10 seconds"), "sensor_id")
        .agg(
            F.date_format("window.start", "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").alias("window_start"),
            F.max("rpm").alias("rpm_max"),
            F.min("rpm").alias("rpm_min"),
            F.sum("rpm").alias("rpm_sum"),
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
