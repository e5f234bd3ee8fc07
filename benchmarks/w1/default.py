"""W1 as a newcomer writes it after Spark's streaming guide: every setting as it comes."""

import argparse
import sqlite3
from datetime import timezone

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, count, count_if, max, min, sum, timestamp_seconds, window

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("rows")
parser.add_argument("result")
parser.add_argument("checkpoint")
parser.add_argument("--files-per-batch", type=int, default=4)
options = parser.parse_args()

with sqlite3.connect(options.result) as connection:
    connection.execute("""
        CREATE TABLE rotation (
            sensor_id INTEGER, sensor_type TEXT, window_start TEXT, rpm_max REAL, rpm_min REAL,
            rpm_sum REAL, speed_lt INTEGER, speed_gt INTEGER, counter INTEGER,
            PRIMARY KEY (sensor_id, sensor_type, window_start)
        )""")
connection.close()


def save_partition(rows):
    connection = sqlite3.connect(options.result, timeout=600)
    for row in rows:
        start = row.window.start.astimezone(timezone.utc)
        connection.execute(
            "INSERT OR REPLACE INTO rotation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.sensor_id,
                row.sensor_type,
                start.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                row.rpm_max,
                row.rpm_min,
                row.rpm_sum,
                row.speed_lt,
                row.speed_gt,
                row.counter,
            ),
        )
    connection.commit()
    connection.close()


def save(batch, batch_id):
    batch.foreachPartition(save_partition)


spark = SparkSession.builder.appName("W1").getOrCreate()

rows = (
    spark.readStream.schema(
        "timestamp LONG, sensor_id LONG, sensor_type STRING, pressure DOUBLE, temperature DOUBLE, "
        "rotation_speed DOUBLE, torque DOUBLE"
    )
    .option("maxFilesPerTrigger", options.files_per_batch)
    .csv(options.rows)
)

windows = (
    rows.withColumn("time", timestamp_seconds("timestamp"))
    .withWatermark("time", "10 seconds")
    .groupBy(window("time", "10 seconds"), "sensor_id", "sensor_type")
    .agg(
        max("rotation_speed").alias("rpm_max"),
        min("rotation_speed").alias("rpm_min"),
        sum("rotation_speed").alias("rpm_sum"),
        count_if(col("rotation_speed") < 1000).alias("speed_lt"),
        count_if(col("rotation_speed") > 4000).alias("speed_gt"),
        count("*").alias("counter"),
    )
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
