"""The input ``generator``: the built-in simulator, no server needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.declare import option
from engine.inputs import Records, Say

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from engine.simulator import Simulation


@dataclass(frozen=True, kw_only=True)
class Generator(Records):
    """Simulated sensors; the same rows as ``generator.py`` with the same options."""

    METHOD: ClassVar[str] = "generator"

    scenario: Literal["sensors"] = option("what is simulated", "sensors")
    seed: int = option("another seed, other rows", 0)
    count: int | None = option("rows in all; without end when absent", None, minimum=0)
    rate: float = option("rows a second of real time; 0 is as fast as it goes", 1000, minimum=0)
    start: int | None = option(
        "event time of the first row, epoch seconds; the moment of the start when absent", None
    )
    speed: float | None = option(
        "rows a second of event time; as the rate when absent", None, exclusive_minimum=0
    )
    malformed: float = option("share of broken records", 0, minimum=0, maximum=1)
    late: float = option("share of rows dated back", 0, minimum=0, maximum=1)
    lateness: int = option("by how many seconds late rows are dated back, at most", 5, minimum=1)
    max_rows_per_batch: int | None = option("at most so many rows a micro-batch", None, minimum=1)

    def check(self, say: Say) -> None:
        super().check(say)
        try:
            self._simulation()
        except ValueError as error:
            say("", str(error), "")

    @property
    def has_end(self) -> bool:  # type: ignore[override]
        return self.count is not None

    def _simulation(self) -> Simulation:
        from engine.simulator import Simulation

        return Simulation(
            scenario=self.scenario,
            seed=self.seed,
            count=self.count,
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
        rate = f"{self.rate:,.0f} rows/s" if self.rate else "as fast as it goes"
        count = f"{self.count:,} rows" if self.count is not None else "without end"
        return {"scenario": self.scenario, "seed": self.seed, "rows": f"{count}, {rate}"}
