"""``ts-engine verify``: batch = streaming + late, window by window."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing

import pytest

from engine.check import check
from engine.cli import main
from engine.runtime.verify import Comparison, compared
from tests.jobs import FIELDS, Job

pytestmark = pytest.mark.usefixtures("spark")


def test_late_rows_are_folded_back_and_the_windows_behind_theirs_are_not_blamed(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.config(
        [
            {
                "name": "by key",
                "rule": ["key: key", "total: sum(value)", "tenth: sum(value / 10)", "n: count()"],
            },
            {"name": "growth", "rule": ["key: key", "more: delta(value)"]},
            {"name": "all", "window": {"size": "20 seconds", "slide": "10 seconds"},
             "where": "value < 9", "rule": ["mean: mean(value)"]},
        ]
    )  # fmt: skip
    for records in (["1,a,1", "2,A,2", "3,'; DROP,3"], ["11,a,2", "31,a,5"], ["41,a,7", "42,b,9"],
                    ["2,a,4", "33,b,1", "much,a,1"], ["4,c,8", "5,c,8", "51,a,1"]):  # fmt: skip
        job.arrive(records)
    assert main(["verify", str(job.folder / "config.json")]) == 0
    told = capsys.readouterr().out.splitlines()
    # The watermark of two batches before refuses 2,a,4 (at 31), 4,c,8 and 5,c,8 (at 42).
    assert told == [
        "config: a stream of 13 rows in 5 batches, and a batch",
        "  by key: 10 windows, 2 of them short of their 3 late rows: equal",
        "  growth: 10 windows, 2 of them short of their 3 late rows: equal",
        "  all: 7 windows, 2 of them short of their 6 late rows: equal",
        "equal: batch = streaming + late",
    ]
    assert not job.database.exists()  # outputs and checkpoint are left alone
    assert not (job.folder / "config.checkpoint").exists()


def test_of_late_rows_that_are_copies_of_one_the_first_is_folded_back(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.config(
        [
            {"name": "by key", "rule": ["key: key", "n: count()", "total: sum(value)"]},
            {"name": "all", "window": {"size": "20 seconds", "slide": "10 seconds"},
             "where": "value < 9", "rule": ["mean: mean(value)"]},
        ],
        structure={**FIELDS, "id": {"index": 3, "type": "string"}},
        processing={"deduplicate": {"by": ["key", "id"], "within": "1 hour"}},
    )  # fmt: skip
    for records in (["1,a,1,i", "2,a,2,j"], ["31,a,5,k", "1,a,1,i"], ["41,a,7,l"],
                    # Late: a copy of what counts, two of one, two that are none.
                    ["1,a,1,i", "3,a,4,m", "3,a,4,m", "4,b,1,", "4,b,1,", "31,a,5,k"],
                    ["3,a,4,m", "51,b,1,i"]):  # fmt: skip
        job.arrive(records)
    assert main(["verify", str(job.folder / "config.json")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "config: a stream of 13 rows in 5 batches, and a batch",
        "  by key: 5 windows, 2 of them short of their 3 late rows: equal",
        "  all: 6 windows, 2 of them short of their 6 late rows: equal",
        "equal: batch = streaming + late",
    ]


def test_nobody_is_told_of_what_is_verified(job: Job) -> None:
    told = job.folder / "told"
    writes = [sys.executable, "-c", f"open({str(told)!r}, 'w')"]
    job.config(
        {"rule": ["key: key", "value: max(value)"], "window": "10 seconds"},
        analysis={
            "rule": [{"module": "Threshold", "name": "r", "options": {"crit": "value > 0"}}],
            "alert": {"method": "command", "options": {"command": writes}},
        },
    )
    job.arrive(["1,a,1", "20,a,1"])
    assert main(["verify", str(job.folder / "config.json")]) == 0
    assert not told.exists()
    job.run("--once")
    assert told.exists()


def test_a_config_that_cannot_be_verified_is_told(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    path = job.config([{"name": "w", "rule": ["n: count()"]}], processing={"event_time": None})
    text = path.read_text().replace('"event_time": null,', "")
    path.write_text(text)
    assert main(["verify", str(path)]) == 2
    assert "name an 'event_time'" in capsys.readouterr().err


def test_what_differs_is_told_with_its_window(job: Job) -> None:
    path = job.config(
        {"name": "w", "rule": ["key: key", "total: sum(value)", "more: delta(value)"]}
    )
    query = check(str(path)).query
    assert query is not None
    columns = "window_start, window_end, key, total, more, _rows"
    # Start and key; then total, growth and rows of the stream and of the batch, and the late rows.
    windows = [
        ("00", "a", (1.0, None, 1), (1.0 + 1e-15, None, 1), 0),  # the last digit
        ("10", "a", (2.0, 1.0, 2), (3.0, 2.0, 3), 1),  # short of a late row
        ("20", "a", (3.0, 1.0, 1), (3.0, 0.0, 1), 0),  # its growth is from there
        ("30", "a", (4.0, 1.0, 1), (4.0, 2.0, 1), 0),
        ("00", "b", (1.0, None, 1), (2.0, None, 1), 0),
        ("10", "b", None, (2.0, 1.0, 2), 2),  # all of its rows are late
        ("20", "b", None, (2.0, 1.0, 2), 1),
        ("30", "b", (1.0, 0.0, 2), None, 0),
    ]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("ATTACH ':memory:' AS batch")
        for side in ("main", "batch"):
            connection.execute(f"CREATE TABLE {side}.w ({columns})")
        connection.execute("CREATE TABLE main.late (aggregation, window_start, key)")
        for start, key, stream, batch, late in windows:
            for side, values in (("main", stream), ("batch", batch)):
                if values is not None:
                    row = (start, start, key, *values)
                    connection.execute(f"INSERT INTO {side}.w VALUES (?, ?, ?, ?, ?, ?)", row)
            connection.executemany("INSERT INTO late VALUES ('w', ?, ?)", [(start, key)] * late)
        found = compared(connection, query.aggregations[0])
    assert found.text().splitlines() == [
        "  w: 8 windows, 3 of them short of their 4 late rows: 4 differ",
        "    30 key=a: more 1.0, 2.0 in the batch",
        "    00 key=b: total 1.0, 2.0 in the batch",
        "    20 key=b: 0 rows and 1 late ones, 2 in the batch",
        "    30 key=b: 2 rows, 0 in the batch",
    ]


def test_sessions_that_differ_are_told(job: Job) -> None:
    path = job.config({"name": "w", "window": {"gap": "5 seconds"}, "rule": ["total: sum(value)"]})
    query = check(str(path)).query
    assert query is not None
    sides = {  # start, end, total, rows
        "main": [("10", "16", 1, 2), ("20", "25", 1, 1), ("27", "32", 1, 1), ("50", "55", 1, 1)],
        "batch": [("10", "16", 1, 2), ("20", "32", 2, 2), ("44", "63", 9, 5)],
    }
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("ATTACH ':memory:' AS batch")
        for side, rows in sides.items():
            connection.execute(f"CREATE TABLE {side}.w (window_start, window_end, total, _rows)")
            connection.executemany(f"INSERT INTO {side}.w VALUES (?, ?, ?, ?)", rows)
        connection.execute("CREATE TABLE main.late (aggregation, window_start)")
        late = [("w", each) for each in ("44", "48", "58")]
        connection.executemany("INSERT INTO late VALUES (?, ?)", late)
        found = compared(connection, query.aggregations[0])
    assert found.text().splitlines() == [
        "  w: 3 windows, 1 of them short of their 3 late rows: 3 differ",
        "    20: window_end 25, 32 in the batch",
        "    20: total 1, 2 in the batch",
        "    44: 1 rows and 3 late ones, 5 in the batch",
    ]


def test_what_differs_is_told_the_first_of_many() -> None:
    found = Comparison("w", windows=9)
    for number in range(7):
        found.differs(f"window {number}")
    assert found.text().splitlines() == [
        "  w: 9 windows: 7 differ",
        *(f"    window {number}" for number in range(5)),
    ]
