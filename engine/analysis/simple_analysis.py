"""The analysis ``SimpleAnalysis``: measures against those of a window before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from engine.analysis import Banded, Judged, Lookback
from engine.option import option

if TYPE_CHECKING:
    from pyspark.sql import Column


@dataclass(frozen=True, kw_only=True)
class SimpleAnalysis(Banded):
    """Alarming: a measure is off by more than some percent of what it was."""

    METHOD: ClassVar[str] = "SimpleAnalysis"

    batch_number: int = option("how many windows ago that was", 1, minimum=1, maximum=10_000)

    def lookbacks(self) -> tuple[Lookback, ...]:
        return (Lookback(windows=self.batch_number),)

    def base(self, name: str, judged: Judged) -> Column:
        return judged.past[0][name].cast("double")
