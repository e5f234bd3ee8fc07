"""Late rows are found by their time alone, whatever it is made of, however a record is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.jobs import FIELDS, Job, iso

NESTED = {
    "time": {"path": "at.seconds", "type": "long"},
    "key": {"path": "key", "type": "string"},
    "value": {"path": "value", "type": "double"},
}
TEXT = {**FIELDS, "time": {"index": 0, "type": "string"}}
BEHIND = {
    "time": {"index": 2, "type": "long"},
    "key": {"index": 0, "type": "string"},
    "value": {"index": 1, "type": "double"},
}
Record = Callable[[int, str, float], str]


def plain(time: int, key: str, value: float) -> str:
    return f"{time},{key},{value}"


def quoted(time: int, key: str, value: float) -> str:
    return f'"{time}","{key}, or ""so""",{value}'


def nested(time: int, key: str, value: float) -> str:
    return json.dumps({"key": key, "at": {"seconds": time}, "value": value})


def marked(time: int, key: str, value: float) -> str:
    return f"\ufeff{time},{key},{value}\r"


def behind(time: int, key: str, value: float) -> str:
    return f"{key},{value},{time}\r"


#: How records are written, and what the config says of them.
CASES: dict[str, tuple[Record, str, dict[str, Any]]] = {
    "plain": (plain, "k", {}),
    "marked": (marked, "k", {}),
    "the time behind": (behind, "k", {"structure": BEHIND}),
    "quoted": (quoted, 'k, or "so"', {}),
    "json": (nested, "k", {"structure": NESTED, "options": {"format": "json"}}),
    "a rule of rules": (
        plain,
        "k",
        {
            "structure": TEXT,
            "transformation": ["seconds: long(time)", "moment: seconds * 1", "value: value + 0"],
            "processing": {"event_time": "moment"},
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_late_rows_have_all_their_fields(job: Job, case: str) -> None:
    record, key, about = CASES[case]
    rule = ["key: key", "n: count()", "sum: sum(value)"]
    job.config({"name": "ten", "rule": rule}, streams=["aggregated", "late"], **about)
    job.arrive([record(100, "k", 1)])
    job.arrive([record(200, "k", 2)])
    job.arrive([record(300, "k", 3), record(89, "k", 4), "what is this", record(99, "k", 5.5)])
    job.arrive([record(150, "k", 6)])
    report = job.run("--once")
    assert report["balanced"]
    assert report["aggregations"]["ten"] == {
        "malformed": 1,
        "filtered": 0,
        "late": 3,
        "aggregated": 3,
    }
    late = [
        (row["window_start"], str(row["time"]), row["key"], row["value"], row["_batch"])
        for row in job.rows("late", "value")
    ]
    assert late == [
        (iso(80), "89", key, 4.0, 2),
        (iso(90), "99", key, 5.5, 2),
        (iso(150), "150", key, 6.0, 3),
    ]
    files = {row["_file"] for row in job.rows("late")}
    assert files == {str(job.data / name) for name in ("0002.csv", "0003.csv")}


@pytest.mark.parametrize("streams", [["late"], ["late", "malformed"], ["late", "malformed", "raw"]])
def test_rows_beside_windows_say_when_their_batch_was(job: Job, streams: list[str]) -> None:
    job.config({"name": "ten", "rule": ["n: count()"]}, streams=["aggregated", *streams])
    for lines in (["100,k,1"], ["200,k,2"], ["300,k,3", "89,k,4", "?"], ["150,k,6", "400,k,7"]):
        job.arrive(lines)
    began = _now()
    job.run("--once")
    ended = _now()
    told = {
        (row["_batch"], row["_arrived"]) for name in streams for row in job.rows(name, "_batch")
    }
    arrived = dict(sorted(told))
    assert len(arrived) == len(told), "one time for all rows of a batch"
    assert list(arrived) == ([0, 1, 2, 3] if "raw" in streams else [2, 3])
    times = [began, *arrived.values(), ended]
    assert times == sorted(times)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
