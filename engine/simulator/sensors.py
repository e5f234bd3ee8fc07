"""Turns row numbers into rows of the sensors demo, as the sensors meant them and as they go out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, repeat
from typing import Any, NamedTuple

from engine.simulator.draws import Part, evenly, normal_above_zero, parts
from engine.simulator.lines import Layout, layout
from engine.simulator.rows import HOW, Rows, structure

FIELDS = {
    "timestamp": "LongType",
    "sensor_id": "LongType",
    "sensor_type": "StringType",
    "pressure": "DoubleType",
    "temperature": "DoubleType",
    "rotation_speed": "DoubleType",
    "torque": "DoubleType",
}
#: Mean and standard deviation; the values are whole and positive.
MEASURES = {
    "pressure": (250, 50),
    "temperature": (516, 200),
    "rotation_speed": (2500, 500),
    "torque": (500, 200),
}
SENSORS = 100
TYPES = ("seal.t1", "seal.t2")
#: Which of a row's random numbers decides what: of 16 bits, then of 32 bits (which lie behind).
_MEASURES, _SENSOR = range(4), 4
_LATE = 4


class Reading(NamedTuple):
    """A row as its sensor meant it, whether or not it is sent broken."""

    timestamp: int
    sensor_id: int
    sensor_type: str
    pressure: float
    temperature: float
    rotation_speed: float
    torque: float


@dataclass(frozen=True)
class Sensors(Rows):
    """The sensors demo: an endless sequence of rows of a hundred sensors of two types.

    Args:
        seed: any whole number; another seed is another sequence.
        start: event time of row 0, epoch seconds.
        speed: rows a second of event time.
        malformed: share of rows that are sent broken, from 0 to 1.
        late: share of rows that are dated back, from 0 to 1.
        lateness: by how many seconds at most (and by 1 at least).
        format: of the lines, ``csv`` or ``json``.
        sep: between the columns of csv.

    Example:
        >>> Sensors(seed=7).line(0)
        b'1700000000,42,seal.t1,200.0,517.0,2651.0,412.0'
    """

    seed: int = 0
    start: int = 1_700_000_000
    speed: float = 1000
    malformed: float = 0
    late: float = 0
    lateness: int = 5
    format: str = "csv"
    sep: str = ","

    def records(self, start: int, stop: int) -> Iterator[Reading]:
        return chain.from_iterable(
            map(Reading, self._seconds(part), *_columns(part, _values()))
            for part in parts(self.seed, start, stop)
        )

    def keys(self, start: int, stop: int) -> Iterator[bytes]:
        return (b"%d" % row.sensor_id for row in self.records(start, stop))

    def layout(self) -> Layout:
        return _texts(self.format, self.sep)[0]

    def whole(self, part: Part) -> list[bytes]:
        shape, texts = _texts(self.format, self.sep)
        seconds = self._seconds(part)
        heads = {second: shape.head % second for second in set(seconds)}
        fields = (map(heads.__getitem__, seconds), *_columns(part, texts), repeat(shape.tail))
        return list(map(b"".join, zip(*fields, strict=False)))

    def _seconds(self, part: Part) -> list[int]:
        """Event times, epoch seconds."""
        start, speed = self.start, self.speed
        seconds = [start + int(i // speed) for i in part.rows]
        for k in part.chosen(_LATE, self.late):
            seconds[k] -= 1 + part.number(HOW, k) % self.lateness
        return seconds


def data_structure() -> dict[str, dict[str, Any]]:
    """The fields as a config's `data_structure` has them."""
    return structure(FIELDS)


#: For each field behind the timestamp: which random number chooses, from which values.
Tables = list[tuple[int, Sequence[Any]]]


def _columns(part: Part, tables: Tables) -> Iterator[Iterator[Any]]:
    return (part.column(draw, table) for draw, table in tables)


@lru_cache(maxsize=1)
def _values() -> Tables:
    sensors = evenly(SENSORS)
    types = [TYPES[sensor >= SENSORS // 2] for sensor in sensors]
    measures = (normal_above_zero(*measure) for measure in MEASURES.values())
    return [(_SENSOR, sensors), (_SENSOR, types), *zip(_MEASURES, measures, strict=True)]


# Each distinct value is written once: a line is then no more than a join of pieces.
@lru_cache(maxsize=4)
def _texts(format: str, sep: str) -> tuple[Layout, Tables]:
    """The format's layout, and the tables of `_values` as it writes them."""
    shape = layout(format, sep, FIELDS)
    tables: Tables = []
    for name, (draw, values) in zip([*FIELDS][1:], _values(), strict=True):
        text = {value: shape.field(name, value) for value in set(values)}
        tables.append((draw, [text[value] for value in values]))
    return shape, tables
