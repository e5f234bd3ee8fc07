"""The input ``generator``: the built-in simulator, no server needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.inputs import Records, Say
from engine.option import option

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from engine.simulator import Simulation


@dataclass(frozen=True, kw_only=True)
class Generator(Records):
    """Simulated sensors, or a building; the same rows as ``generator.py`` with the same options.

    ``sensors``: a hundred machines' sensors, evenly in time; some rows are dated back (``late``).
    ``building``: ten sensors that send every quarter of an hour or every day, in event time that
    runs fast from 2020 on; W1 sends some readings 2 and some 10 days late, beside those in time.
    """

    METHOD: ClassVar[str] = "generator"

    scenario: Literal["sensors", "building"] = option("what is simulated", "sensors")
    seed: int = option("another seed, other rows", 0)
    count: int | None = option("rows in all; without end when absent", None, minimum=0)
    days: int | None = option("building: days in all, in place of 'count'", None, minimum=0)
    rate: float = option("rows a second of real time; 0 is as fast as it goes", 1000, minimum=0)
    start: int | None = option(
        "event time of the first row, epoch seconds; when absent, now for sensors, and the "
        "beginning of 2020 for the building",
        None,
    )
    speed: float | None = option(
        "sensors: rows a second of event time, as the rate when absent; building: how many times "
        "as fast as the clock event time runs, in place of the rate",
        None,
        exclusive_minimum=0,
    )
    malformed: float = option("share of broken records", 0, minimum=0, maximum=1)
    late: float = option("sensors: share of rows dated back", 0, minimum=0, maximum=1)
    lateness: int = option(
        "sensors: by how many seconds late rows are dated back, at most", 5, minimum=1
    )
    max_rows_per_batch: int | None = option("at most so many rows a micro-batch", None, minimum=1)

    def check(self, say: Say) -> None:
        super().check(say)
        try:
            self._simulation()
        except ValueError as error:
            say("", str(error), "")

    @property
    def has_end(self) -> bool:  # type: ignore[override]
        return self.count is not None or self.days is not None

    def _simulation(self) -> Simulation:
        from engine.simulator import Simulation

        return Simulation(
            scenario=self.scenario,
            seed=self.seed,
            count=self.count,
            days=self.days,
            rate=self.rate,
            start=self.start,
            speed=self.speed,
            malformed=self.malformed,
            late=self.late,
            lateness=self.lateness,
            format=self.format,
            sep=self.sep,
            max_rows=self.max_rows_per_batch,
        )

    def frame(self, spark: SparkSession, streaming: bool, name: str) -> DataFrame:
        from engine.spark import simulated

        read = simulated.stream if streaming else simulated.static
        return read(spark, self._simulation())

    def order(self) -> list[Column]:
        from pyspark.sql import functions as F

        return [F.col("_ordinal")]

    def described(self) -> dict[str, Any]:
        simulation = self._simulation()
        pace, total = simulation.pace, simulation.total
        rate = f"{pace:,.3g}" if pace < 10 else f"{pace:,.0f}"
        speed = f"{rate} rows/s" if pace else "as fast as it goes"
        count = f"{total:,} rows" if total is not None else "without end"
        return {"scenario": self.scenario, "seed": self.seed, "rows": f"{count}, {speed}"}
