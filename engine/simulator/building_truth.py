"""Turns the first rows of the building into the daily results that an engine should find."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.simulator.building import DAILY, DAY, LATE_SENSOR, Building, Measurement
from engine.simulator.truth import iso

#: Which sensors stand behind a meter: what they do not explain of its growth is the remainder.
LOADS = {"Etot": ("HVAC1", "HVAC2", "MiAC1", "MiAC2"), "Wtot": (LATE_SENSOR,)}
#: The remainders' names in the results.
REST = {"Etot": "energy", "Wtot": "water"}
#: Readings that come this many days late count; later ones are refused.
ACCEPTED_DAYS = 2

Row = dict[str, Any]


class _Days:
    """What was found of each day (a number, from the epoch) and sensor."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], int] = {}
        self.sums: dict[tuple[int, str], float] = {}

    def add(self, row: Measurement) -> None:
        key = row.timestamp // DAY, row.sensor
        self.rows[key] = self.rows.get(key, 0) + 1
        self.sums[key] = self.sums.get(key, 0.0) + row.value

    def daily(self) -> Iterator[Row]:
        """AggDay: the sensors of every quarter, and the movements."""
        for day, sensor in sorted(self.rows):
            if sensor not in DAILY:
                rows, total = self.rows[day, sensor], self.sums[day, sensor]
                measures = {"rows": rows, "sum": total, "mean": total / rows}
                yield _window(day) | {"sensor": sensor} | measures

    def differences(self) -> Iterator[Row]:
        """AggDayDiff: a meter is read once a day, so that the day's sum is its last reading."""
        last: dict[str, float] = {}
        for day, sensor in sorted(self.rows):
            if sensor in DAILY:
                value = self.sums[day, sensor]
                difference = value - last[sensor] if sensor in last else None
                yield _window(day) | {"sensor": sensor, "difference": difference}
                last[sensor] = value

    def remainders(self, differences: list[Row]) -> Iterator[Row]:
        """AggDayRest: what a meter has counted that its loads do not explain."""
        grown = {(row["window_start"], row["sensor"]): row["difference"] for row in differences}
        for day in sorted({day for day, _ in self.rows}):
            window = _window(day)
            rests: dict[str, float | None] = {}
            for meter, loads in LOADS.items():
                known = [self.sums[day, load] for load in loads if (day, load) in self.sums]
                difference = grown.get((window["window_start"], meter))
                if difference is None or not known:
                    rests[REST[meter]] = None
                else:
                    rests[REST[meter]] = difference - sum(known)
            yield window | rests


def truth(rows: Building, count: int) -> dict[str, Any]:
    """Exact results of the first `count` rows by day (UTC) and sensor.

    Rows that come 2 days late count in the day that they belong to, those that come 10 days late
    are refused. An engine does the same where its allowed lateness is 2 days or more (3 leave room
    for partitions that are read unevenly), and no two consecutive micro-batches together take in
    more event time than 9 days less that lateness: the day of a row that is 10 days late ended 9 to
    10 days ago, and a micro-batch is held against the latest time before the one that precedes it.
    Where all is read at once nothing is late.

    Values are eighths, so sums are exact, whatever the order; a mean is rounded once. Malformed
    rows are nowhere; the day after one whose reading of a meter was malformed has its difference
    from the last reading before.

    Args:
        rows: the sequence.
        count: how many of its rows were sent.

    Returns:
        `rows` and `malformed`, numbers; and lists in the order of time:
        `AggDay` (by sensor: `rows`, `sum`, `mean`), without the meters;
        `AggDayDiff` (by meter: `difference`; null where there is no reading before);
        `AggDayRest` (`energy` and `water`; null where there is no difference, or no load);
        `corrections`, the rows that came 2 days late, and `late`, those that came 10 days late.
    """
    days = _Days()
    corrections: list[Row] = []
    late: list[Row] = []
    malformed = count
    for row in rows.well_formed(count):
        malformed -= 1
        if row.days_late > ACCEPTED_DAYS:
            late.append(_late_row(row))
            continue
        days.add(row)
        if row.days_late:
            corrections.append(_late_row(row))
    differences = [*days.differences()]
    return {
        "rows": count,
        "malformed": malformed,
        "AggDay": [*days.daily()],
        "AggDayDiff": differences,
        "AggDayRest": [*days.remainders(differences)],
        "corrections": corrections,
        "late": late,
    }


def _late_row(row: Measurement) -> Row:
    """A row as the stream of late rows has it: with the window that it belongs to."""
    fields = {"timestamp": row.timestamp, "sensor": row.sensor, "value": row.value}
    return _window(row.timestamp // DAY) | fields


def _window(day: int) -> Row:
    return {"window_start": iso(day * DAY), "window_end": iso((day + 1) * DAY)}
