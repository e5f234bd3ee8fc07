"""Turns row numbers into rows of a building: ten sensors, every quarter of an hour or every day.

After the IoT live-streaming report of the NTUA. Its producer's sequence repeats in shape every five
days, the shortest time of whole days and whole numbers of late readings: a *cycle*.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from engine.simulator.draws import SHORTS, Part, parts
from engine.simulator.lines import Layout, layout
from engine.simulator.rows import Rows, structure

FIELDS = {"timestamp": "LongType", "sensor": "StringType", "value": "DoubleType"}
#: Every quarter of an hour: least and most. Temperatures in degrees, loads in watt hours, water.
QUARTERLY = {
    "TH1": (12, 35),
    "TH2": (12, 35),
    "HVAC1": (0, 100),
    "HVAC2": (0, 200),
    "MiAC1": (0, 150),
    "MiAC2": (0, 200),
    "W1": (0, 1),
}
#: In the last quarter of a day: what the meter goes on by in a day, and what a day may differ by.
DAILY = {"Etot": (2600 * 24, 1000), "Wtot": (110, 10)}
#: Sends a 1 when someone moves: in a fifth of the quarters, at any second of them.
MOVEMENT = "Mov1"
SENSORS = (*QUARTERLY, MOVEMENT, *DAILY)
#: The sensor that sends readings late: by how many days, and one after how many quarters.
LATE_SENSOR, LATE = "W1", {2: 20, 10: 120}
#: Midnight of 1 January 2020, UTC: when the report begins.
START = 1_577_836_800

QUARTER, DAY = 900, 86_400
QUARTERS_A_DAY = DAY // QUARTER
CYCLE_DAYS = 5
CYCLE = CYCLE_DAYS * QUARTERS_A_DAY
CYCLE_MOVEMENTS = CYCLE // 5
#: Rows of a cycle, once all kinds of late readings have begun.
CYCLE_ROWS = (
    CYCLE * len(QUARTERLY)
    + CYCLE_MOVEMENTS
    + CYCLE_DAYS * len(DAILY)
    + sum(CYCLE // every for every in LATE.values())
)
#: Values are eighths: a double holds them, and every sum of them, exactly.
PARTS = 8
#: Which of a quarter's 16-bit random numbers decides what; those before are the sensors'.
_SECOND = len(QUARTERLY)
_METERS, _LATE, _MOVES = _SECOND + 1, _SECOND + 3, _SECOND + 4


class Measurement(NamedTuple):
    """A row as its sensor meant it, whether or not it is sent broken.

    Args:
        timestamp: when it was measured, epoch seconds.
        sensor: a name of `SENSORS`.
        value: a multiple of 1/8.
        days_late: how many days later it is sent: 0, 2 or 10. It is no field of the line.
    """

    timestamp: int
    sensor: str
    value: float
    days_late: int


@dataclass(frozen=True)
class Building(Rows):
    """The building: an endless sequence of rows of ten sensors, in the order of sending.

    A reading of W1 that comes late repeats the timestamp of one that came in time, with another
    value; both are meant. So late readings begin when there is something to repeat: after 2 days,
    and after 10. A timestamp is repeated once at most: a row is known by all its three fields.

    Args:
        seed: any whole number; another seed is another sequence.
        start: event time of row 0, epoch seconds.
        malformed: share of rows that are sent broken, from 0 to 1.
        format: of the lines, ``csv`` or ``json``.
        sep: between the columns of csv.

    Example:
        >>> Building(seed=7).line(0)
        b'1577836800,TH1,29.875'
    """

    seed: int = 0
    start: int = START
    malformed: float = 0
    format: str = "csv"
    sep: str = ","

    def records(self, start: int, stop: int) -> Iterator[Measurement]:
        while start < stop:
            cycle = cycle_of(start)
            first, end = first_row(cycle), min(first_row(cycle + 1), stop)
            for row in islice(_cycle(self.seed, cycle), start - first, end - first):
                second, sensor, value, days_late = row
                yield Measurement(self.start + second, sensor, value, days_late)
            start = end

    def keys(self, start: int, stop: int) -> Iterator[bytes]:
        return (row.sensor.encode() for row in self.records(start, stop))

    def layout(self) -> Layout:
        return layout(self.format, self.sep, FIELDS)

    def whole(self, part: Part) -> list[bytes]:
        shape = self.layout()
        sensors = {sensor: shape.field("sensor", sensor) for sensor in SENSORS}
        return [
            shape.head % second + sensors[sensor] + shape.field("value", value) + shape.tail
            for second, sensor, value, _ in self.records(part.rows.start, part.rows.stop)
        ]

    def rows_in(self, days: int) -> int:
        """How many rows are sent in the first so many days."""
        cycle, rest = divmod(days, CYCLE_DAYS)
        end = days * DAY
        sent = (row.timestamp + row.days_late * DAY for row in _cycle(self.seed, cycle) if rest)
        return first_row(cycle) + sum(second < end for second in sent)


def data_structure() -> dict[str, dict[str, Any]]:
    """The fields as a config's `data_structure` has them."""
    return structure(FIELDS)


