"""The analysis ``Stuck``: a measure that no longer changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from engine.analysis import Check, Judged, Lookback, OfOne, last_windows
from engine.option import option


@dataclass(frozen=True, kw_only=True)
class Stuck(OfOne):
    """Alarming: a measure has had the same value for so many windows."""

    METHOD: ClassVar[str] = "Stuck"
    LOOKS_BACK: ClassVar[bool] = True

    windows: int = option("how many windows, this one among them", minimum=2, maximum=1000)
    tolerance: float = option("by how much the values may differ", 0.0, minimum=0)

    def lookbacks(self) -> tuple[Lookback, ...]:
        return last_windows(self.windows - 1)

    def checks(self, judged: Judged) -> list[Check]:
        from pyspark.sql import functions as F

        value = judged.now[self.field].cast("double")
        before = [each[self.field].cast("double") for each in judged.past]
        values = F.array(value, *before)
        known = F.size(F.array_compact(values)) == self.windows
        lower, upper = F.array_min(values), F.array_max(values)
        # One value that is missing is enough not to know; two that differ are, to know.
        is_same = F.when(known, upper - lower <= self.tolerance)
        differs = F.when(upper - lower > self.tolerance, False)
        met = {str(self.level): F.coalesce(differs, is_same)}
        return [Check(met, {}, self.field, value, lower, upper)]

    def described(self) -> dict[str, Any]:
        return {**super().described(), "windows": self.windows}
