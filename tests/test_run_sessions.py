"""Session windows, run over csv files into sqlite: rows that bridge, come late, or come again."""

from __future__ import annotations

import itertools
import json
import math
import random
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq
import pytest

from engine.cli import main
from tests.jobs import Job, iso

pytestmark = pytest.mark.usefixtures("spark")

GAP = {"gap": "10 seconds"}
VISITS = {"name": "visits", "window": GAP, "rule": ["key: key", "n: count()", "sum(value)"]}
MINUTES = {"name": "minutes", "window": "1 minute", "rule": ["key: key", "n: count()"]}
#: Key -> the times of each file, and the sessions: start, end, rows.
CASES: dict[str, tuple[list[list[float]], list[tuple[float, float, int]]]] = {
    "the gap is reached": ([[0, 10]], [(0, 10, 1), (10, 20, 1)]),
    "almost": ([[0, 9.999]], [(0, 19.999, 2)]),
    "out of order": ([[18, 0, 9]], [(0, 28, 3)]),
    "goes on": ([[0], [5], [5], [14]], [(0, 24, 4)]),
    "does not": ([[0], [20], [10]], [(0, 10, 1), (10, 20, 1), (20, 30, 1)]),
    "bridged": ([[0], [18], [9]], [(0, 28, 3)]),
    "bridged at once": ([[0, 18, 36], [27, 9]], [(0, 46, 5)]),
    "bridged and ended": ([[0], [18], [9], [28]], [(0, 28, 3), (28, 38, 1)]),
    "begins sooner": ([[20], [15], [], [8]], [(8, 30, 3)]),
    "before 1970": ([[-5], [-12, -30], [3]], [(-30, -20, 1), (-12, 13, 3)]),
    "long ago": ([[-9e9], [-9e9 + 1], [-9e9 - 9]], [(-9e9 - 9, -9e9 + 11, 3)]),
}
STRUCTURE = {
    "time": {"index": 0, "type": "double"},
    "key": {"index": 1, "type": "string"},
    "value": {"index": 2, "type": "long"},
}
HOURS = {"allowed_lateness": "10000000 hours"}


def arrive_cases(job: Job) -> Iterator[None]:
    for number in range(4):
        job.arrive(
            f"{at},{key},1"
            for key, (files, _) in CASES.items()
            for at in (files[number] if number < len(files) else [])
        )
        yield


def told(text: str) -> dict[tuple[str, str], tuple[Any, ...]]:
    """What is left of JSON lines: key and start -> end and measures."""
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    for line in text.splitlines():
        row = json.loads(line)
        place = (row["key"], row["window_start"])
        if row.get("retracted"):
            assert row.keys() == {"stream", "window_start", "key", "retracted"}
            del found[place]  # it was written before
        else:
            found[place] = (row["window_end"], row["n"], row["value"])
    return found


