"""The simulated building: its ten sensors send as told, and its truth is true."""

from __future__ import annotations

import doctest
import hashlib
import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from engine.inputs.generator import Generator
from engine.simulator import Building, Measurement, Simulation, building, building_truth
from engine.simulator.building import DAILY, DAY, QUARTER, QUARTERLY, SENSORS, START

REPOSITORY = Path(__file__).parent.parent
#: Long enough for all that begins later, and no whole number of cycles.
DAYS = 33
ROWS = Building(seed=11).rows_in(DAYS)

FIRST_LINES = {
    "csv": [b"1577836800,TH1,29.875", b"1577836800,TH2,22.125", b"1577836800,HVAC1,69.0"],
    "json": [b'{"timestamp": 1577836800, "sensor": "TH1", "value": 29.875}'],
}
#: Of the first 20,000 lines with a hundredth malformed.
DIGESTS = {
    "csv": "25ef316756d756953da3c2bc7ff0551b7e74cacb1354badb0c37bd03f39623ab",
    "json": "92f02d5d1f49feac22520c1b5c1ee780ea6c39d0d57bfc0a4b27779bd54e253f",
}


def sent(seed: int = 11, days: int = DAYS) -> list[Measurement]:
    rows = Building(seed=seed)
    return list(rows.records(0, rows.rows_in(days)))


def in_time(sensor: str) -> list[Measurement]:
    return [row for row in sent() if row.sensor == sensor and not row.days_late]


def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "generator.py", "--scenario=building", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=120)


@pytest.mark.parametrize("format", FIRST_LINES)
def test_a_seed_always_gives_the_same_lines(format: str) -> None:
    first = FIRST_LINES[format]
    assert Building(seed=7, format=format).lines(0, len(first)) == first
    worse = Building(seed=7, format=format, malformed=0.01)
    digest = hashlib.sha256(b"\n".join(worse.lines(0, 20_000))).hexdigest()
    assert digest == DIGESTS[format]


def test_row_i_depends_on_the_seed_and_on_i_alone() -> None:
    rows = Building(seed=3, malformed=0.05)
    lines = rows.lines(0, 15_000)
    assert [rows.line(i) for i in range(3_470, 3_500)] == lines[3_470:3_500]
    assert rows.lines(1_020, 14_100) == lines[1_020:14_100]
    assert rows.lines(7, 7) == []
    assert rows.record(7_321) == list(rows.records(6_000, 8_000))[1_321]
    assert list(rows.keys(100, 200)) == [row.sensor.encode() for row in rows.records(100, 200)]
    assert Building(seed=4).lines(0, 100) != Building(seed=3).lines(0, 100)
    assert Building(seed=-1).line(10**15)


def test_another_start_moves_all_times_and_changes_nothing_else() -> None:
    for row, moved in zip(sent(), Building(seed=11, start=-77).records(0, ROWS), strict=True):
        assert moved == row._replace(timestamp=row.timestamp - START - 77)


def test_the_example_in_the_docstring_runs() -> None:
    assert doctest.testmod(building) == (0, 1)


def test_the_data_structure_file_is_that_of_the_rows() -> None:
    file = REPOSITORY / "configs" / "building_data_structure.json"
    assert json.loads(file.read_text()) == building.data_structure()
    assert tuple(building.FIELDS) == Measurement._fields[:3]


@pytest.mark.parametrize("sensor", QUARTERLY)
def test_a_sensor_sends_a_value_of_its_range_every_quarter_of_an_hour(sensor: str) -> None:
    rows = in_time(sensor)
    assert [row.timestamp for row in rows] == list(range(START, START + DAYS * DAY, QUARTER))
    low, high = QUARTERLY[sensor]
    values = [row.value for row in rows]
    assert low <= min(values) <= low + (high - low) / 100
    assert high - (high - low) / 100 <= max(values) <= high
    assert sum(values) / len(values) == pytest.approx((low + high) / 2, rel=0.05)
    assert all((8 * value).is_integer() for value in values)


