"""Late rows are found by their time alone, whatever it is made of, however a record is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.jobs import FIELDS, Job, iso

NESTED = {
    "time": {"path": "at.seconds", "type": "long"},
    "key": {"path": "key", "type": "string"},
    "value": {"path": "value", "type": "double"},
}
TEXT = {**FIELDS, "time": {"index": 0, "type": "string"}}
Record = Callable[[int, str, float], str]


def plain(time: int, key: str, value: float) -> str:
    return f"{time},{key},{value}"


def quoted(time: int, key: str, value: float) -> str:
    return f'"{time}","{key}, or ""so""",{value}'


def nested(time: int, key: str, value: float) -> str:
    return json.dumps({"key": key, "at": {"seconds": time}, "value": value})


#: How records are written, and what the config says of them.
CASES: dict[str, tuple[Record, str, dict[str, Any]]] = {
    "plain": (plain, "k", {}),
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
