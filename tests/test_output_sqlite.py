"""The output sqlite, asked by itself: what tasks write, write again, and wait for."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from engine.outputs import Batch, Job, OutputError, Stream, Writer, _sqlite_table
from engine.outputs import sqlite as output
from engine.outputs._notices import Notices
from engine.outputs.sqlite import OpenSqlite, Sqlite
from engine.plan import Column
from engine.types import Type

WINDOWS = Stream(
    "w",
    (
        Column("window_start", Type.TIMESTAMP, "time"),
        Column("key", Type.STRING, "key"),
        Column("n", Type.LONG, "measure"),
    ),
)
RAW = Stream("raw", (Column("value", Type.LONG, "field"), Column("_batch", Type.LONG, "origin")))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def notices(said: list[str]) -> Iterator[Notices]:
    with closing(Notices("127.0.0.1", said.append)) as found:
        yield found


@pytest.fixture
def opened(tmp_path: Path, notices: Notices) -> OpenSqlite:
    job = Job("t", "sqlite", "checkpoint", "127.0.0.1", (WINDOWS, RAW), notices.address)
    return Sqlite(path=str(tmp_path / "out.sqlite")).open(job)


def windows(**counts: int) -> pa.RecordBatch:
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return pa.record_batch(
        {
            "window_start": pa.array([start] * len(counts), pa.timestamp("us", "UTC")),
            "key": list(counts),
            "n": list(counts.values()),
        }
    )


def raw(*values: int) -> pa.RecordBatch:
    return pa.record_batch({"value": list(values), "_batch": [0] * len(values)})


def writer(opened: OpenSqlite, number: int = 0, partition: int = 0) -> Writer:
    return opened.begin(Batch(number, False))(partition)


def held(opened: OpenSqlite, query: str) -> list[Any]:
    with closing(sqlite3.connect(opened.path)) as connection:
        return connection.execute(query).fetchall()


def test_nothing_is_written_before_all_outputs_have_their_rows(opened: OpenSqlite) -> None:
    task = writer(opened)
    task.write(WINDOWS, windows(b=1, a=2))
    task.write(RAW, raw(1, 2))
    task.settle()
    # Nor is anybody else kept from writing: another output may wait for its server for hours.
    with closing(sqlite3.connect(opened.path, timeout=1)) as other:
        other.execute("BEGIN IMMEDIATE")
    assert held(opened, "SELECT * FROM raw") == []
    task.commit()
    assert held(opened, "SELECT key, n FROM w") == [("a", 2), ("b", 1)]
    assert held(opened, "SELECT value FROM raw") == [(1,), (2,)]


def test_a_task_of_many_rows_writes_them_in_parts_and_again_when_it_is_repeated(
    opened: OpenSqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_ROWS", 5)
    other = writer(opened, partition=1)
    other.write(RAW, raw(100))
    failed = writer(opened)
    for value in range(4):
        failed.write(WINDOWS, windows(a=value, b=value))
        failed.write(RAW, raw(value, value + 10))
    assert held(opened, "SELECT count(*) FROM raw") != [(0,)]
    other.commit()
    failed.abort()
    again = writer(opened)
    for value in range(4):
        again.write(WINDOWS, windows(a=value + 1, b=value))
        again.write(RAW, raw(value, value + 10))
    again.commit()
    assert held(opened, "SELECT key, n FROM w") == [("a", 4), ("b", 3)]
    values = [value for (value,) in held(opened, "SELECT value FROM raw")]
    assert sorted(values) == [0, 1, 2, 3, 10, 11, 12, 13, 100]
    # A replay of the batch takes back what all of its tasks wrote.
    opened.begin(Batch(0, True))
    assert held(opened, "SELECT value FROM raw") == []


def test_windows_that_are_no_more_are_removed(opened: OpenSqlite) -> None:
    task = writer(opened)
    task.write(WINDOWS, windows(a=1, b=1))
    task.commit()
    task = writer(opened, 1)
    task.remove(WINDOWS, windows(a=1))
    task.write(WINDOWS, windows(c=1))
    task.commit()
    assert held(opened, "SELECT key FROM w") == [("b",), ("c",)]


def test_a_file_that_another_program_writes_to_is_waited_for_and_told(
    opened: OpenSqlite, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sqlite_table, "_BUSY_SECONDS", 0.05)
    task = writer(opened)
    task.write(RAW, raw(1))
    other = sqlite3.connect(opened.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    thread = threading.Thread(target=task.commit)
    thread.start()
    while not said:
        time.sleep(0.01)
    other.execute("ROLLBACK")
    other.close()
    thread.join()
    who = f"output 'sqlite': {opened.path}"
    assert said[0] == f"{who}: database is locked; waiting"
    assert said[-1].startswith(f"{who}: goes on after ")
    assert held(opened, "SELECT value FROM raw") == [(1,)]


def test_what_does_not_pass_is_told_at_once(opened: OpenSqlite) -> None:
    task = writer(opened)
    task.write(RAW, raw(1))
    with closing(sqlite3.connect(opened.path)) as connection:
        connection.execute("DROP TABLE raw")
    with pytest.raises(OutputError, match=rf"^output 'sqlite': {opened.path}: no such table"):
        task.commit()