@pytest.mark.parametrize("meter", DAILY)
def test_a_meter_is_read_in_the_last_quarter_of_a_day_and_goes_on_as_told(meter: str) -> None:
    rows = in_time(meter)
    assert [row.timestamp for row in rows] == list(
        range(START + DAY - QUARTER, START + DAYS * DAY, DAY)
    )
    growth, spread = DAILY[meter]
    differences = [later.value - row.value for row, later in pairwise(rows)]
    assert all(abs(difference - growth) <= spread for difference in differences)
    assert len(set(differences)) > len(differences) / 2
    assert rows[-1].value == pytest.approx(DAYS * growth, abs=spread / 2)


def test_someone_moves_in_a_fifth_of_the_quarters_at_any_second() -> None:
    rows = in_time("Mov1")
    assert {row.value for row in rows} == {1.0}
    assert len(rows) == pytest.approx(DAYS * 96 / 5, abs=20)
    quarters = [row.timestamp // QUARTER for row in rows]
    assert quarters == sorted(set(quarters))
    seconds = [row.timestamp % QUARTER for row in rows]
    assert (min(seconds) < 20, max(seconds) > QUARTER - 20) == (True, True)
    assert len(set(Counter(row.timestamp // DAY for row in rows).values())) > 5


@pytest.mark.parametrize(("days", "every"), [(2, 20), (10, 120)])
def test_a_late_row_repeats_one_that_came_in_time_with_another_value(days: int, every: int) -> None:
    known: dict[int, float] = {}
    readings = 0
    found = []
    for row in sent():
        if row.sensor != "W1":
            continue
        if not row.days_late:
            known[row.timestamp] = row.value
            readings += 1
        elif row.days_late == days:
            found.append(readings)
            now = START + (readings - 1) * QUARTER
            assert row.timestamp == now - days * DAY
            assert known[row.timestamp] != row.value
            assert 0 <= row.value <= 1
    first = -(-(days * 96 + 1) // every) * every
    assert found == list(range(first, DAYS * 96 + 1, every))


def test_a_row_is_known_by_its_fields() -> None:
    rows = [row[:3] for row in sent(days=90)]
    assert len(set(rows)) == len(rows)
    assert set(Counter(row[:2] for row in rows).values()) == {1, 2}


def test_rows_are_sent_quarter_by_quarter() -> None:
    quarters = [(row.timestamp - START + row.days_late * DAY) // QUARTER for row in sent()]
    assert quarters == sorted(quarters)
    for days in (0, 1, 2, 5, 7, 10, 11):
        assert Building(seed=11).rows_in(days) == sum(quarter < days * 96 for quarter in quarters)


def test_malformed_lines_are_no_rows_and_all_others_are_whole() -> None:
    rows = Building(seed=5, malformed=0.02)
    broken = set(rows.malformed_rows(0, 20_000))
    assert len(broken) == pytest.approx(400, abs=80)
    for i, (line, row) in enumerate(
        zip(rows.lines(0, 20_000), rows.records(0, 20_000), strict=True)
    ):
        assert (reading_of(line) is None) == (i in broken)
        assert i in broken or reading_of(line) == row[:3]


def reading_of(line: bytes) -> tuple[int, str, float] | None:
    try:
        second, sensor, value = line.decode("utf-8").split(",")
        return (int(second), sensor, float(value)) if sensor in SENSORS else None
    except ValueError:
        return None


#: Rows as they came, and what duckdb makes of them: what is 10 days late is found by the clock of
#: the rows themselves, sums are of decimals.
QUERIES = {
    "rows": """
        SELECT *, timestamp // 86400 AS day,
            max(timestamp) OVER (ORDER BY i) - timestamp > 5 * 86400 AS late
        FROM read_csv('{file}', header = false,
            columns = {{'i': 'BIGINT', 'timestamp': 'BIGINT', 'sensor': 'VARCHAR',
                       'value': 'DECIMAL(18, 3)'}})""",
    "AggDay": """
        SELECT day, sensor, count(*) AS rows, sum(value) AS total
        FROM rows WHERE NOT late AND sensor NOT IN ('Etot', 'Wtot')
        GROUP BY day, sensor ORDER BY day, sensor""",
    "AggDayDiff": """
        SELECT day, sensor, value - lag(value) OVER (PARTITION BY sensor ORDER BY day) AS difference
        FROM rows WHERE sensor IN ('Etot', 'Wtot') ORDER BY day, sensor""",
    "AggDayRest": """
        SELECT day,
            max(difference) FILTER (AggDayDiff.sensor = 'Etot')
                - sum(total) FILTER
                    (AggDayDiff.sensor = 'Etot' AND AggDay.sensor[:4] IN ('HVAC', 'MiAC')),
            max(difference) FILTER (AggDayDiff.sensor = 'Wtot')
                - sum(total) FILTER
                    (AggDayDiff.sensor = 'Wtot' AND AggDay.sensor = 'W1')
        FROM AggDay JOIN AggDayDiff USING (day) GROUP BY day ORDER BY day""",
    "late": "SELECT day, timestamp, sensor, value FROM rows WHERE late ORDER BY i",
}  # fmt: skip


@pytest.mark.parametrize("malformed", [0, 0.01])
def test_the_truth_is_what_duckdb_finds_in_the_lines(malformed: float, tmp_path: Path) -> None:
    rows = Building(seed=11, malformed=malformed)
    file = tmp_path / "rows.csv"
    whole = [b"%d,%s" % (i, line) for i, line in enumerate(rows.lines(0, ROWS)) if reading_of(line)]
    file.write_bytes(b"\n".join(whole))
    results: dict[str, list[Any]] = {}
    with duckdb.connect() as database:
        for name, query in QUERIES.items():
            database.execute(f"CREATE TEMP TABLE {name} AS {query.format(file=file)}")
            results[name] = database.sql(f"FROM {name}").fetchall()
    found = building_truth(rows, ROWS)
    assert (found["rows"], found["malformed"]) == (ROWS, ROWS - len(whole))
    assert found["AggDay"] == [
        window(day)
        | {"sensor": sensor, "rows": n, "sum": float(total), "mean": float(Fraction(total) / n)}
        for day, sensor, n, total in results["AggDay"]
    ]
    assert found["AggDayDiff"] == [
        window(day) | {"sensor": sensor, "difference": number(difference)}
        for day, sensor, difference in results["AggDayDiff"]
    ]
    assert found["late"] == [
        window(day) | {"timestamp": second, "sensor": sensor, "value": float(value)}
        for day, second, sensor, value in results["late"]
    ]
    rests = {window(day)["window_start"]: rest for day, *rest in results["AggDayRest"]}
    for row in found["AggDayRest"]:
        energy, water = rests.get(row["window_start"], (None, None))
        assert (row["energy"], row["water"]) == (number(energy), number(water))
    assert len(found["AggDayRest"]) == DAYS
    assert json.loads(json.dumps(found)) == found


def window(day: int) -> dict[str, str]:
    start, end = (date(1970, 1, 1) + timedelta(days) for days in (day, day + 1))
    return {"window_start": f"{start}T00:00:00.000Z", "window_end": f"{end}T00:00:00.000Z"}


def number(value: Any) -> float | None:
    return None if value is None else float(value)


def test_the_truth_of_90_days_has_every_day_and_every_late_row() -> None:
    rows = Building(seed=1)
    found = building_truth(rows, rows.rows_in(90))
    assert found["rows"] == 62_875
    assert {name: len(each) for name, each in found.items() if isinstance(each, list)} == {
        "AggDay": 90 * 8, "AggDayDiff": 90 * 2, "AggDayRest": 90, "corrections": 423, "late": 64,
    }  # fmt: skip
    assert found["AggDayRest"][0] | {"energy": None, "water": None} == found["AggDayRest"][0]
    assert all(20_000 < row["energy"] < 42_000 for row in found["AggDayRest"][1:])
    counts = defaultdict(set)
    for row in found["AggDay"]:
        counts[row["sensor"]].add(row["rows"])
    assert {sensor: min(rows) for sensor, rows in counts.items() if len(rows) == 1} == {
        sensor: 96 for sensor in QUARTERLY if sensor != "W1"
    }
    # The last two days wait for their corrections.
    assert counts["W1"] == {96, 100, 101}


def refused(lateness_days: int, most_days: float, seed: int) -> set[tuple[Any, ...]]:
    """What an engine refuses whose batches take in so many days of event time at the most."""
    cuts = random.Random(seed)
    found = set()
    before, before_that = float("-inf"), float("-inf")
    latest, end = float("-inf"), float("-inf")
    for row in Building(seed=11).records(0, ROWS):
        if row.timestamp >= end:
            before, before_that = latest, before
            end = row.timestamp + cuts.uniform(0, most_days) * DAY
        if (row.timestamp // DAY + 1) * DAY + lateness_days * DAY <= before_that:
            found.add(row[:3])
        latest = max(latest, row.timestamp)
    return found


def test_batches_of_half_of_9_days_less_the_lateness_refuse_just_the_late_rows() -> None:
    found = building_truth(Building(seed=11), ROWS)
    late = {(row["timestamp"], row["sensor"], row["value"]) for row in found["late"]}
    assert len(late) == 18
    for lateness_days in (2, 3, 4):
        for seed in range(5):
            assert refused(lateness_days, (9 - lateness_days) / 2, seed) == late
    assert refused(3, 20, seed=0) < late
    assert refused(1, 0, seed=0) > late


def test_the_command_prints_the_simulators_lines_and_writes_their_truth(tmp_path: Path) -> None:
    file = tmp_path / "truth.json"
    done = run("--seed=7", "--days=13", "--malformed=0.01", f"--truth={file}")
    rows = Building(seed=7, malformed=0.01)
    count = rows.rows_in(13)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"\n".join(rows.lines(0, count)) + b"\n"
    assert json.loads(file.read_text()) == building_truth(rows, count)


def test_event_time_runs_as_many_times_as_fast_as_the_clock_as_was_asked_for() -> None:
    rows_a_second = 3494 / (5 * DAY)
    assert Simulation("building", speed=900).pace == pytest.approx(900 * rows_a_second)
    assert Simulation("building", speed=900, rate=5).pace == pytest.approx(900 * rows_a_second)
    assert Simulation("building", rate=5).pace == 5
    assert Simulation("building").pace == 0
    done = run("--seed=7", "--count=30", "--speed=36000", "--start=2021-01-01")
    rows = Building(seed=7, start=1_609_459_200)
    assert (done.returncode, done.stdout) == (0, b"\n".join(rows.lines(0, 30)) + b"\n")


MISTAKES = [
    (["--late=0.1"], "the scenario 'building' has no option 'late'"),
    (["--lateness=9"], "the scenario 'building' has no option 'lateness'"),
    (["--scenario=sensors", "--days=3"], "the scenario 'sensors' has no option 'days'"),
    (["--days=-1"], "'days' must be 0 or more, is -1"),
    (["--days=1", "--count=1"], "'count' and 'days' both say where the rows end; give one of them"),
    (["--sep=W"], "'sep' must be something that no value holds, is 'W'"),
    (["--window=10"], "--window: the windows of the scenario 'building' are days"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES, ids=[m[0][0] for m in MISTAKES])
def test_a_mistake_in_the_options_is_one_sentence(arguments: list[str], sentence: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines()[-1] == f"generator.py: error: {sentence}"


def test_the_input_takes_the_options_of_the_command() -> None:
    problems: list[str] = []
    source = Generator(scenario="building", days=90, speed=900)
    source.check(lambda name, message, hint: problems.append(message))
    assert problems == []
    assert source.has_end
    assert not Generator(scenario="building").has_end
    assert source.described() == {
        "scenario": "building", "seed": 0, "rows": "62,875 rows, 7.28 rows/s",
    }  # fmt: skip
    wrong = Generator(scenario="building", late=0.1)
    wrong.check(lambda name, message, hint: problems.append(message))
    assert problems == ["the scenario 'building' has no option 'late'"]
