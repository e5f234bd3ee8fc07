"""Turns the options of a simulation into its sequence of rows, and time passed into rows due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from engine.simulator import building, sensors
from engine.simulator.building import Building
from engine.simulator.building_truth import truth as building_truth
from engine.simulator.lines import FORMATS
from engine.simulator.rows import Rows
from engine.simulator.sensors import Sensors
from engine.simulator.truth import truth as sensors_truth

#: What a separator must not hold, because numbers and line ends do; so do a scenario's texts.
_RESERVED = frozenset('0123456789."\r\n')


@dataclass(frozen=True)
class Simulation:
    """What is simulated, how much of it, and how fast. The scenarios tell the options of the rows.

    Args:
        scenario: a name of `SCENARIOS`.
        count: rows in all; None is without end.
        days: the building: how much event time in all, in place of `count`.
        rate: rows a second of real time; 0 is as fast as it goes.
        start: event time of row 0, epoch seconds; None is now for the sensors, and for the building
            the beginning of 2020.
        speed: the sensors: rows a second of event time; None is the rate, or 1000 where that is 0.
            The building: how many times as fast as the clock event time runs, in place of `rate`.
        max_rows: of a micro-batch; None is no limit.

    Raises:
        ValueError: for an option that makes no sense, with a sentence for its user.
    """

    scenario: str = "sensors"
    seed: int = 0
    count: int | None = None
    days: int | None = None
    rate: float = 0
    start: int | None = None
    speed: float | None = None
    malformed: float = 0
    late: float = 0
    lateness: int = 5
    format: str = "csv"
    sep: str = ","
    max_rows: int | None = None

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ValueError(problem)

    def rows(self) -> Rows:
        """The sequence of rows; the clock is read where the options name no start."""
        return SCENARIOS[self.scenario].rows(self)

    @property
    def total(self) -> int | None:
        """Rows in all; None is without end."""
        return self.count if self.days is None else Building(self.seed).rows_in(self.days)

    @property
    def pace(self) -> float:
        """Rows a second of real time, on the average; 0 is as fast as it goes."""
        if self.scenario == "building" and self.speed is not None:
            return self.speed * building.CYCLE_ROWS / (building.CYCLE_DAYS * building.DAY)
        return self.rate

    def truth(self, rows: Rows, count: int, window_seconds: int | None = None) -> dict[str, Any]:
        """What an engine should find in the first `count` rows; None is the scenario's windows."""
        sizes = () if window_seconds is None else (window_seconds,)
        return SCENARIOS[self.scenario].truth(rows, count, *sizes)

    def _problems(self) -> Iterator[str]:
        if self.scenario not in SCENARIOS:
            known = " and ".join(f"'{name}'" for name in SCENARIOS)
            yield f"unknown scenario '{self.scenario}'; known are {known}"
        scenario = SCENARIOS[self.scenario]
        for field in fields(self):
            if field.name in scenario.lacks and getattr(self, field.name) != field.default:
                yield f"the scenario '{self.scenario}' has no option '{field.name}'"
        if self.format not in FORMATS:
            yield f"'format' must be 'csv' or 'json', is '{self.format}'"
        for name in ("malformed", "late"):
            if not 0 <= getattr(self, name) <= 1:
                yield f"'{name}' is a share and must be from 0 to 1, is {getattr(self, name)}"
        # Written so that a NaN is refused, and an infinity.
        for name in ("count", "days", "rate"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                yield f"'{name}' must be 0 or more, is {value}"
        if self.count is not None and self.days is not None:
            yield "'count' and 'days' both say where the rows end; give one of them"
        if self.speed is not None and not 0 < self.speed < float("inf"):
            yield f"'speed' must be more than 0, is {self.speed}"
        for name, value in (("lateness", self.lateness), ("max_rows", self.max_rows)):
            if value is not None and value < 1:
                yield f"'{name}' must be 1 or more, is {value}"
        if not self.sep or (_RESERVED | set(scenario.texts)).intersection(self.sep):
            yield f"'sep' must be something that no value holds, is '{self.sep}'"


class Scenario(NamedTuple):
    """What is told apart by a scenario's name.

    Args:
        rows: a simulation to its sequence of rows.
        truth: rows and their number to the results that an engine should find.
        lacks: options of other scenarios, which have no meaning here.
        texts: the characters that its values hold beside those of numbers.
    """

    rows: Callable[[Simulation], Rows]
    truth: Callable[..., dict[str, Any]]
    lacks: frozenset[str]
    texts: str


def _sensors(options: Simulation) -> Sensors:
    return Sensors(
        seed=options.seed,
        start=int(time.time()) if options.start is None else options.start,
        speed=options.speed or options.rate or Sensors.speed,
        malformed=options.malformed,
        late=options.late,
        lateness=options.lateness,
        format=options.format,
        sep=options.sep,
    )


def _building(options: Simulation) -> Building:
    return Building(
        seed=options.seed,
        start=building.START if options.start is None else options.start,
        malformed=options.malformed,
        format=options.format,
        sep=options.sep,
    )


SCENARIOS = {
    "sensors": Scenario(_sensors, sensors_truth, frozenset({"days"}), "".join(sensors.TYPES)),
    "building": Scenario(
        _building,
        building_truth,
        frozenset({"late", "lateness"}),
        "".join(building.SENSORS),
    ),
}


def rows_due(seconds: float, rate: float) -> int:
    """Rows that should have been sent this long after the beginning: row 0 is due at once."""
    return int(seconds * rate) + 1
