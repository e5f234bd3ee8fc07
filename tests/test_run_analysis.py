"""Whole runs with an analysis: what is alarming is told once, and corrected when rows come late."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from tests.jobs import Job, iso

#: Of alerts.
ORDER = '"rule", window_start, revision'
#: A count is never null in a window, and is where there is none.
VALUE = {"rule": ["key: key", "value: max(value)", "n: count()"], "window": "10 seconds"}
RESETS = {
    "info": "value > 60",
    "warn": "value > 70",
    "crit": "value > 80",
    "info_reset": "value < 50",
    "warn_reset": "value < 60",
    "crit_reset": "value < 70",
}


def rule(module: str, name: str = "r", **options: Any) -> dict[str, Any]:
    return {"module": module, "name": name, "options": options}


def config(job: Job, *rules: Mapping[str, Any], aggregations: Any = VALUE, **more: Any) -> None:
    """A config whose sqlite output answers, and takes alerts."""
    path = job.config(aggregations, streams=("aggregated", "alerts"), **more)
    whole = json.loads(path.read_text())
    whole["outputs"][0]["main"] = True
    whole["analysis"] = {"rule": list(rules)}
    path.write_text(json.dumps(whole, indent=2))


def told(job: Job) -> list[tuple[Any, ...]]:
    """(window, revision, kind, level) of all alerts, by the windows and the order of revisions."""
    rows = job.rows("alerts", 'window_start, "rule", series, revision')
    return [(each["window_start"], each["revision"], each["kind"], each["level"]) for each in rows]


def arrive(job: Job, values: Sequence[float], per_file: int = 100) -> None:
    """A row for each window of 10 seconds."""
    lines = [f"{1000 + place * 10},a,{value}" for place, value in enumerate(values)]
    for first in range(0, len(lines), per_file):
        job.arrive(lines[first : first + per_file])


def test_levels_with_resets_are_told_when_they_change(job: Job) -> None:
    config(job, rule("Threshold", **RESETS))
    arrive(job, [61, 73, 64, 85, 62, 56, 47, 0], per_file=2)
    job.run("--once")
    assert told(job) == [
        (iso(1000), 0, "alert", "info"),
        (iso(1010), 0, "alert", "warn"),
        (iso(1030), 0, "alert", "crit"),
        (iso(1040), 0, "alert", "info"),
        (iso(1060), 0, "recovered", "ok"),
    ]
    row = job.rows("alerts")[2]
    assert {name: row[name] for name in ("rule", "series", "field", "value", "previous")} == {
        "rule": "r",
        "series": '{"key": "a"}',
        "field": "value",
        "value": 85.0,
        "previous": "warn",
    }


def test_a_window_is_judged_when_the_event_time_has_passed_its_end(job: Job) -> None:
    config(job, rule("Threshold", crit="value > 80"))
    job.arrive(["1000,a,90", "1009.9,a,90"])
    job.run("--once")
    assert told(job) == []
    job.arrive(["1010,b,0"])
    job.run("--once")
    assert told(job) == [(iso(1000), 0, "alert", "crit")]


def test_an_early_rule_judges_every_change(job: Job) -> None:
    config(job, rule("Threshold", crit="value < 50", early=True))
    job.arrive(["1000,a,10"])
    job.run("--once")
    assert told(job) == [(iso(1000), 0, "alert", "crit")]
    job.arrive(["1001,a,60"])
    job.run("--once")
    assert told(job)[1:] == [(iso(1000), 1, "correction", "ok")]


def test_rules_with_and_without_early_judge_the_same_window(job: Job) -> None:
    config(
        job,
        rule("Threshold", "soon", crit="value > 50", early=True),
        rule("Threshold", "then", crit="value > 50"),
    )
    job.arrive(["1000,a,60"])
    job.run("--once")
    assert [each["rule"] for each in job.rows("alerts")] == ["soon"]
    job.arrive(["1010,b,0"])
    job.run("--once")
    assert [each["rule"] for each in job.rows("alerts", "rule")] == ["soon", "then"]


class Truth:
    """What bands over the windows before say, in plain Python, over windows as they ended up."""

    def __init__(self, windows: Mapping[tuple[str, int], float]) -> None:
        self.windows = windows

    def base(self, key: str, start: int, module: str) -> float | None:
        if module == "SimpleAnalysis":
            return self.windows.get((key, start - 20))
        known = [self.windows.get((key, start - 10 * i)) for i in (1, 2, 3)]
        there = [each for each in known if each is not None]
        return sum(there) / len(there) if there else None

    def levels(self, module: str, percent: float) -> dict[tuple[str, int], str]:
        """(key, window) -> the level behind it."""
        found: dict[tuple[str, int], str] = {}
        level: dict[str, str] = {}
        for key, start in sorted(self.windows, key=lambda each: each[1]):
            base, value = self.base(key, start, module), self.windows[key, start]
            if base is not None:
                ends = sorted([base * (1 - percent / 100), base * (1 + percent / 100)])
                is_in = ends[0] <= value <= ends[1]
                level[key] = "ok" if is_in else "crit"
            found[key, start] = level.get(key, "ok")
        return found


def heard(job: Job, name: str, windows: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """(key, window) -> the level that receivers know of, by the last thing told of each window."""
    last: dict[tuple[str, str], str] = {}
    for row in job.rows("alerts", "revision"):
        if row["rule"] == name:
            last[json.loads(row["series"])["key"], row["window_start"]] = row["level"]
    found: dict[tuple[str, int], str] = {}
    level: dict[str, str] = {}
    for key, start in sorted(windows, key=lambda each: each[1]):
        level[key] = last.get((key, iso(start)), level.get(key, "ok"))
        found[key, start] = level[key]
    return found


@pytest.mark.parametrize("mode", ["--once", "--batch"])
def test_bands_around_the_past_are_exact_though_rows_come_late(job: Job, mode: str) -> None:
    names = {"SimpleAnalysis": 12, "AverageAnalysis": 15}
    config(
        job,
        rule("SimpleAnalysis", "s", deviation={"value": 12}, batch_number=2),
        rule("AverageAnalysis", "m", deviation={"value": 15}, num_average=3),
        processing={"allowed_lateness": "40 seconds"},
    )  # fmt: skip
    pick = random.Random(7)
    windows: dict[tuple[str, int], float] = {}
    rows: list[tuple[int, str]] = []
    for place in range(14):
        for key in ("a", "b;'", 'c"é'):
            if pick.random() < 0.15:
                continue  # a window that is missing
            for _ in range(2):
                value, start = float(pick.randint(-130, -90)), 1000 + place * 10
                windows[key, start] = max(windows.get((key, start), -1e9), value)
                quoted = key.replace('"', '""')
                line = f'{start + pick.randint(0, 9)},"{quoted}",{value}'
                rows.append((start + pick.choice([0, 0, 0, 35]), line))
    rows.sort(key=lambda each: each[0])
    for first in range(0, len(rows), 9):
        job.arrive([line for _, line in rows[first : first + 9]])
    job.arrive(["1900,z,0"])
    report = job.run(mode)
    assert report["aggregations"]["aggregated"].get("late", 0) == 0
    known = {(each["key"], each["window_start"]) for each in job.rows("aggregated")}
    assert known == {(key, iso(start)) for key, start in windows} | {("z", iso(1900))}
    truth = Truth(windows)
    for module, name in (("SimpleAnalysis", "s"), ("AverageAnalysis", "m")):
        levels = truth.levels(module, names[module])
        assert set(levels.values()) == {"ok", "crit"}
        assert heard(job, name, windows) == levels
    kinds = {each["kind"] for each in job.rows("alerts")}
    assert ("correction" in kinds) is (mode == "--once")


def test_a_late_row_takes_an_alarm_back_and_another_one_causes_one(job: Job) -> None:
    config(
        job,
        rule("Threshold", crit="value < 50"),
        processing={"allowed_lateness": "2 days"},
    )
    arrive(job, [10, 60, 60])
    job.arrive([f"{1000 + 100_000},a,60"])  # a day later
    job.run("--once")
    first = job.rows("alerts")
    assert [(each["kind"], each["window_start"]) for each in first] == [
        ("alert", iso(1000)),
        ("recovered", iso(1010)),
    ]
    job.arrive(["1001,a,70"])
    job.run("--once")
    (correction,) = [each for each in job.rows("alerts") if each["kind"] == "correction"]
    assert correction["corrects"] == first[0]["id"]
    assert (correction["level"], correction["previous"], correction["value"]) == ("ok", "crit", 70)
    assert "no longer crit" in correction["message"]


def test_a_correction_of_the_past_changes_a_later_verdict(job: Job) -> None:
    config(
        job,
        rule("SimpleAnalysis", deviation={"value": 10}),
        processing={"allowed_lateness": "1 minute"},
    )
    arrive(job, [100, 100, 105, 0])
    job.run("--once")
    assert told(job) == []
    job.arrive(["1011,a,150"])
    job.run("--once")
    # 150 leaves the band around 100; 105, which did not change, leaves the one around 150.
    assert told(job) == [(iso(1010), 0, "alert", "crit")]
    job.arrive(["1021,a,150"])
    job.run("--once")
    assert told(job) == [(iso(1010), 0, "alert", "crit"), (iso(1020), 0, "recovered", "ok")]


def test_rules_over_all_rows_and_over_days_of_a_zone(job: Job) -> None:
    """Without a key; a day before the clocks change has 25 hours, and is still the day before."""
    config(
        job,
        rule("SimpleAnalysis", "day", deviation={"value": 10}, aggregation="days"),
        rule("Seasonal", "week", deviation={"value": 10}, period="week", time_zone="Europe/Athens",
             aggregation="hours"),
        aggregations=[
            {"name": "days", "rule": ["value: max(value)"],
             "window": {"size": "1 day", "time_zone": "Europe/Athens"}},
            {"name": "hours", "rule": ["key: key", "value: max(value)"], "window": "1 hour"},
        ],
    )  # fmt: skip
    # 2026-10-25 has 25 hours in Athens, from 21:00 to 22:00 UTC.
    saturday = 1_792_875_600  # 2026-10-24T21:00:00Z, where the 25th begins there
    hour = 3600
    rows = [(saturday - 24 * hour, 100), (saturday, 200), (saturday + 25 * hour, 201)]
    # The same hour by the clocks, a week after the 24th: an hour later in UTC.
    rows += [(saturday + (6 * 24 + 1) * hour, 100), (saturday + 30 * 24 * hour, 0)]
    job.arrive([f"{time},a,{value}" for time, value in rows])
    job.run("--once")
    alerts = job.rows("alerts", "window_start")
    assert [(r["rule"], r["window_start"], r["kind"]) for r in alerts] == [
        ("day", iso(saturday), "alert"),
        ("day", iso(saturday + 25 * hour), "recovered"),
    ]
    assert alerts[0]["series"] == "{}"


OTHERS: dict[str, tuple[dict[str, Any], list[float], list[tuple[int, str]]]] = {
    "a fast rise": (
        rule("RateOfChange", field="value", above=30, per="1 minute"),
        [10, 14, 20, 24, 0],
        [(1, "ok"), (2, "crit"), (3, "ok")],
    ),
    "a fast fall": (
        rule("RateOfChange", field="value", below=-5, level="warn"),
        [10, 5, -1, 0, 0],
        [(1, "ok"), (2, "warn"), (3, "ok")],
    ),
    "an outlier, by the median of those before": (
        rule("Outlier", field="value", windows=5, least=4),
        [10, 11, 10, 500, 11, 10, 500, 11, 0],
        # The first 500 comes before four are known; it moves no median.
        [(4, "ok"), (6, "crit"), (7, "ok")],
    ),
    "a value that is stuck": (
        rule("Stuck", field="value", windows=3),
        [1, 2, 2, 2, 2, 3, 0],
        [(2, "ok"), (3, "crit"), (5, "ok")],
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_built_in_rule(job: Job, name: str) -> None:
    one, values, levels = OTHERS[name]
    config(job, one)
    arrive(job, values)
    job.run("--once")
    changes = {each["window_start"]: each["level"] for each in job.rows("alerts")}
    level, found = "ok", []
    for place in range(len(values)):
        level = changes.get(iso(1000 + place * 10), level)
        found.append(level)
    for place, expected in levels:
        assert found[place] == expected, (place, found)
    assert len(changes) == sum(1 for a, b in zip(["ok", *found], found, strict=False) if a != b)


def test_another_checkpoint_of_the_same_rules_tells_the_same_ids(job: Job) -> None:
    config(job, rule("Threshold", **RESETS))
    arrive(job, [61, 85, 40, 0])
    job.run("--once")
    first = {each["id"] for each in job.rows("alerts")}
    job.run("--once", "--reset")
    assert {each["id"] for each in job.rows("alerts")} == first
    assert len(first) == 3


def test_an_output_that_does_not_take_alerts_still_answers(job: Job) -> None:
    config(job, rule("SimpleAnalysis", deviation={"value": 10}))
    path = job.folder / "config.json"
    whole = json.loads(path.read_text())
    whole["outputs"][0]["streams"] = ["aggregated"]
    path.write_text(json.dumps(whole))
    arrive(job, [100, 200, 0])
    job.run("--once")
    assert len(job.rows("aggregated")) == 3


def silences(job: Job) -> list[tuple[str, int, str]]:
    """(key, seconds of the window, kind) of what a deadman has told."""
    rows = job.rows("alerts", "window_start, series, revision")
    starts = {iso(1000 + 10 * place): 1000 + 10 * place for place in range(-1, 100)}
    return [
        (json.loads(each["series"])["key"], starts[each["window_start"]], each["kind"])
        for each in rows
    ]


def test_a_sensor_that_stops_and_comes_back_is_told_and_no_other(job: Job) -> None:
    config(job, rule("Deadman", windows=2))
    job.arrive(["1000,a,1", "1000,b,1", "1010,a,1", "1020,a,1"])
    job.arrive(["1030,a,1", "1031,new,1"])
    job.run("--once")
    # The windows of b from 1010 and 1020 are missing, and the event time has passed the latter.
    assert silences(job) == [("b", 1020, "alert")]
    (row,) = job.rows("alerts")
    assert row["message"] == "r: key b: crit; no rows in 2 windows"
    job.run("--once")  # a restart, and nothing new: the source is silent altogether
    job.arrive(["1040,a,1", "1050,a,1", "1055,b,1"])
    job.arrive(["1061,a,1"])
    job.run("--once")
    assert silences(job) == [
        ("b", 1020, "alert"),
        ("b", 1050, "recovered"),
        ("new", 1050, "alert"),
    ]


def test_a_late_row_takes_a_silence_back(job: Job) -> None:
    config(
        job,
        rule("Deadman", windows=2),
        processing={"allowed_lateness": "1 minute"},
    )
    job.arrive(["1000,a,1", "1000,b,1", "1035,a,1"])
    job.run("--once")
    # So was a, and it is back: the window from 1030 is there.
    assert silences(job) == [("a", 1020, "alert"), ("b", 1020, "alert")]
    job.arrive(["1022,b,1", "1036,a,1"])
    job.run("--once")
    assert [each for each in silences(job) if each[0] == "b"] == [
        ("b", 1020, "alert"),
        ("b", 1020, "correction"),
    ]


@pytest.mark.parametrize("mode", ["--once", "--batch"])
def test_expected_keys_are_missed_and_forgotten(job: Job, mode: str) -> None:
    config(job, rule("Deadman", windows=2, expected=["x", "a"], retire="1 minute"))
    job.arrive(["1000,a,1", "1010,a,1", "1020,a,1", "1031,a,1"])
    job.arrive([f"{each},a,1" for each in range(1040, 1200, 10)])
    job.arrive(["1200,x,1", "1210,a,1", "1250,a,1"])
    job.run(mode)
    first = silences(job)[0]
    assert (first[0], first[2]) == ("x", "alert")
    assert ("a", 1230, "alert") in silences(job)


@pytest.mark.parametrize("mode", ["--once", "--batch"])
def test_an_expected_key_is_missed_from_the_first_window_on(job: Job, mode: str) -> None:
    config(job, rule("Deadman", windows=2, expected=["x"], retire="30 seconds"))
    job.arrive(["1003,a,1"])
    job.arrive(["1013,a,1", "1023,a,1", "1033,a,1"])
    # When it is forgotten at once, it has been told before.
    job.arrive([f"{each},a,1" for each in range(1043, 1200, 10)])
    job.run(mode)
    assert silences(job) == [("x", 1020, "alert")]


@pytest.mark.parametrize("mode", ["--once", "--batch"])
def test_a_key_that_misses_days_is_told_by_the_calendar(job: Job, mode: str) -> None:
    """Two of them are missing, one of 23 hours."""
    days = {**VALUE, "window": {"size": "1 day", "time_zone": "Europe/Athens"}}
    config(job, rule("Deadman", windows=2, retire="4 days"), aggregations=days)
    first = 1_774_562_400  # 2026-03-27 in Athens; the clocks change on the 29th
    job.arrive([f"{first + 5},a,1", f"{first + 7},b,1", f"{first + 7},c,1"])
    hours = [24, 48, 71, 95, 119]  # when the next days begin
    for place, each in enumerate(hours):
        lines = [f"{first + 3600 * each},a,1"]
        job.arrive([*lines, f"{first + 3600 * each + 1},c,1"] if place == 3 else lines)
    job.run(mode)
    found = job.rows("alerts", "window_start, series")
    assert [(json.loads(e["series"])["key"], e["window_start"], e["kind"]) for e in found] == [
        ("b", iso(first + 48 * 3600), "alert"),
        ("c", iso(first + 48 * 3600), "alert"),
        ("c", iso(first + 95 * 3600), "recovered"),
    ]
    assert found[0]["window_end"] == iso(first + 71 * 3600)


def test_alarms_survive_a_restart_of_every_batch(job: Job) -> None:
    """A run for each file, with the last commit taken away each time: as if it had been killed."""
    config(
        job,
        rule("Threshold", "t", **RESETS),
        rule("SimpleAnalysis", "s", deviation={"value": 20}),
        rule("Deadman", "d", windows=2),
        processing={"allowed_lateness": "20 seconds"},
    )
    values = [61, 73, 64, 85, 62, 56, 47, 0]
    commits = job.folder / "config.checkpoint" / "commits"
    for place, value in enumerate(values):
        job.arrive([f"{1000 + place * 10},a,{value}", *(["1000,b,5"] if not place else [])])
        job.run("--once")
        last = max(commits.glob("[0-9]*"), key=lambda path: int(path.name))
        last.unlink()
        job.run("--once")
    found = [
        (each["rule"], each["window_start"], each["kind"], each["level"])
        for each in job.rows("alerts", "rule, window_start, revision")
    ]
    assert [each[1:] for each in found if each[0] == "t"] == [
        (iso(1000), "alert", "info"),
        (iso(1010), "alert", "warn"),
        (iso(1030), "alert", "crit"),
        (iso(1040), "alert", "info"),
        (iso(1060), "recovered", "ok"),
    ]
    assert [each[1:] for each in found if each[0] == "d"] == [(iso(1020), "alert", "crit")]


def test_a_rule_that_is_as_it_was_goes_on_beside_others_that_are_not(job: Job) -> None:
    def with_rules(*rules: Mapping[str, Any]) -> None:
        config(job, *rules, processing={"event_time": "time", "allowed_lateness": "1 minute"})

    def alerts() -> list[tuple[Any, ...]]:
        found = job.rows("alerts", ORDER)
        return [(e["rule"], e["window_start"], e["revision"], e["kind"], e["level"]) for e in found]

    hot = rule("Threshold", "hot", crit="value > 80 and n < 2")
    warm = {"warn": "value > 50"}
    with_rules(rule("Threshold", "warm", **warm), hot, rule("Threshold", "odd", info="n > 1"))
    job.arrive(["1000,a,90", "1000,b,1", "1010,a,90"])
    job.run("--once")
    first = [("hot", iso(1000), 0, "alert", "crit"), ("warm", iso(1000), 0, "alert", "warn")]
    assert alerts() == first
    # Another place, another rule before it, one that is gone, and one that is not as it was.
    new = rule("Threshold", "new", info="value > 10")
    with_rules(new, hot, rule("Threshold", "warm", **warm, warn_reset="value < 40"))
    job.arrive(["1020,a,90"])
    job.run("--once")
    new_ones = [("new", iso(1000), 0, "alert", "info"), ("warm", iso(1000), 0, "alert", "warn")]
    assert sorted(alerts()) == sorted({*first, *new_ones}), "'hot' is told once"
    # What was told before the change is corrected behind it, and what is new sees the late row too.
    with_rules(rule("Threshold", "last", info="value > 999"), new, hot)
    job.arrive(["1021,b,1", "1005,a,1000"])
    job.run("--once")
    job.arrive(["1030,a,0", "1040,a,0"])
    job.run("--once")
    assert [each[1:] for each in alerts() if each[0] in ("last", "hot")] == [
        (iso(1000), 0, "alert", "crit"),
        (iso(1000), 1, "correction", "ok"),
        (iso(1010), 0, "alert", "crit"),
        (iso(1030), 0, "recovered", "ok"),
        (iso(1000), 0, "alert", "info"),
        (iso(1010), 0, "recovered", "ok"),
    ]
    told, corrected, *_ = [each for each in job.rows("alerts", ORDER) if each["rule"] == "hot"]
    assert corrected["corrects"] == told["id"]


def test_measures_that_are_of_another_type_now_are_judged_on(job: Job) -> None:
    for rules in (["n: count()"], ["n: count() / 2", "more: count()"], ["more: count()"]):
        aggregation = {"rule": ["key: key", "value: max(value)", *rules], "window": "10 seconds"}
        late = {"allowed_lateness": "1 minute"}
        config(job, rule("Threshold", "r", crit="value > 80"), aggregations=aggregation,
               processing={"event_time": "time", **late})  # fmt: skip
        start = 1000 + 20 * job.files
        job.arrive([f"{start},a,90", f"{start + 10},a,90"])
        job.run("--once")
    job.arrive(["1060,a,0", "1070,a,0"])
    job.run("--once")
    assert told(job) == [(iso(1000), 0, "alert", "crit"), (iso(1060), 0, "recovered", "ok")]


def test_a_deadman_that_is_new_knows_who_is_expected_and_who_was_there(job: Job) -> None:
    config(job, rule("Threshold", "hot", crit="value > 80"))
    job.arrive(["1000,a,90", "1000,c,1", "1010,a,90", "1010,c,1", "1020,c,1"])
    job.run("--once")
    config(
        job,
        rule("Threshold", "hot", crit="value > 80"),
        rule("Deadman", "silent", windows=2, expected=["a", "b"]),
    )
    for second in range(1030, 1100, 10):
        job.arrive([f"{second},c,1"])
    job.run("--once")
    rows_of = {name: [each for each in job.rows("alerts") if each["rule"] == name] for name in
               ("hot", "silent")}  # fmt: skip
    assert len(rows_of["hot"]) == 1
    assert sorted(json.loads(each["series"])["key"] for each in rows_of["silent"]) == ["a", "b"]
