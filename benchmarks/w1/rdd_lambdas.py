"""W1 as it was written in 2017: Python lambdas over an RDD, row by row, over the finished files."""

import argparse
import sqlite3
from datetime import datetime, timezone

from pyspark import SparkConf, SparkContext

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("rows")
parser.add_argument("result")
options = parser.parse_args()

TYPES = [int, int, str, float, float, float, float]
MERGE = [max, min] + [lambda left, right: left + right] * 4


def save(rows):
    connection = sqlite3.connect(options.result, timeout=600)
    connection.executemany(
        "INSERT OR REPLACE INTO rotation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                sensor_id,
                sensor_type,
                datetime.fromtimestamp(start, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                *measures,
            )
            for (start, sensor_id, sensor_type), measures in rows
        ),
    )
    connection.commit()
    connection.close()


with sqlite3.connect(options.result) as connection:
    connection.execute("""
        CREATE TABLE rotation (
            sensor_id INTEGER, sensor_type TEXT, window_start TEXT, rpm_max REAL, rpm_min REAL,
            rpm_sum REAL, speed_lt INTEGER, speed_gt INTEGER, counter INTEGER,
            PRIMARY KEY (sensor_id, sensor_type, window_start)
        )""")
connection.close()

context = SparkContext(conf=SparkConf().setAppName("W1"))
(
    context.textFile(options.rows)
    .map(lambda line: line.split(","))
    .map(lambda fields: tuple(convert(text) for convert, text in zip(TYPES, fields, strict=True)))
    .map(
        lambda row: (
            (row[0] // 10 * 10, row[1], row[2]),
            (row[5], row[5], row[5], int(row[5] < 1000), int(row[5] > 4000), 1),
        )
    )
    .reduceByKey(
        lambda left, right: tuple(
            merge(a, b) for merge, a, b in zip(MERGE, left, right, strict=True)
        )
    )
    .foreachPartition(save)
)
context.stop()
