"""Whole configs, run over csv files into sqlite, against plain Python."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import re
import signal
import socket
import sqlite3
import statistics
import threading
import time
from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from engine.simulator import Sensors, truth
from tests.jobs import Job, rows

pytestmark = pytest.mark.usefixtures("spark")
CONFIGS = Path(__file__).parent.parent / "configs"
SAMPLE = json.loads((CONFIGS / "sensors.json").read_text())


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def iso(seconds: float) -> str:
    time = datetime.fromtimestamp(seconds, timezone.utc)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
        structure={**_fields("long")},
    )
    job.run("--once")
    found = {row["key"]: (row["s"], row["p"]) for row in job.rows("w")}
    assert found == {"a": (None, most), "b": (most, -most), "c": (2**62 + 2, None)}


def _fields(of: str) -> dict[str, Any]:
    return {
        "time": {"index": 0, "type": "long"},
        "key": {"index": 1, "type": "string"},
        "value": {"index": 2, "type": of},
    }


HOSTILE = [
    b"",
    b"\xff\xfe\xfa,a,1",
    b"\x00\x01\x02\x03",
    b"x" * 10_000_000,
    b"1,a",
    b"1,a,1,1",
    b"one,a,1",
    b"1,a,1.5.5",
    b'1,"a,1',
    "ä".encode("latin-1") + b",a,1",
    b"99999999999999999999,a,1",
    b",a,1",
    b"9999999999,a,1",
]


def test_bad_input_is_in_malformed_with_its_reason_and_the_rest_is_exact(job: Job) -> None:
    chance = random.Random(11)
    noise = [bytes(chance.randrange(256) for _ in range(40)).replace(b"\n", b"") for _ in range(50)]
    good = [f"{i},k{i % 3},{i}.5".encode() for i in range(90)]
    records = [*HOSTILE, *noise, *good]
    chance.shuffle(records)
    job.arrive(records)
    job.config(
        {"name": "w", "window": "1 minute", "rule": ["key: key", "n: count()", "max(value)"]},
        streams=["aggregated", "malformed", "raw"],
    )
    report = job.run("--once")
    assert report["rows_read"] == len(records)
    assert report["malformed"] == len(HOSTILE) + len(noise)
    assert report["balanced"]
    assert sum(row["n"] for row in job.rows("w")) == len(good)
    assert len(job.rows("raw", "time")) == len(good)
    malformed = job.rows("malformed", "rowid")
    assert len(malformed) == len(HOSTILE) + len(noise)
    assert all(row["reason"] for row in malformed)
    assert {row["_file"] for row in malformed} == {str(job.data / "0000.csv")}
    reasons = {row["record"]: row["reason"] for row in malformed}
    assert reasons[""] == "empty record"
    assert reasons["x" * 10_000_000] == "expected 3 columns, found 1"
    assert reasons["one,a,1"] == "'time' is not a long: 'one'"
    assert reasons["9999999999,a,1"] == "dated more than 1 day ahead of its arrival"
    assert reasons[",a,1"] == "the event time 'time' is null or out of range"


def test_a_second_run_goes_on_where_the_first_stopped(job: Job) -> None:
    job.config(
        {"name": "w", "rule": ["key: key", "n: count()"]},
        streams=["aggregated", "raw", "late"],
        name="a job",
    )
    job.arrive(["1,a,1", "2,a,1", "21,a,1"])
    assert job.run("--once")["rows_read"] == 3
    assert job.run("--once")["rows_read"] == 3
    # A batch refuses rows by the watermark as it stood one batch before: here none yet.
    job.arrive(["22,a,1", "4,a,1"])
    assert job.run("--once")["aggregations"]["w"]["late"] == 0
    job.arrive(["23,a,1", "3,b,1"])
    report = job.run("--once")
    assert (job.folder / "a_job.checkpoint").is_dir()
    assert report["batches"] == 3
    assert report["rows_read"] == 7
    assert report["aggregations"]["w"] == {
        "malformed": 0,
        "filtered": 0,
        "late": 1,
        "aggregated": 6,
    }
    assert [(r["window_start"], r["key"], r["n"]) for r in job.rows("w")] == [
        (iso(0), "a", 3),
        (iso(20), "a", 3),
    ]
    (late,) = job.rows("late")
    assert (late["aggregation"], late["key"], late["time"], late["window_end"]) == (
        "w",
        "b",
        3,
        iso(10),
    )
    assert [row["_batch"] for row in job.rows("raw", "_batch")] == [0, 0, 0, 1, 1, 2, 2]


def test_header_lines_byte_order_marks_and_separators(job: Job) -> None:
    job.arrive(["\ufefft;k;v", "1;a;1", '2;"a;b";2', "", "3;a;3\r"])
    job.arrive(["t;k;v", "4;t;4"])
    job.arrive(["t;k;v"])
    job.config(
        None,
        streams=["raw", "malformed"],
        options={"sep": ";", "header": True, "max_files_per_batch": 10},
    )
    report = job.run("--once")
    assert [(r["time"], r["key"], r["value"]) for r in job.rows("raw", "time")] == [
        (1, "a", 1.0),
        (2, "a;b", 2.0),
        (3, "a", 3.0),
        (4, "t", 4.0),
    ]
    assert [row["reason"] for row in job.rows("malformed", "rowid")] == ["empty record"]
    assert (report["rows_read"], report["malformed"]) == (5, 1)


def test_json_files_with_nested_members(job: Job) -> None:
    job.arrive(
        [
            '{"t": 1, "dev": {"id": "a"}, "v": 1.5, "more": []}',
            '{"t": 2.0, "dev": {}, "v": null}',
            '{"t": "3", "dev": {"id": "a"}}',
            "[]",
        ]
    )
    job.config(
        {"rule": ["key: id", "n: count()", "max(v)"]},
        input_type="json",
        structure={
            "t": {"type": "long"},
            "id": {"type": "string", "path": "dev.id"},
            "v": {"type": "double"},
        },
        options={"path": "data"},
        processing={"event_time": "t"},
        streams=["aggregated", "malformed"],
    )
    report = job.run("--once")
    assert [(r["id"], r["n"], r["v"]) for r in job.rows("aggregated")] == [("a", 1, 1.5)]
    assert report["malformed"] == 2
    assert report["aggregations"]["aggregated"]["malformed"] == 3  # one has no key
    assert report["balanced"]


def test_stdout_prints_json_lines_and_tables(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.arrive([f"{i},k{i % 2},{i}" for i in range(20)])
    job.config(
        {"name": "w", "rule": ["key: key", "hot: max(value > 5)", "total: sum(value)"]},
        outputs=[
            {"method": "stdout", "options": {"format": "json"}},
            {"method": "stdout", "options": {"rows": 3}},
        ],
    )
    job.run("--once")
    printed = capsys.readouterr().out
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert sorted(lines, key=lambda line: (line["window_start"], line["key"]))[0] == {
        "stream": "w",
        "window_start": iso(0),
        "window_end": iso(10),
        "key": "k0",
        "hot": True,
        "total": 20.0,
    }
    assert len(lines) == 4
    table = printed[printed.index("w, batch 0") :].splitlines()
    assert table[1].split() == ["window_start", "window_end", "key", "hot", "total"]
    assert table[3].split() == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:10Z", "k0", "true", "20"]
    assert table[6] == "… and 1 more"


def test_rows_of_a_batch_run_replace_those_of_the_batch_run_before(job: Job) -> None:
    job.arrive(["1,a,1", "x", "2,a,2"])
    job.config({"name": "w", "rule": ["n: count()"]}, streams=["aggregated", "raw", "malformed"])
    for _ in range(2):
        report = job.run("--batch")
        assert report["rows_read"] == 3
        assert report["batches"] == 1
    assert [row["n"] for row in job.rows("w")] == [2]
    assert len(job.rows("raw", "time")) == 2
    assert len(job.rows("malformed", "rowid")) == 1


def test_keys_that_differ_by_case_stay_two(job: Job) -> None:
    job.arrive(["1,a,b", "2,a,c"])
    job.config(
        {"name": 'we"ird', "rule": ["key: (id, ID)", "n: count()"]},
        structure={
            "time": {"index": 0, "type": "long"},
            "id": {"index": 1, "type": "string"},
            "ID": {"index": 2, "type": "string"},
        },
    )
    job.run("--once")
    found = job.rows('we""ird', "ID_2")
    assert [(row["id"], row["ID_2"], row["n"]) for row in found] == [("a", "b", 1), ("a", "c", 1)]


def test_what_a_user_module_declares_runs_is_checked_and_explained(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    (job.folder / "plant_rules.py").write_text(
        "from engine.declare import F, Double, Real, aggregation, operation, scalar\n"
        "from engine.declare import Numeric, Same, Number\n"
        "@operation\n"
        "def fahrenheit(celsius: Real) -> Double:\n"
        "    'Degrees Fahrenheit.'\n"
        "    return celsius * 1.8 + 32\n"
        "@scalar\n"
        "def code(text: str) -> str:\n"
        "    'A code; there is none of x.'\n"
        "    if text == 'x': raise ValueError(text)\n"
        "    return text[::-1] + '!'\n"
        "@aggregation\n"
        "def reach(x: Number) -> Same:\n"
        "    'Largest less smallest.'\n"
        "    return F.max(x) - F.min(x)\n"
    )
    job.arrive(["1,abc,10", "2,abc,30", "3,x,5"])
    job.config(
        {"name": "w", "rule": ["key: c", "far: reach(f)", "n: count()"]},
        transformation=["f: fahrenheit(value)", "c: coalesce(code(key), 'none')"],
        modules=["plant_rules"],
    )
    job.run("--once")
    found = {row["c"]: (row["far"], row["n"]) for row in job.rows("w")}
    assert found == {"cba!": (36.0, 2), "none": (0.0, 1)}


def test_an_output_that_fails_while_running_stops_the_run_with_a_sentence(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,1"])
    job.config({"name": "w", "rule": ["key: key", "n: count()"]})
    job.run("--once")
    job.arrive(["2,a,1"])
    with sqlite3.connect(job.database) as connection:
        connection.execute("DROP TABLE w")
        connection.execute("CREATE VIEW w AS SELECT 1 AS window_start")
    job.run("--once", status=1)
    told = capsys.readouterr().err
    assert "output 'sqlite'" in told or "the table 'w'" in told
    assert "Traceback" not in told


def test_a_checkpoint_that_cannot_be_written_is_told(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,1"])
    job.config({"name": "w", "rule": ["n: count()"]})
    (job.folder / "taken").write_text("")
    job.run("--once", "--checkpoint", str(job.folder / "taken"), status=1)
    assert "cannot be written to" in capsys.readouterr().err


def test_several_outputs_make_spark_read_and_compute_once(job: Job) -> None:
    calls = job.folder / "calls"
    (job.folder / "counted_rules.py").write_text(
        "from engine.declare import scalar\n"
        "@scalar\n"
        "def counted(x: float) -> float:\n"
        "    'The value; each call is noted.'\n"
        f"    open({str(calls)!r}, 'a').write('.')\n"
        "    return x\n"
    )
    job.arrive([f"{i},a,{i}" for i in range(20)])
    again = {"method": "sqlite", "options": {"path": "again.sqlite"}}
    job.config(
        {"name": "w", "rule": ["key: key", "total: sum(v)"]},
        transformation=["v: counted(value)"],
        modules=["counted_rules"],
        outputs=[again, {"method": "stdout"}, {"method": "stdout", "options": {"format": "json"}}],
    )
    job.run("--once")
    assert len(calls.read_text()) == 20
    assert rows(job.folder / "again.sqlite", "w") == job.rows("w")


def test_lines_of_a_socket_until_the_run_is_stopped(job: Job) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    job.config(
        {"name": "w", "window": "10 seconds", "rule": ["key: key", "n: count()"]},
        input_type="socket",
        options={"host": "127.0.0.1", "port": server.getsockname()[1], "batchDuration": 0.5},
    )
    served = threading.Thread(target=_serve_until_written, args=(server, job))
    served.start()
    report = job.run()
    served.join()
    assert [(row["key"], row["n"]) for row in job.rows("w", "key")] == [("a", 2), ("b", 1)]
    assert (report["mode"], report["rows_read"], report["malformed"]) == ("stream", 4, 1)


def _serve_until_written(server: socket.socket, job: Job) -> None:
    """Sends four lines, and Ctrl-C to this process once their windows are there."""
    connection = server.accept()[0]
    connection.sendall(b"1,a,1\n2,a,1\n3,b,1\nx\n")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            if sum(row["n"] for row in job.rows("w")) == 3:
                break
        except sqlite3.Error:
            pass  # the table is not there yet
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)
    connection.close()
    server.close()


def test_a_checkpoint_of_other_aggregations_is_refused(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,1", "2,a,5"])
    job.config({"name": "w", "rule": ["key: key", "v: sum(value)", "n: count()"]})
    job.run("--once")
    # Spark itself goes on with the sums as if they were maxima.
    job.config({"name": "w", "rule": ["key: key", "v: max(value)", "n: count()"]})
    job.run("--once", "--checkpoint", str(job.folder / "config.checkpoint"), status=2)
    told = capsys.readouterr().err
    assert "10 seconds by (key string): has sum(value:double) and lacks max(value:double)" in told
    # Another order, name or output is no other state.
    job.config({"name": "x", "rule": ["m: count()", "key: key", "sum(value)"]}, streams=["raw"])
    job.run("--once")


def test_a_pattern_that_only_java_refuses_is_the_users_mistake(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,1"])
    job.config({"name": "w", "where": "matches(key, 'a{2,1}')", "rule": ["n: count()"]})
    job.run("--once", status=2)
    assert "the pattern 'a{2,1}' is not valid" in capsys.readouterr().err


def test_the_watermark_of_a_computed_window_end_evicts_its_state(spark: SparkSession) -> None:
    """Fails when a version of Spark takes the metadata of the watermark away."""
    from pyspark.sql import functions as F

    from engine import plan
    from engine.spark.windows import watermarked, window_end

    window = plan.Tumbling(10_000)
    rows = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 10).load()
    rows = rows.withWatermark("timestamp", "0 seconds")
    ended = rows.select(watermarked(window_end(F.col("timestamp"), window), "_end", 0))
    kept = ended.schema["_end"].metadata
    assert kept == {"spark.watermarkDelayMs": 0}


def test_csv_of_the_data_is_read_as_python_reads_it(job: Job) -> None:
    rows = [["1", 'say "hi"', "1.5"], ["2", "a,b", "2"], ["3", " blank ", "3"]]
    path = job.arrive([])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    job.config(None, streams=["raw"])
    job.run("--once")
    assert [[row["time"], row["key"]] for row in job.rows("raw", "time")] == [
        [int(row[0]), row[1]] for row in rows
    ]
