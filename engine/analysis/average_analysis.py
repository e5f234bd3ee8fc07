"""The analysis ``AverageAnalysis``: measures against their mean over the windows before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from engine.analysis import Banded, Judged, Lookback, last_windows
from engine.analysis._numbers import mean
from engine.option import option

if TYPE_CHECKING:
    from pyspark.sql import Column


@dataclass(frozen=True, kw_only=True)
class AverageAnalysis(Banded):
    """Alarming: a measure is off by more than some percent of its mean."""

    METHOD: ClassVar[str] = "AverageAnalysis"

    num_average: int = option(
        "over how many windows before; those that are missing do not count",
        minimum=1,
        maximum=1000,
    )

    def lookbacks(self) -> tuple[Lookback, ...]:
        return last_windows(self.num_average)

    def base(self, name: str, judged: Judged) -> Column:
        return mean([each[name].cast("double") for each in judged.past])