@pytest.mark.parametrize("mode", ["a run", "a run for each file", "a batch"])
def test_sessions_are_as_long_as_their_rows_and_those_that_are_no_more_are_removed(
    job: Job, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    json_lines = {"method": "stdout", "options": {"format": "json"}}
    job.config(VISITS, structure=STRUCTURE, processing=HOURS, outputs=[json_lines])
    for _ in arrive_cases(job):
        if mode == "a run for each file":
            job.run("--once")
    report = job.run("--batch" if mode == "a batch" else "--once")
    expected = {
        (key, iso(start), iso(end), n, n)
        for key, (_, sessions) in CASES.items()
        for start, end, n in sessions
    }
    names = ("key", "window_start", "window_end", "n", "value")
    assert {tuple(row[name] for name in names) for row in job.rows("visits")} == expected
    account = {"malformed": 0, "filtered": 0, "late": 0}
    count = sum(len(each) for files, _ in CASES.values() for each in files)
    assert report["aggregations"] == {"visits": {**account, "aggregated": count}}
    printed = told(capsys.readouterr().out)
    assert {(*place, *values) for place, values in printed.items()} == expected


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_row_is_late_when_a_session_of_it_alone_has_ended(job: Job, is_alone: bool) -> None:
    job.config(
        [VISITS] if is_alone else [VISITS, MINUTES], streams=["aggregated", "late", "malformed"]
    )
    job.arrive(["100,a,1", "150,a,2"])
    job.arrive(["1,b,1", "much,a,1"])  # judged by the watermark before the first batch
    job.run("--once")
    # Refused up to 140, whose session ends at the watermark; 109 would have gone on with 100.
    job.arrive(["141,a,3", "140,a,4", "109,a,5", "109,,6"])
    job.arrive(["132,a,7"])  # between the two
    report = job.run("--once")
    account = report["aggregations"]["visits"]
    assert account == {"malformed": 2, "filtered": 0, "late": 3, "aggregated": 4}
    sessions = [(r["window_start"], r["window_end"], r["n"]) for r in job.rows("visits")]
    assert sessions == [
        (iso(1), iso(11), 1),
        (iso(100), iso(110), 1),
        (iso(141), iso(160), 2),
    ]
    late = [row for row in job.rows("late") if row["aggregation"] == "visits"]
    assert [(row["window_start"], row["window_end"], row["value"]) for row in late] == [
        (iso(109), iso(119), 5),
        (iso(132), iso(142), 7),
        (iso(140), iso(150), 4),
    ]
    if not is_alone:
        assert report["aggregations"]["minutes"]["late"] == 1
        assert len(job.rows("malformed", "1")) == 1


def test_rows_are_kept_while_another_one_could_still_join_them(job: Job) -> None:
    job.config(VISITS)
    # Rows of the batches are judged by the watermarks 0, 0, 100, 110, 119 and 200.
    for times in ([100, 90], [110], [119], [200], [200], [201]):
        job.arrive(f"{time},a,{time}" for time in times)
    job.run("--once")
    folder = job.folder / "config.checkpoint" / "ts-engine" / "sessions"
    assert sorted(each.name for each in folder.iterdir()) == ["3", "4", "5"]
    kept = {
        int(each.name): sorted(
            int(value) for value in pq.read_table(each).column("_a1_0").to_pylist()
        )
        for each in folder.iterdir()
    }
    # 100 goes on up to 110: a row of that time comes too late from the watermark 120 on.
    assert kept == {
        3: [100, 110, 119, 200],
        4: [100, 110, 119, 200, 200],
        5: [200, 200, 201],
    }


@pytest.mark.parametrize("before", [[], [MINUTES]])
def test_sessions_come_and_go_beside_what_a_checkpoint_has(
    job: Job, before: list[dict[str, Any]]
) -> None:
    job.arrive(["1,a,1"])
    job.config(before, streams=["raw"])
    job.run("--once")
    job.config([*before, VISITS])
    for value in (2, 3):
        job.arrive([f"{value},a,{value}"])
        report = job.run("--once")
    account = {"malformed": 0, "filtered": 0, "late": 0, "aggregated": 2, "before": 1}
    assert report["aggregations"]["visits"] == account
    assert [(row["n"], row["value"]) for row in job.rows("visits")] == [(2, 5.0)]
    job.config(before, streams=["raw"])
    job.arrive(["4,a,4"])
    assert job.run("--once")["rows_read"] == 4
    # Then its sessions would lack rows.
    job.config([*before, VISITS])
    job.run("--once", status=2)


def measures(rows: Sequence[tuple[float, int | None, str]]) -> dict[str, Any]:
    """Each aggregation, as plain Python computes it from times, values and words."""
    rows = sorted(rows)
    values = [value for _, value, _ in rows if value is not None]
    steps = list(itertools.pairwise(values))
    several = len(values) > 1
    return {
        "sum(value)": sum(values) if values else None,
        "mul(value)": math.prod(values) if values else None,
        "max(value)": max(values, default=None),
        "min(value)": min(values, default=None),
        "count()": len(rows),
        "count(value)": len(values),
        "mean(value)": statistics.fmean(values) if values else None,
        "first(value)": values[0] if values else None,
        "last(value)": values[-1] if values else None,
        "growth(value)": sum(b - a if b >= a else b for a, b in steps) if values else None,
        "stddev(value)": statistics.stdev(values) if several else None,
        "variance(value)": statistics.variance(values) if several else None,
        "median(value)": statistics.median(values) if values else None,
        "percentile(value, 100)": max(values, default=None),
        "distinct(value)": len(set(values)),
        "sum(value, word == 'a')": sum(v for _, v, w in rows if v is not None and w == "a") or None,
        "sum(value > 3)": sum(value > 3 for value in values) if values else None,
        "last(word)": rows[-1][2],
        "max(moment)": iso(rows[-1][0]),
        "max(value) - min(value)": max(values) - min(values) if values else None,
    }


def test_all_aggregations_are_those_of_other_windows(job: Job) -> None:
    drawn = random.Random(3)
    start = -12_000_000_000  # of a calendar that is no more
    times = drawn.sample(range(start, start + 500), 70)
    rows = [(time, drawn.choice([None, *range(1, 9)]), drawn.choice("ab")) for time in times]
    for part in range(4):
        job.arrive(
            f"{time},{word},{'' if value is None else value}" for time, value, word in rows[part::4]
        )
    names = [*measures(rows)]
    job.config(
        {
            "name": "all",
            "window": GAP,
            "rule": [f"m{place}: {each}" for place, each in enumerate(names)],
        },
        structure={
            "time": {"index": 0, "type": "long"},
            "word": {"index": 1, "type": "string"},
            "value": {"index": 2, "type": "long"},
        },
        transformation=["moment: timestamp(time)"],
        processing={"allowed_lateness": "1 hour"},
    )
    job.run("--once")
    sessions: list[list[tuple[int, int | None, str]]] = []
    for row in sorted(rows, key=lambda row: row[0]):
        if sessions and row[0] - sessions[-1][-1][0] < 10:
            sessions[-1].append(row)
        else:
            sessions.append([row])
    found = job.rows("all")
    assert len(found) == len(sessions) > 5
    for row, session in zip(found, sessions, strict=True):
        values = {name: row[f"m{place}"] for place, name in enumerate(names)}
        assert values == pytest.approx(measures(session)), session


def test_late_rows_are_folded_back_into_sessions(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    where = {"name": "some", "window": {"gap": "3 seconds"}, "where": "value > 1",
             "rule": ["n: count()", "mean: mean(value)"]}  # fmt: skip
    job.config([VISITS, where])
    for records in (["1,a,1", "19,a,2"], ["40,a,3", "40,b,3"], ["61,a,4"], ["10,a,5", "70,a,5"],
                    ["31,a,6", "33,b,6", "5,c,7", "14,c,7", "30,c,7"]):  # fmt: skip
        job.arrive(records)
    assert main(["verify", str(job.folder / "config.json")]) == 0
    out = capsys.readouterr().out.splitlines()
    # 10 joins 1 and 19, 31 joins 40; 5 and 14 are a session that the stream does not have.
    assert out == [
        "config: a stream of 12 rows in 5 batches, and a batch",
        "  visits: 6 windows, 5 of them short of their 6 late rows: equal",
        "  some: 8 windows, 4 of them short of their 6 late rows: equal",
        "equal: batch = streaming + late",
    ]


def test_a_table_tells_the_sessions_that_are_no_more(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.config(VISITS, outputs=[{"method": "stdout"}])
    for records in (["100,a,1", "118,a,1"], ["109,a,1"]):
        job.arrive(records)
    job.run("--once")
    *_, title, names, rule, row, gone, empty = capsys.readouterr().out.split("\n")[:-1]
    assert title == "visits, batch 1"
    assert (names.split()[0], rule[:3], empty) == ("window_start", "---", "")
    assert row.split() == ["1970-01-01T00:01:40Z", "1970-01-01T00:02:08Z", "a", "3", "3"]
    assert gone == "no more: 1970-01-01T00:01:58Z  a"
