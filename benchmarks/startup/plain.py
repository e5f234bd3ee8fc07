"""The start-up query in plain PySpark with every setting as it comes: window rows as JSON lines."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import max, timestamp_seconds, window

rows_folder, checkpoint = sys.argv[1:]


def show(batch, batch_id):
    for line in batch.toJSON().collect():
        print(line, flush=True)


spark = SparkSession.builder.appName("startup").getOrCreate()
rows = spark.readStream.schema("timestamp LONG, sensor_id LONG, temperature DOUBLE").csv(
    rows_folder
)
windows = (
    rows.withColumn("time", timestamp_seconds("timestamp"))
    .withWatermark("time", "0 seconds")
    .groupBy(window("time", "1 second"), "sensor_id")
    .agg(max("temperature").alias("temperature"))
    .selectExpr(
        "window.start AS window_start", "window.end AS window_end", "sensor_id", "temperature"
    )
)
query = (
    windows.writeStream.outputMode("update")
    .option("checkpointLocation", checkpoint)
    .foreachBatch(show)
    .trigger(availableNow=True)
    .start()
)
query.awaitTermination()
spark.stop()
