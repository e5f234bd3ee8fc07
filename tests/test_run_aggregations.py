"""Whole configs, run over csv files into sqlite: their windows, against plain Python."""

from __future__ import annotations

import json
import math
import random
import re
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from engine.catalog import Catalog
from engine.simulator import Sensors, truth
from tests.jobs import FIELDS, Job, iso

pytestmark = pytest.mark.usefixtures("spark")
CONFIGS = Path(__file__).parent.parent / "configs"
SAMPLE = json.loads((CONFIGS / "sensors.json").read_text())


def test_the_sample_config_gives_what_plain_python_computes(job: Job, tmp_path: Path) -> None:
    sensors = Sensors(seed=7, start=1_700_000_003, speed=100, malformed=0.02)
    lines = [sensors.line(i) for i in range(6000)]
    for first in range(0, len(lines), 2000):
        job.arrive(lines[first : first + 2000])
    config = {
        **SAMPLE,
        "input": {
            "input_type": "csv",
            "data_structure": str(CONFIGS / "config_data_structure.json"),
            "options": {"path": "data", "batchDuration": 10, "max_files_per_batch": 1},
        },
        "outputs": [{"method": "sqlite", "options": {"path": "out.sqlite"}}],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    report = job.run("--once")
    expected = truth(sensors, len(lines), window_seconds=10)
    assert job.rows("aggregated", "window_start, sensor_id") == expected["windows"]
    assert report["rows_read"] == 6000
    assert report["malformed"] == expected["malformed"] > 0
    assert report["balanced"] is True
    assert report["batches"] == 3


NUMBERS = [None, -3, -1, 0, 2, 2, 5, 7, 2**40, -(2**40)]
AGGREGATIONS = [
    "key: key",
    "n: count()",
    "present: count(v)",
    "total: sum(v)",
    "product: mul(small)",
    "low: min(v)",
    "high: max(v)",
    "mean: mean(v)",
    "sd: stddev(d)",
    "var: variance(d)",
    "middle: median(d)",
    "p90: percentile(d, 90)",
    "different: distinct(v)",
    "f: first(v)",
    "l: last(v)",
    "positive: sum(is_positive)",
    "spread: max(d) - min(d)",
    "twice: sum(v * 2 + 1)",
]


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A window as plain Python computes it; rows in the order of the source."""
    rows = sorted(rows, key=lambda row: row["time"])
    values = [row["v"] for row in rows if row["v"] is not None]
    doubles = [row["d"] for row in rows if row["d"] is not None]
    small = [value for value in values if abs(value) < 10]
    several = len(doubles) > 1
    ordered = sorted(doubles)
    rank = 0.9 * (len(ordered) - 1)
    low = math.floor(rank)
    p90 = None
    if ordered:
        high = min(low + 1, len(ordered) - 1)
        p90 = ordered[low] + (ordered[high] - ordered[low]) * (rank - low)
    return {
        "n": len(rows),
        "present": len(values),
        "total": sum(values) if values else None,
        "product": math.prod(small) if small and abs(math.prod(small)) < 2**63 else None,
        "low": min(values, default=None),
        "high": max(values, default=None),
        "mean": statistics.fmean(values) if values else None,
        "sd": statistics.stdev(doubles) if several else None,
        "var": statistics.variance(doubles) if several else None,
        "middle": statistics.median(doubles) if doubles else None,
        "p90": p90,
        "different": len(set(values)),
        "f": values[0] if values else None,
        "l": values[-1] if values else None,
        "positive": sum(value > 0 for value in values) if values else None,
        "spread": max(doubles) - min(doubles) if doubles else None,
        "twice": sum(value * 2 + 1 for value in values) if values else None,
    }


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if isinstance(value, float):
            assert found[name] == pytest.approx(value, rel=1e-12, abs=1e-12), name
        else:
            assert found[name] == value, name


@pytest.mark.parametrize("mode", ["--once", "--batch"])
def test_every_aggregation_in_several_windows_gives_what_plain_python_computes(
    job: Job, mode: str
) -> None:
    chance = random.Random(5)
    rows = []
    for i in range(3000):
        value = chance.choice(NUMBERS)
        rows.append(
            {
                "time": -40 + i // 20 + chance.randrange(3),
                "key": chance.choice(["a", "A", "b c", "ü;\"'", ""]),
                "v": value,
                "d": None if value is None else value / 4 + 0.1,
            }
        )
    for first in range(0, 3000, 1000):
        job.arrive(
            f'{r["time"]},"{r["key"].replace(chr(34), chr(34) * 2)}",'
            f"{'' if r['v'] is None else r['v']},{'' if r['d'] is None else r['d']}"
            for r in rows[first : first + 1000]
        )
    keyless = [re.sub("^key: .*", "", each) for each in AGGREGATIONS]
    job.config(
        [
            {"name": "ten", "window": "10 seconds", "rule": AGGREGATIONS},
            {"name": "minute", "window": "1 minute", "rule": [r for r in keyless if r]},
            {"name": "some", "window": "30 seconds", "where": "v > 0", "rule": AGGREGATIONS},
            {"name": "same", "window": "10 seconds", "rule": ["key: key", "max(d)"]},
        ],
        structure={
            "time": {"index": 0, "type": "long"},
            "key": {"index": 1, "type": "string"},
            "v": {"index": 2, "type": "long"},
            "d": {"index": 3, "type": "double"},
        },
        transformation=["is_positive: v > 0", "small: when(abs(v) < 10, v)"],
        processing={"allowed_lateness": "1 hour"},
    )
    report = job.run(mode)
    assert report["balanced"]
    for name, size, keyed, condition in (
        ("ten", 10, True, lambda row: True),
        ("minute", 60, False, lambda row: True),
        ("some", 30, True, lambda row: row["v"] is not None and row["v"] > 0),
    ):
        groups = defaultdict(list)
        for row in rows:
            if condition(row):
                start = row["time"] // size * size
                groups[start, row["key"] if keyed else None].append(row)
        found = {(row["window_start"], row.get("key")): row for row in job.rows(name)}
        assert set(found) == {(iso(start), key) for start, key in groups}
        for (start, key), members in groups.items():
            same(found[iso(start), key], summary(members))
        account = report["aggregations"][name]
        assert account["aggregated"] == sum(map(len, groups.values()))
        assert account["filtered"] == 3000 - account["aggregated"]
    highs = {(r["window_start"], r["key"]): r["d"] for r in job.rows("same")}
    assert all(highs[r["window_start"], r["key"]] == _high(r, rows) for r in job.rows("ten"))


#: An aggregate of each kind: its arguments; the names are those that the catalog has.
ARGUMENTS = {"count": "v", "percentile": "v, 75"}


def test_an_aggregation_with_a_condition_is_that_of_the_rows_that_meet_it(job: Job) -> None:
    chance = random.Random(6)
    job.arrive(
        f"{chance.randrange(100)},{chance.choice('abc')},{chance.choice([*range(-5, 6), ''])}"
        for _ in range(400)
    )
    names = [*Catalog.builtin().aggregations]
    calls = {name: ARGUMENTS.get(name, "v") for name in names}
    bare = [f"m_{name}: {name}({arguments})" for name, arguments in calls.items()]
    given = [f"m_{name}: {name}({arguments}, key == 'a')" for name, arguments in calls.items()]
    job.config(
        [
            {"name": "condition", "rule": [*given, "rows: count(1, key == 'a')"]},
            {"name": "filter", "where": "key == 'a'", "rule": [*bare, "rows: count()"]},
        ],
        structure={**FIELDS, "value": {"index": 2, "type": "long"}},
        transformation=["v: value"],
    )
    job.run("--once")
    found, expected = job.rows("condition"), job.rows("filter")
    assert len(found) == len(expected) == 10
    assert set(names) >= {"sum", "last", "median", "delta", "rate", "growth"}
    assert found == expected


def _high(window: dict[str, Any], rows: list[dict[str, Any]]) -> float | None:
    inside = [
        row["d"]
        for row in rows
        if row["key"] == window["key"]
        and window["window_start"] <= iso(row["time"]) < window["window_end"]
        and row["d"] is not None
    ]
    return max(inside, default=None)


def test_sums_that_do_not_fit_are_null_and_the_stream_lives(job: Job) -> None:
    most = 2**63 - 1
    job.arrive([f"0,a,{most}", "1,a,1", f"2,b,{most}", "3,b,1", "4,b,-1", f"5,c,{2**62}", "6,c,2"])
    job.config(
        {"name": "w", "rule": ["key: key", "s: sum(value)", "p: mul(value)"]},
        structure={**FIELDS, "value": {"index": 2, "type": "long"}},
    )
    job.run("--once")
    found = {row["key"]: (row["s"], row["p"]) for row in job.rows("w")}
    assert found == {"a": (None, most), "b": (most, -most), "c": (2**62 + 2, None)}


def test_an_event_time_with_fractions_keeps_them(job: Job) -> None:
    start = 1_700_000_000

    def arrive(*rows: tuple[float, str, int]) -> None:
        job.arrive(f"{start + seconds},{key},{value}" for seconds, key, value in rows)

    arrive((1.75, "a", 1), (1.25, "a", 2), (9.999999, "a", 3), (10, "a", 4), (10.000001, "a", 5))
    arrive((20.25, "b", 6))
    arrive((20.375, "b", 7))
    arrive((19.5, "c", 8))  # the watermark stands at 19.75
    arrive((20.75, "b", 9))
    arrive((20.625, "b", 10))
    arrive((19.5, "d", 11))  # it stands at 20.25
    job.config(
        {"name": "w", "rule": ["key: key", "n: count()", "f: first(value)", "l: last(value)"]},
        structure={**FIELDS, "time": {"index": 0, "type": "DoubleType"}},
        processing={"allowed_lateness": "500 milliseconds"},
        streams=["aggregated", "raw", "late"],
    )
    assert job.run("--once")["balanced"]
    windows = job.rows("w", "window_start, key")
    assert [(r["window_start"], r["key"], r["n"], r["f"], r["l"]) for r in windows] == [
        (iso(start), "a", 3, 2.0, 3.0),
        (iso(start + 10), "a", 2, 4.0, 5.0),
        (iso(start + 10), "c", 1, 8.0, 8.0),
        (iso(start + 20), "b", 4, 6.0, 9.0),
    ]
    assert [(r["time"], r["key"], r["window_end"]) for r in job.rows("late")] == [
        (start + 19.5, "d", iso(start + 20))
    ]
    raw = {row["value"]: row["time"] for row in job.rows("raw", "value")}
    assert (raw[1], raw[3], raw[5]) == (start + 1.75, start + 9.999999, start + 10.000001)


def test_the_watermark_of_a_computed_window_end_evicts_its_state(spark: SparkSession) -> None:
    """Fails when a version of Spark takes the metadata of the watermark away."""
    from pyspark.sql import functions as F

    from engine import plan
    from engine.spark.windows import watermarked, window_end

    window = plan.Tumbling(10_000)
    rows = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 10).load()
    rows = rows.withWatermark("timestamp", "0 seconds")
    ends = rows.select(window_end(F.col("timestamp"), window).alias("_end"))
    ended = watermarked(ends, "_end", 0)
    kept = ended.schema["_end"].metadata
    assert kept == {"spark.watermarkDelayMs": 0}