def first_row(cycle: int) -> int:
    """The number of a cycle's first row."""
    # What would have been sent late before there was anything to repeat is missing.
    missing = sum(
        min(cycle * CYCLE, days * QUARTERS_A_DAY) // every for days, every in LATE.items()
    )
    return cycle * CYCLE_ROWS - missing


def cycle_of(row: int) -> int:
    """The cycle that a row is in."""
    return bisect_right(range(row // CYCLE_ROWS + 2), row, key=first_row) - 1


# A slow stream asks for the same cycle again and again, a few rows at a time.
@lru_cache(maxsize=4)
def _cycle(seed: int, cycle: int) -> tuple[Measurement, ...]:
    """A cycle's rows; their times are seconds since the sequence began."""
    quarters = range(cycle * CYCLE, (cycle + 1) * CYCLE)
    moves = sorted(quarters, key=lambda quarter: (_draws(seed, quarter)[_MOVES], quarter))
    moving = set(moves[:CYCLE_MOVEMENTS])
    return tuple(
        row for quarter in quarters for row in _quarter(seed, quarter, moves=quarter in moving)
    )


def _quarter(seed: int, quarter: int, moves: bool) -> Iterator[Measurement]:
    """The rows that are sent in a quarter of an hour."""
    draws = _draws(seed, quarter)
    second = quarter * QUARTER
    for draw, (sensor, bounds) in zip(draws, QUARTERLY.items(), strict=False):
        yield Measurement(second, sensor, _parts(draw, *bounds) / PARTS, 0)
    if moves:
        yield Measurement(second + (draws[_SECOND] * QUARTER >> 16), MOVEMENT, 1.0, 0)
    day, rest = divmod(quarter + 1, QUARTERS_A_DAY)
    if rest == 0:
        for draw, (sensor, (growth, spread)) in zip(draws[_METERS:], DAILY.items(), strict=False):
            # Each reading has an error of its own, so that it needs none of those before it; two
            # of them differ by the growth and at most the spread.
            error = _parts(draw, -spread // 2, spread // 2) / PARTS
            yield Measurement(second, sensor, day * growth + error, 0)
    for days, every in LATE.items():
        if (quarter + 1) % every == 0 and quarter >= days * QUARTERS_A_DAY:
            yield _late(seed, quarter, days)


def _late(seed: int, quarter: int, days: int) -> Measurement:
    """What is sent in a quarter about one that was days ago: its time, and another value."""
    about = quarter - days * QUARTERS_A_DAY
    low, high = QUARTERLY[LATE_SENSOR]
    in_time = _parts(_draws(seed, about)[[*QUARTERLY].index(LATE_SENSOR)], 0, high - low)
    values = (high - low) * PARTS + 1
    another = (in_time + 1 + _draws(seed, quarter)[_LATE] % (values - 1)) % values
    return Measurement(about * QUARTER, LATE_SENSOR, low + another / PARTS, days)


def _parts(draw: int, low: int, high: int) -> int:
    """The number, in eighths, from low to high, that a draw of 16 bits chooses."""
    return low * PARTS + (draw * ((high - low) * PARTS + 1) >> 16)


def _draws(seed: int, quarter: int) -> list[int]:
    """The 16-bit random numbers of a quarter."""
    return next(parts(seed, quarter, quarter + 1, b"quarters")).shorts[:SHORTS].tolist()
