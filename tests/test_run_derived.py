"""Measures that need the window before, in whole runs: against plain Python, cut into batches."""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pyarrow.parquet
import pytest

from engine.catalog import Catalog
from engine.declare import Derived, Example
from tests.jobs import FIELDS, Job, iso

pytestmark = pytest.mark.usefixtures("spark")

Row = dict[str, Any]
MEASURES = ["delta: delta(value)", "increase: increase(value)", "rate: rate(value)"]
FILLS = ("previous", "null", "linear")


class Windows:
    """The windows of rows in the order of the source, without what was late, in plain Python.

    Args:
        late: (id of the row, start of the window that refused it).
    """

    def __init__(self, rows: Iterable[Row], size: int = 10, slide: int = 10, late: Any = ()):
        self.size = size
        self.rows: dict[int, list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: row["time"]):
            newest = row["time"] // slide * slide
            for start in range(newest, row["time"] - size, -slide):
                if (row["id"], iso(start)) not in late:
                    self.rows[start].append(row)

    def values(self, start: int) -> list[Any]:
        return [row["value"] for row in self.rows.get(start, ()) if row["value"] is not None]

    def derived(self, fill: str = "previous") -> dict[int, Row]:
        """The derived measures of one key's windows, by their start."""
        return {start: self._derived(start, fill) for start in sorted(self.rows)}

    def _derived(self, start: int, fill: str) -> Row:
        begin = min(self.rows)
        before = range(start - self.size, begin - 1, -self.size)
        known = next((each for each in before if self.values(each)), None)
        missing = fill == "null" and known != start - self.size
        if known is None or missing or not self.values(start):
            return dict.fromkeys(("delta", "increase", "rate"))
        chain = [self.values(known)[-1], *self.values(start)]
        steps = [b - a if b >= a else b for a, b in pairwise(chain)]
        windows = (start - known) / self.size if fill == "linear" else 1
        return {
            "delta": (chain[-1] - chain[0]) / windows,
            "increase": sum(steps) / windows,
            "rate": sum(steps) / (start - known),
        }


def readings(count: int, seed: int) -> list[Row]:
    """Counters of three keys, in eighths: they begin again now and then, are silent now and then,
    are null now and then, and come out of order, by seconds or by ten minutes. One of them is
    silent in the middle, longer than its windows stay open."""
    chance = random.Random(seed)
    rows: list[Row] = []
    times, counters = dict.fromkeys("abc", -200), dict.fromkeys("abc", 0.0)
    for number in range(count):
        is_silent = count // 4 <= number < 3 * count // 4
        key = chance.choice("ab" if is_silent else "abc")
        if number == 3 * count // 4:
            key, times["c"] = "c", times["a"]
        times[key] += chance.choice([0, 1, 2, 5]) if chance.random() < 0.95 else 40
        grows = counters[key] + chance.randrange(40) / 8
        counters[key] = grows if chance.random() < 0.9 else chance.randrange(16) / 8
        rows.append(
            {
                "id": number,
                "time": times[key] - chance.choice([*[0] * 16, 3, 8, 15, 30, 600]),
                "key": key,
                "value": None if chance.random() < 0.2 else counters[key],
            }
        )
    return rows


STRUCTURE = {**FIELDS, "id": {"index": 3, "type": "long"}}
HOPPING = {"size": "20 seconds", "slide": "10 seconds"}


def configure(job: Job, lateness: str) -> None:
    by_fill = [
        {"name": fill, "fill": fill, "rule": ["key: key", "n: count()", *MEASURES]}
        for fill in FILLS
    ]
    mixed = "delta(value, key == 'a') - sum(value, in(key, 'b', 'c')) / 2"
    job.config(
        [
            *by_fill,
            {"name": "hopping", "window": HOPPING, "rule": ["key: key", *MEASURES]},
            {"name": "rest", "rule": [f"rest: {mixed}", "rows: count(1, value > 2)"]},
            {"name": "plain", "window": "1 minute", "rule": ["key: key", "n: count()"]},
        ],
        structure=STRUCTURE,
        processing={"allowed_lateness": lateness},
        streams=["aggregated", "late"],
    )


def arrive(job: Job, rows: Iterable[Row]) -> None:
    job.arrive(
        f"{r['time']},{r['key']},{'' if r['value'] is None else r['value']},{r['id']}" for r in rows
    )


def found(job: Job, name: str, *measures: str) -> dict[tuple[str, str], Row]:
    return {
        (row["window_start"], row.get("key", "")): {each: row[each] for each in measures}
        for row in job.rows(name)
    }


