"""Turns the options of a simulation into its sequence of rows, and time passed into rows due."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from engine.simulator.lines import FORMATS
from engine.simulator.sensors import Sensors

SCENARIOS = {"sensors": Sensors}
#: What a separator must not hold, because values and line ends do.
_RESERVED = frozenset('0123456789.sealt"\r\n')


@dataclass(frozen=True)
class Simulation:
    """What is simulated, how much of it, and how fast. `Sensors` tells the options of the rows.

    Args:
        scenario: a name of `SCENARIOS`.
        count: rows in all; None is without end.
        rate: rows a second of real time; 0 is as fast as it goes.
        start: event time of row 0, epoch seconds; None is now.
        speed: rows a second of event time; None is the rate, or 1000 where that is 0.
        max_rows: of a micro-batch; None is no limit.

    Raises:
        ValueError: for an option that makes no sense, with a sentence for its user.
    """

    scenario: str = "sensors"
    seed: int = 0
    count: int | None = None
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

    def rows(self) -> Sensors:
        """The sequence of rows; the clock is read where the options name no start."""
        return SCENARIOS[self.scenario](
            seed=self.seed,
            start=int(time.time()) if self.start is None else self.start,
            speed=self.speed or self.rate or Sensors.speed,
            malformed=self.malformed,
            late=self.late,
            lateness=self.lateness,
            format=self.format,
            sep=self.sep,
        )

    def _problems(self) -> Iterator[str]:
        if self.scenario not in SCENARIOS:
            known = ", ".join(f"'{name}'" for name in SCENARIOS)
            yield f"unknown scenario '{self.scenario}'; known is {known}"
        if self.format not in FORMATS:
            yield f"'format' must be 'csv' or 'json', is '{self.format}'"
        for name in ("malformed", "late"):
            if not 0 <= getattr(self, name) <= 1:
                yield f"'{name}' is a share and must be from 0 to 1, is {getattr(self, name)}"
        # Written so that a NaN is refused, and an infinity.
        for name, value, least in (("count", self.count, 0), ("rate", self.rate, 0)):
            if value is not None and not least <= value < float("inf"):
                yield f"'{name}' must be {least} or more, is {value}"
        if self.speed is not None and not 0 < self.speed < float("inf"):
            yield f"'speed' must be more than 0, is {self.speed}"
        for name, value in (("lateness", self.lateness), ("max_rows", self.max_rows)):
            if value is not None and value < 1:
                yield f"'{name}' must be 1 or more, is {value}"
        if not self.sep or _RESERVED.intersection(self.sep):
            yield f"'sep' must be something that no value holds, is '{self.sep}'"


def rows_due(seconds: float, rate: float) -> int:
    """Rows that should have been sent this long after the beginning: row 0 is due at once."""
    return int(seconds * rate) + 1
