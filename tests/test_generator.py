"""Simulated rows: always the same ones, distributed as told, and their truth is true."""

from __future__ import annotations

import doctest
import hashlib
import json
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest

from engine.simulator import FIELDS, Reading, Sensors, Simulation, data_structure, rows_due, truth
from engine.simulator import sensors as sensors_module
from tests.servers.kafka import KafkaBroker

REPOSITORY = Path(__file__).parent.parent
START = "--start=1700000000"

FIRST_LINES = {
    "csv": [
        b"1700000000,42,seal.t1,200.0,517.0,2651.0,412.0",
        b"1700000000,0,seal.t1,323.0,330.0,3200.0,528.0",
        b"1700000000,90,seal.t2,205.0,471.0,2006.0,359.0",
    ],
    "json": [
        (
            b'{"timestamp": 1700000000, "sensor_id": 42, "sensor_type": "seal.t1",'
            b' "pressure": 200.0, "temperature": 517.0, "rotation_speed": 2651.0, "torque": 412.0}'
        )
    ],
}
#: Of the first 10,000 lines with a hundredth malformed and a hundredth late.
DIGESTS = {
    "csv": "2198e63aa0f5f21079a5eb2188d7c23938d831942ef61209d173c5373292cef1",
    "json": "17f12e98725523008e46160d702f808e958d0622a33bd2baa10d56567ff0d549",
}


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "generator.py", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=120, **options)


@pytest.mark.parametrize("format", FIRST_LINES)
def test_a_seed_always_gives_the_same_lines(format: str) -> None:
    first = FIRST_LINES[format]
    assert Sensors(seed=7, format=format).lines(0, len(first)) == first
    worse = Sensors(seed=7, format=format, malformed=0.01, late=0.01)
    digest = hashlib.sha256(b"\n".join(worse.lines(0, 10_000))).hexdigest()
    assert digest == DIGESTS[format]


def test_row_i_depends_on_the_seed_and_on_i_alone() -> None:
    rows = Sensors(seed=3, malformed=0.05, late=0.05)
    lines = rows.lines(0, 5000)
    assert [rows.line(i) for i in range(1000, 1050)] == lines[1000:1050]
    assert rows.lines(1020, 4100) == lines[1020:4100]
    assert rows.record(4321) == list(rows.records(4000, 5000))[321]
    assert rows.malformed_rows(100, 3000) == [
        i for i in rows.malformed_rows(0, 5000) if 100 <= i < 3000
    ]
    assert rows.lines(7, 7) == []
    assert Sensors(seed=4).lines(0, 100) != Sensors(seed=3).lines(0, 100)
    assert Sensors(seed=-1).line(10**15)


def test_the_example_in_the_docstring_runs() -> None:
    assert doctest.testmod(sensors_module).failed == 0


def test_the_data_structure_file_is_that_of_the_rows() -> None:
    file = REPOSITORY / "configs" / "config_data_structure.json"
    assert json.loads(file.read_text()) == data_structure()
    assert tuple(FIELDS) == Reading._fields
    assert data_structure()["rotation_speed"] == {"index": 5, "type": "DoubleType"}


@pytest.mark.parametrize(
    ("measure", "mean", "deviation"),
    [
        ("pressure", 250, 50),
        ("temperature", 516, 200),
        ("rotation_speed", 2500, 500),
        ("torque", 500, 200),
    ],
)
def test_measures_are_normal_whole_and_positive(
    measure: str, mean: float, deviation: float
) -> None:
    values = [getattr(row, measure) for row in Sensors(seed=1).records(0, 50_000)]
    assert statistics.fmean(values) == pytest.approx(mean, rel=0.02)
    assert statistics.stdev(values) == pytest.approx(deviation, rel=0.04)
    beyond = sum(value > mean + 2 * deviation for value in values) / len(values)
    assert beyond == pytest.approx(0.0228, abs=0.004)
    assert all(value > 0 and value.is_integer() for value in values)


def test_sensors_below_50_are_of_the_first_type_and_each_comes_as_often() -> None:
    rows = list(Sensors(seed=2).records(0, 100_000))
    assert {(row.sensor_id, row.sensor_type) for row in rows} == {
        (sensor, "seal.t1" if sensor < 50 else "seal.t2") for sensor in range(100)
    }
    assert all(850 < count < 1150 for count in Counter(row.sensor_id for row in rows).values())


def test_event_time_goes_by_the_speed_and_late_rows_are_dated_back() -> None:
    assert [row.timestamp for row in Sensors(start=100, speed=2).records(0, 5)] == [
        100, 100, 101, 101, 102,
    ]  # fmt: skip
    assert [row.timestamp for row in Sensors(start=100, speed=0.5).records(0, 3)] == [
        100, 102, 104,
    ]  # fmt: skip
    rows = Sensors(start=0, speed=1, late=0.1, lateness=3).records(0, 20_000)
    back = Counter(i - row.timestamp for i, row in enumerate(rows))
    assert set(back) == {0, 1, 2, 3}
    assert back[0] == pytest.approx(18_000, abs=200)