def judge(job: Job, rows: list[Row]) -> None:
    """Compares all that the job wrote with plain Python, late rows left out."""
    late = defaultdict(set)
    for row in job.rows("late"):
        late[row["aggregation"]].add((row["id"], row["window_start"]))
    for name in (*FILLS, "hopping"):
        shape = (20, 10) if name == "hopping" else (10, 10)
        expected = {}
        for key in "abc":
            windows = Windows((r for r in rows if r["key"] == key), *shape, late[name])
            fill = name if name in FILLS else "previous"
            expected |= {(iso(at), key): each for at, each in windows.derived(fill).items()}
        assert found(job, name, "delta", "increase", "rate") == expected, name
    assert found(job, "rest", "rest", "rows") == rests(rows, late["rest"])


def rests(rows: list[Row], late: set[tuple[int, str]]) -> dict[tuple[str, str], Row]:
    meter = Windows((row for row in rows if row["key"] == "a"), late=late)
    loads = Windows((row for row in rows if row["key"] != "a"), late=late)
    deltas = meter.derived()
    expected = {}
    for start in {*meter.rows, *loads.rows}:
        delta = deltas[start]["delta"] if start in deltas else None
        known = loads.values(start)
        expected[iso(start), ""] = {
            "rest": None if delta is None or not known else delta - sum(known) / 2,
            "rows": sum(value > 2 for value in [*meter.values(start), *known]),
        }
    return expected


def replay_last_batch(job: Job) -> None:
    """As after a kill behind the last batch's work, before Spark noted it."""
    commits = job.folder / "config.checkpoint" / "commits"
    last = max(
        (each for each in commits.iterdir() if each.name.isdigit()), key=lambda e: int(e.name)
    )
    last.unlink()
    (commits / f".{last.name}.crc").unlink(missing_ok=True)


def test_streaming_is_plain_python_through_late_corrections_restarts_and_a_replay(job: Job) -> None:
    rows = readings(900, seed=3)
    cuts = [rows[first : first + 150] for first in range(0, 900, 150)]
    configure(job, "1 hour")
    for part in cuts[:3]:
        arrive(job, part)
    job.run("--once")
    replay_last_batch(job)
    for part in cuts[3:5]:
        arrive(job, part)
    job.run("--once")
    arrive(job, cuts[5])
    assert job.run("--once")["balanced"]
    replay_last_batch(job)
    report = job.run("--once")
    assert (report["rows_read"], report["balanced"]) == (900, True)
    assert job.rows("late") == []
    judge(job, rows)
    streams = ("previous", "null", "linear", "hopping", "rest", "plain")
    streamed = {name: job.rows(name, "1, 2, 3") for name in streams}
    job.database.unlink()
    job.run("--batch")
    assert {name: job.rows(name, "1, 2, 3") for name in streams} == streamed


def test_rows_that_are_late_change_nothing_and_windows_that_are_closed_are_forgotten(
    job: Job,
) -> None:
    rows = readings(900, seed=4)
    for first in range(0, 900, 150):
        arrive(job, rows[first : first + 150])
    configure(job, "10 seconds")
    report = job.run("--once")
    assert report["balanced"]
    assert len(job.rows("late")) > 20
    judge(job, rows)
    folder = job.folder / "config.checkpoint" / "ts-engine" / "windows"
    assert sorted(each.name for each in folder.iterdir()) == ["3", "4", "5"]
    kept = pyarrow.parquet.read_table(folder / "5").num_rows
    written = sum(len(job.rows(name)) for name in (*FILLS, "hopping", "rest"))
    # The three fills are one unit. Since the watermark of the batch before, some 50 windows.
    assert 10 < kept < written / 5


def windows_told(text: str) -> list[tuple[str, Any]]:
    """What was printed of windows: start and difference."""
    told = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [(each["window_start"], each["d"]) for each in sorted(told, key=str)]


