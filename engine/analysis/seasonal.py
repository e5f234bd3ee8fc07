"""The analysis ``Seasonal``: measures against those of the same time a day or a week before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.analysis import Banded, Judged, Lookback
from engine.option import option

if TYPE_CHECKING:
    from pyspark.sql import Column


@dataclass(frozen=True, kw_only=True)
class Seasonal(Banded):
    """Alarming: a measure is off by more than some percent of what it was at this time."""

    METHOD: ClassVar[str] = "Seasonal"

    period: Literal["day", "week"] = option("how long ago that was", "day")
    time_zone: str = option("whose clocks show the same time, summer time or not", "UTC")

    def lookbacks(self) -> tuple[Lookback, ...]:
        return (Lookback(days=7 if self.period == "week" else 1, time_zone=self.time_zone),)

    def base(self, name: str, judged: Judged) -> Column:
        return judged.past[0][name].cast("double")

    def described(self) -> dict[str, Any]:
        return {**super().described(), "period": self.period, "time_zone": self.time_zone}
