"""What outputs answer about the past, asked for many windows at once."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.outputs import Batch, Job, Stream
from engine.outputs.sqlite import Sqlite
from engine.plan import Column
from engine.types import Type

START = datetime(2026, 11, 22, tzinfo=timezone.utc)
TIME = pa.timestamp("us", tz="UTC")
STREAM = Stream(
    "w x",
    (
        Column("window_start", Type.TIMESTAMP, "time"),
        Column("window_end", Type.TIMESTAMP, "time"),
        Column("line", Type.LONG, "key"),
        Column("sensor", Type.STRING, "key"),
        Column("n", Type.LONG, "measure"),
        Column("Sensor", Type.DOUBLE, "measure"),  # differs from a key by case alone
        Column("hot", Type.BOOLEAN, "measure"),
        Column("rank", Type.TIMESTAMP, "measure"),
    ),
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def windows(rows: list[tuple[float, int, str, int | None]]) -> pa.RecordBatch:
    times = [at(each[0]) for each in rows]
    numbers = [each[3] for each in rows]
    columns = [
        pa.array(times, TIME),
        pa.array([each + timedelta(seconds=10) for each in times], TIME),
        pa.array([each[1] for each in rows], pa.int64()),
        pa.array([each[2] for each in rows], pa.string()),
        pa.array(numbers, pa.int64()),
        pa.array([None if each is None else each / 2 for each in numbers], pa.float64()),
        pa.array([None if each is None else each > 1 for each in numbers], pa.bool_()),
        pa.array(times, TIME),
    ]
    return pa.RecordBatch.from_arrays(columns, [each.name for each in STREAM.columns])


def asked(rows: list[tuple[float, int, str]]) -> pa.RecordBatch:
    columns = [
        pa.array([each[1] for each in rows], pa.int64()),
        pa.array([each[2] for each in rows], pa.string()),
        pa.array([at(each[0]) for each in rows], TIME),
    ]
    return pa.RecordBatch.from_arrays(columns, ["line", "sensor", "window_start"])


def found(path: Path, rows: pa.RecordBatch, wanted: pa.RecordBatch, accuracy: int) -> Any:
    target = Sqlite(path=str(path))
    with closing(target.open(Job("j", "sqlite", "c", "", (STREAM,)))) as output:
        writer = output.begin(Batch(0))(0)
        writer.write(STREAM, rows)
        writer.commit()
        with closing(output.reader()()) as reader:
            answer = reader.find(STREAM, wanted, accuracy)
    assert answer.num_rows == wanted.num_rows
    return answer


def test_each_asked_window_is_answered_by_the_nearest(tmp_path: Path) -> None:
    hostile = 'it\'s; DROP TABLE "w x" --'
    rows = [
        (0.0, 1, "a", 1),
        (10, 1, "a", 2),
        (20, 1, "a", 3),
        (20, 1, hostile, 4),
        (30, 2, "a", None),
    ]
    cases: list[tuple[tuple[float, int, str], int | None]] = [
        ((10, 1, "a"), 2),
        ((12, 1, "a"), 2),
        ((18.5, 1, "a"), 3),
        ((15, 1, "a"), None),  # further than 3 s from both
        ((10, 2, "a"), None),
        ((10, 1, "b"), None),
        ((20, 1, hostile), 4),
        ((-3, 1, "a"), 1),
        ((-3.001, 1, "a"), None),
    ]
    answer = found(tmp_path / "o.sqlite", windows(rows), asked([each for each, _ in cases]), 3000)
    assert answer.column("n").to_pylist() == [each for _, each in cases]
    assert answer.column("window_start").to_pylist()[:3] == [at(10), at(10), at(20)]
    assert answer.column("rank").to_pylist()[:4] == [at(10), at(10), at(20), None]
    assert answer.column("hot").to_pylist()[:3] == [True, True, True]
    assert answer.column("Sensor").to_pylist()[:3] == [1.0, 1.0, 1.5]


def test_of_two_windows_as_near_the_earlier_one_answers(tmp_path: Path) -> None:
    rows = windows([(0, 1, "a", 1), (10, 1, "a", 2), (30, 2, "a", None)])
    wanted = asked([(5, 1, "a"), (30, 2, "a")])
    answer = found(tmp_path / "o.sqlite", rows, wanted, 5000)
    assert answer.column("n").to_pylist() == [1, None]
    assert answer.column("window_start").to_pylist() == [at(0), at(30)], "a window without values"


def test_many_windows_are_asked_for_at_once(tmp_path: Path) -> None:
    rows = windows([(10.0 * n, n % 100, f"s{n}", n) for n in range(20_000)])
    wanted = asked([(10.0 * n + 1, n % 100, f"s{n}") for n in range(20_000)])
    answer = found(tmp_path / "o.sqlite", rows, wanted, 3000)
    assert answer.column("n").to_pylist() == list(range(20_000))


def test_nothing_is_asked_for(tmp_path: Path) -> None:
    answer = found(tmp_path / "o.sqlite", windows([(0, 1, "a", 1)]), asked([]), 3000)
    assert answer.schema.names == ["window_start", "n", "Sensor", "hot", "rank"]