def test_a_late_correction_writes_its_window_and_the_one_behind_it_and_no_other(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.config(
        {"name": "w", "rule": ["key: key", "d: delta(value)"]},
        processing={"allowed_lateness": "1 hour"},
        outputs=[{"method": "stdout", "options": {"format": "json"}}],
    )
    batches = [
        (["5,a,1", "15,a,2", "25,a,4", "35,a,8", "25,b,1", "35,b,2"], None),
        (["16,a,3"], [(iso(10), 2.0), (iso(20), 1.0)]),
        (["14,a,9"], [(iso(10), 2.0), (iso(20), 1.0)]),
        (["55,a,10"], [(iso(50), 2.0)]),
        # A new window between two others, and one before all.
        (["45,a,9"], [(iso(40), 1.0), (iso(50), 1.0)]),
        (["15,b,0"], [(iso(10), None), (iso(20), 1.0)]),
        # A window without a value hands nothing on.
        (["65,b,"], [(iso(60), None)]),
        (["75,b,9", "5,a,0"], [(iso(0), None), (iso(10), 3.0), (iso(70), 7.0)]),
        (["6,a,2"], [(iso(0), None), (iso(10), 1.0)]),
    ]
    for records, expected in batches:
        job.arrive(records)
        capsys.readouterr()
        job.run("--once")
        told = windows_told(capsys.readouterr().out)
        assert expected is None or told == expected


@pytest.mark.parametrize("mode", ["--once", "--batch"])
def test_a_missing_window_counts_as_the_fill_says(job: Job, mode: str) -> None:
    job.arrive(["5,a,10", "35,a,16", "45,a,20", "55,a,", "65,a,21", "86,a,4", "87,a,5"])
    names = ("d: delta(n)", "i: increase(n)", "r: rate(n)")
    job.config(
        [{"name": fill, "fill": fill, "rule": ["key: key", *names]} for fill in FILLS],
        transformation=["n: long(value)"],
    )
    job.run(mode)
    told = {fill: [(row["d"], row["i"], row["r"]) for row in job.rows(fill)] for fill in FILLS}
    none = (None, None, None)
    assert told == {
        "previous": [none, (6, 6, 0.2), (4, 4, 0.4), none, (1, 1, 0.05), (-16, 5, 0.25)],
        "null": [none, none, (4, 4, 0.4), none, none, none],
        "linear": [
            none,
            (2.0, 2.0, 0.2),
            (4.0, 4.0, 0.4),
            none,
            (0.5, 0.5, 0.05),
            (-8.0, 2.5, 0.25),
        ],
    }
    assert [type(row["d"]) for row in job.rows("linear")][1] is float
    assert [type(row["d"]) for row in job.rows("previous")][1] is int


def test_measures_that_go_on_from_other_values_do_not_go_on_with_the_checkpoint(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    def configured(*rules: str, fill: str = "previous") -> None:
        job.config({"name": "w", "fill": fill, "rule": ["key: key", *rules]})

    job.arrive(["1,a,1", "2,a,5"])
    configured("d: last(value)", "m: max(value)")
    job.run("--once")
    # The aggregates are the same, but no window before is known.
    configured("d: delta(value)", "m: max(value)")
    job.run("--once", status=2)
    told = capsys.readouterr().err
    assert "the rule 'd' of 'w' is delta(value), in the checkpoint last(value)" in told
    job.run("--once", "--reset")
    # What a missing window counts, and what is made of the difference, is not in the state.
    configured("m: max(value)", "x: delta(value) / 2", fill="linear")
    job.arrive(["31,a,8"])
    job.run("--once")
    assert [row["x"] for row in job.rows("w")] == [None, 0.5]


# ---------------------------------------------------------------- examples of the declarations

EXAMPLES: list[tuple[Derived, Example]] = [
    (declared, example)
    for declared in Catalog.builtin().aggregations.values()
    if isinstance(declared, Derived)
    for example in declared.examples
]


def test_every_example_of_a_derived_measure_gives_what_it_says(job: Job) -> None:
    """An example's lists are the windows of a key, a minute each."""
    wanted = []
    for number, (declared, example) in enumerate(EXAMPLES):
        windows = [json.loads(each) for each in re.findall(r"\[.*?\]", example.call)]
        of = "d" if any(isinstance(x, float) for each in windows for x in each) else "n"
        wanted.append((declared.name + of, json.loads(example.result)))
        job.arrive(
            f"{minute * 60 + second},{number},{'' if value is None else value}"
            for minute, values in enumerate(windows)
            for second, value in enumerate(values)
        )
    names = {declared.name for declared, _ in EXAMPLES}
    job.config(
        {
            "name": "w",
            "window": "1 minute",
            "rule": ["key: key", *(f"{name}{of}: {name}({of})" for name in names for of in "dn")],
        },
        transformation=["d: value", "n: long(value)"],
        options={"max_files_per_batch": 1000},
    )
    job.run("--once")
    last = {int(row["key"]): row for row in job.rows("w")}
    given = [(name, last[number][name]) for number, (name, _) in enumerate(wanted)]
    assert [repr(each) for each in given] == [repr(each) for each in wanted]
