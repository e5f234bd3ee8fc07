"""Turns a scale into csv files, W1's and others like them, and W1's files into the exact answer.

A row is `timestamp,sensor_id,sensor_type,pressure,temperature,rotation_speed,torque`; nothing in it
is drawn from a generator with a state: each value is a function of the row's number (its MD5), so
the files are the same on every machine, whatever the number of threads.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb

FULL_ROWS = 10_000_000
FILES = 40
ROWS_PER_SECOND = 1_000
START = 1_700_000_000
"""The first row's event time, in epoch seconds."""

FIRST_MODIFIED = START + 1_000_000
"""Modification time of the first file; each file is a second younger than the one before it."""

VERSION = 1
"""Part of the folder's name: to be raised when the rows change, so that no cached rows stay."""


@dataclass(frozen=True)
class Kind:
    """A kind of rows: how many sensors send them, and how many of 256 rows are dated far back.

    Far back is a quarter of all event time and half a minute: in batches of up to four files such a
    row is behind every watermark, from the third batch on.
    """

    name: str
    sensors: int = 100
    far_back: int = 0


W1 = Kind("w1")

# 16 bits make a uniform number in (0, 1); two of them make a normal one (Box-Muller), so 64 bits
# are two measurements of a row: two MD5 give the four, a third one the sensor and the delay.
_ROWS = """
WITH bits AS (
    SELECT i, low(md5_number('a' || i)) AS a, low(md5_number('b' || i)) AS b,
           low(md5_number('c' || i)) AS c
    FROM range({first}, {last}) AS numbers(i)
),
sensors AS (
    SELECT *, (c & 1048575) % {sensors} AS sensor_id,
           CASE WHEN (c >> 20) & 1048575 < 10486
                THEN 1 + ((c >> 40) & 65535) % 5 ELSE 0 END
           + CASE WHEN c >> 56 < {far_back} THEN {distance} ELSE 0 END AS delay
    FROM bits
)
SELECT {start} + i // {rows_per_second} - delay, sensor_id,
       CASE WHEN sensor_id < {sensors} // 2 THEN 'seal.t1' ELSE 'seal.t2' END,
       whole(normal(a), 250, 50), whole(normal(a >> 32), 516, 200),
       whole(normal(b), 2500, 500), whole(normal(b >> 32), 500, 200)
FROM sensors
"""
# md5_number_lower() does the same as low(md5_number()) at four times its cost.
_MACROS = """
CREATE MACRO low(bits) AS (bits & 18446744073709551615)::UBIGINT;
CREATE MACRO uniform(bits) AS ((bits & 65535) + 0.5) / 65536;
CREATE MACRO normal(bits) AS sqrt(-2 * ln(uniform(bits))) * cos(2 * pi() * uniform(bits >> 16));
CREATE MACRO whole(z, mean, deviation) AS greatest(1, round(mean + deviation * z))::INTEGER;
"""
ANSWER = """
SELECT sensor_id, sensor_type,
       strftime(make_timestamp(timestamp // 10 * 10_000_000), '%Y-%m-%dT%H:%M:%S.%gZ'),
       max(rotation_speed), min(rotation_speed), sum(rotation_speed),
       count(*) FILTER (rotation_speed < 1000), count(*) FILTER (rotation_speed > 4000), count(*)
FROM {rows} GROUP BY sensor_id, sensor_type, timestamp // 10 ORDER BY ALL
"""
"""The windows of some rows."""

_READ = """
CREATE VIEW rows AS SELECT * REPLACE (regexp_extract(filename, '[0-9]+.csv$')[:-5]::INT AS filename)
FROM read_csv({files}, header = false, filename = true, columns = {{
    'timestamp': 'BIGINT', 'sensor_id': 'BIGINT', 'sensor_type': 'VARCHAR', 'pressure': 'DOUBLE',
    'temperature': 'DOUBLE', 'rotation_speed': 'DOUBLE', 'torque': 'DOUBLE'}})
"""

Row = tuple[int, str, str, float, float, float, int, int, int]
"""Keys `sensor_id, sensor_type, window_start`; then `rpm_max, rpm_min, rpm_sum, speed_lt, speed_gt,
counter`. The window's start is text, ISO 8601 in UTC with milliseconds."""


def cache_folder() -> Path:
    """The folder for generated rows and scratch files, outside the repository."""
    default = Path.home() / ".cache" / "ts-engine" / "bench"
    return Path(os.environ.get("TS_ENGINE_BENCH", default))


def files(scale: float = 1.0, kind: Kind = W1) -> Path:
    """The folder with the csv files; made on the first call, then taken from the cache.

    The rows of each file are those of one span of arrival times, and the files' modification times
    go up with their names, so Spark takes them in the order of arrival.

    Args:
        scale: 1.0 is 10 million rows; the number of files is 40 at any scale.
    """
    rows = rows_at(scale)
    folder = cache_folder() / f"{kind.name}-v{VERSION}-{rows}"
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        _write(unfinished, rows, kind)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def rows_at(scale: float) -> int:
    """The number of rows at a scale: a multiple of the number of files."""
    return max(1, round(FULL_ROWS * scale / FILES)) * FILES


def answer(folder: Path) -> list[Row]:
    """DuckDB's result over the files, ordered by sensor, type and window."""
    return table(folder).execute(ANSWER.format(rows="rows")).fetchall()


def table(folder: Path) -> duckdb.DuckDBPyConnection:
    """A connection with the view `rows`: the columns, and as `filename` the file's number."""
    connection = duckdb.connect()
    paths = sorted(str(path) for path in folder.glob("*.csv"))
    connection.execute(_READ.format(files=paths))
    return connection


def _write(folder: Path, rows: int, kind: Kind) -> None:
    connection = duckdb.connect()
    connection.execute(_MACROS)
    rows_per_file = rows // FILES
    for number in range(FILES):
        path = folder / f"part-{number:03}.csv"
        query = _ROWS.format(
            first=number * rows_per_file,
            last=(number + 1) * rows_per_file,
            start=START,
            rows_per_second=ROWS_PER_SECOND,
            sensors=kind.sensors,
            far_back=kind.far_back,
            distance=rows // ROWS_PER_SECOND // 4 + 30,
        )
        connection.execute(f"COPY ({query}) TO '{path}' (HEADER false)")
        os.utime(path, (FIRST_MODIFIED + number,) * 2)