def reading_of_csv(line: bytes) -> Reading | None:
    """The reading that a line holds; None for one that is malformed."""
    try:
        columns = line.decode("utf-8").split(",")
        second, sensor, type, *measures = columns
        pressure, temperature, speed, torque = map(float, measures)
        return Reading(int(second), int(sensor), type, pressure, temperature, speed, torque)
    except ValueError:
        return None


def reading_of_json(line: bytes) -> Reading | None:
    try:
        row = Reading(**json.loads(line.decode("utf-8")))
    except (ValueError, TypeError):
        return None
    return None if any(value == "n/a" for value in row) else row


@pytest.mark.parametrize(("format", "read"), [("csv", reading_of_csv), ("json", reading_of_json)])
def test_malformed_lines_are_broken_in_every_way_and_all_others_are_whole(
    format: str, read: Any
) -> None:
    rows = Sensors(seed=5, malformed=0.02, format=format)
    found = [read(line) for line in rows.lines(0, 50_000)]
    broken = rows.malformed_rows(0, 50_000)
    assert [i for i, row in enumerate(found) if row is None] == broken
    assert len(broken) == pytest.approx(1000, abs=120)
    whole = zip(found, rows.records(0, 50_000), strict=True)
    assert all(row is None or row == meant for row, meant in whole)
    kinds = Counter(kind_of(rows.line(i), format) for i in broken)
    assert min(kinds.values()) > 100
    assert set(kinds) == {"empty", "no UTF-8", "text"} | (
        {"6 columns", "8 columns"} if format == "csv" else {"cut off"}
    )


def kind_of(line: bytes, format: str) -> str:
    assert b"\n" not in line
    assert b"\r" not in line
    if not line:
        return "empty"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return "no UTF-8"
    if b"n/a" in line:
        return "text"
    return "cut off" if format == "json" else f"{line.count(b',') + 1} columns"


def test_the_truth_is_what_duckdb_finds_in_the_lines(tmp_path: Path) -> None:
    rows = Sensors(seed=11, malformed=0.01, late=0.05, lateness=30, speed=300)
    lines = rows.lines(0, 30_000)
    whole = [line for line in lines if reading_of_csv(line)]
    file = tmp_path / "rows.csv"
    file.write_bytes(b"\n".join(whole))
    query = f"""
        SELECT strftime(make_timestamp(bucket * 1000000), '%Y-%m-%dT%H:%M:%S.000Z'),
            strftime(make_timestamp((bucket + 20) * 1000000), '%Y-%m-%dT%H:%M:%S.000Z'),
            sensor_id, sensor_type, count(*), min(rotation_speed), max(rotation_speed),
            sum(rotation_speed), count_if(rotation_speed < 1000), count_if(rotation_speed > 4000)
        FROM (SELECT *, timestamp // 20 * 20 AS bucket
              FROM read_csv('{file}', header = false, names = {[*FIELDS]}))
        GROUP BY bucket, sensor_id, sensor_type
        ORDER BY bucket, sensor_id, sensor_type"""
    found = truth(rows, 30_000, window_seconds=20)
    assert [tuple(window.values()) for window in found["windows"]] == duckdb.sql(query).fetchall()
    assert list(found["windows"][0]) == [
        "window_start", "window_end", "sensor_id", "sensor_type",
        "counter", "rpm_min", "rpm_max", "rpm_sum", "speed_lt", "speed_gt",
    ]  # fmt: skip
    assert sum(window["speed_lt"] for window in found["windows"]) > 0
    assert (found["rows"], found["malformed"]) == (30_000, 30_000 - len(whole))
    assert found["window_seconds"] == 20
    assert json.loads(json.dumps(found)) == found


def test_the_command_prints_the_simulators_lines_and_writes_their_truth(tmp_path: Path) -> None:
    file = tmp_path / "truth.json"
    done = run(
        "--seed=7", "--count=20000", START, "--speed=500", "--malformed=0.01", "--late=0.01",
        f"--truth={file}",
    )  # fmt: skip
    rows = Sensors(seed=7, malformed=0.01, late=0.01, speed=500)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"\n".join(rows.lines(0, 20_000)) + b"\n"
    assert json.loads(file.read_text()) == truth(rows, 20_000)


def test_a_time_may_be_written_out_and_a_separator_named() -> None:
    done = run("--seed=7", "--count=1", "--start=2023-11-14T22:13:20Z", r"--sep=\t")
    assert done.stdout == FIRST_LINES["csv"][0].replace(b",", b"\t") + b"\n"
    local = run("--seed=7", "--count=1", "--start=2023-11-14T23:13:20+01:00", "--format=json")
    assert local.stdout == FIRST_LINES["json"][0] + b"\n"


def test_rows_come_at_the_rate_and_the_first_one_at_once() -> None:
    assert [rows_due(seconds, 10) for seconds in (0, 0.05, 0.1, 0.95, 1)] == [1, 1, 2, 10, 11]
    assert [rows_due(seconds, 0.5) for seconds in (0, 1.9, 2)] == [1, 1, 2]
    # 60 rows at 100 a second: none is missing or doubled by the pauses between them.
    done = run("--seed=7", "--count=60", "--rate=100", START)
    assert done.stdout == b"\n".join(Sensors(seed=7, speed=100).lines(0, 60)) + b"\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_endless_run_ends_cleanly_and_tells_the_truth_of_what_it_printed(
    number: signal.Signals, tmp_path: Path
) -> None:
    file = tmp_path / "truth.json"
    command = [sys.executable, "generator.py", "--rate=5000", START, f"--truth={file}"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    lines = (first + rest).splitlines()
    rows = Sensors(speed=5000)
    assert (process.returncode, errors) == (0, b"")
    assert lines == rows.lines(0, len(lines))
    assert json.loads(file.read_text()) == truth(rows, len(lines))


def test_a_run_that_is_ended_before_its_count_says_so_by_its_status() -> None:
    command = [sys.executable, "generator.py", "--rate=10", "--count=1000000"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_reader_that_leaves_ends_the_run_without_a_word(tmp_path: Path) -> None:
    command = f"{sys.executable} generator.py {START} --seed 7 %s | head -n 3"
    options: dict[str, Any] = {"cwd": REPOSITORY, "capture_output": True, "timeout": 60}
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command % ""], **options)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines() == Sensors(seed=7).lines(0, 3)

    file = tmp_path / "truth.json"
    told = subprocess.run(["bash", "-o", "pipefail", "-c", command % f"--truth {file}"], **options)
    sentence = b"generator.py: no truth written: the reader of the rows left before their end\n"
    assert (told.returncode, told.stderr) == (1, sentence)
    assert not file.exists()


MISTAKES = [
    (["--malformed=1.5"], "'malformed' is a share and must be from 0 to 1, is 1.5"),
    (["--late=nan"], "'late' is a share and must be from 0 to 1, is nan"),
    (["--rate=-1"], "'rate' must be 0 or more, is -1.0"),
    (["--rate=inf"], "'rate' must be 0 or more, is inf"),
    (["--count=-1"], "'count' must be 0 or more, is -1"),
    (["--count=x"], "argument --count: invalid int value: 'x'"),
    (["--speed=0"], "'speed' must be more than 0, is 0.0"),
    (["--lateness=0"], "'lateness' must be 1 or more, is 0"),
    (["--sep=5"], "'sep' must be something that no value holds, is '5'"),
    (["--sep="], "'sep' must be something that no value holds, is ''"),
    (["--scenario=house"], "unknown scenario 'house'; known are 'sensors' and 'building'"),
    (["--start=noon"], "argument --start: expected epoch seconds or ISO 8601, found 'noon'"),
    (["--kafka=localhost:9092"], "--kafka and --topic go together"),
    (["--topic=a"], "--kafka and --topic go together"),
    (["--kafka=localhost", "--topic=a"], "argument --kafka: expected HOST:PORT, found 'localhost'"),
    (
        ["--topic=a b", "--kafka=localhost:9092"],
        "argument --topic: letters, digits and '._-' name a topic, found 'a b'",
    ),
    (["--window=0"], "--window must be 1 second or more"),
    (["--truth=/none/there/truth.json"], "--truth: there is no folder '/none/there'"),
    (["--cou=1"], "unrecognized arguments: --cou=1"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES, ids=[m[0][0] for m in MISTAKES])
def test_a_mistake_in_the_options_is_one_sentence(arguments: list[str], sentence: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines()[-1] == f"generator.py: error: {sentence}"
    assert len(done.stderr.splitlines()) == 2


def test_a_simulation_begins_now_and_takes_its_speed_from_the_rate() -> None:
    before = int(time.time())
    assert before <= Simulation().rows().start <= time.time()
    assert Simulation(start=7, rate=50).rows() == Sensors(start=7, speed=50)
    assert Simulation(start=7, speed=3, rate=50).rows() == Sensors(start=7, speed=3)
    assert Simulation(start=0).rows() == Sensors(start=0, speed=1000)


def test_kafka_gets_every_row_by_the_key_of_its_sensor(kafka: KafkaBroker, tmp_path: Path) -> None:
    kafka.create_topic("simulated", partitions=3)
    file = tmp_path / "truth.json"
    done = run(
        "--seed=7", "--count=20000", START, "--malformed=0.01", f"--truth={file}",
        f"--kafka={kafka.address}", "--topic=simulated",
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    rows = Sensors(seed=7, malformed=0.01)
    keys = [str(row.sensor_id).encode() for row in rows.records(0, 20_000)]
    found = kafka.consume("simulated")
    assert sorted((record.key, record.value) for record in found) == sorted(
        zip(keys, rows.lines(0, 20_000), strict=True)
    )
    assert {record.partition for record in found} == {0, 1, 2}
    assert json.loads(file.read_text()) == truth(rows, 20_000)


def test_a_broker_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "truth.json"
    done = run("--kafka=127.0.0.1:1", "--topic=a", "--count=5", f"--truth={file}")
    sentence = b"generator.py: cannot reach Kafka at 127.0.0.1:1: connection refused\n"
    assert (done.returncode, done.stderr) == (1, sentence)
    assert not file.exists()
