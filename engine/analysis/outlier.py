"""The analysis ``Outlier``: a measure against the median of the windows before, in robust
deviations: the median of what they are off is not moved by the outliers among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from engine import plan
from engine.analysis import Check, Judged, Lookback, OfOne, last_windows
from engine.analysis._numbers import known, median
from engine.option import option
from engine.outputs import Say

#: What makes the median of absolute deviations of normal values their standard deviation.
_NORMAL = 1.4826


@dataclass(frozen=True, kw_only=True)
class Outlier(OfOne):
    """Alarming: a measure is far from the median of the windows before."""

    METHOD: ClassVar[str] = "Outlier"
    LOOKS_BACK: ClassVar[bool] = True

    windows: int = option("how many windows before are looked at", minimum=2, maximum=1000)
    deviations: float = option("how far is far, in robust standard deviations", 3.5, minimum=0)
    least: int = option("of how many windows there must be a value, for a verdict", 5, minimum=2)
    margin: float = option("what is never far: values may all have been the same", 0.0, minimum=0)

    def check(self, aggregation: plan.Aggregation, say: Say) -> None:
        if self.least > self.windows:
            say("least", f"of {self.windows} windows {self.least} cannot have a value", "")

    def lookbacks(self) -> tuple[Lookback, ...]:
        return last_windows(self.windows)

    def checks(self, judged: Judged) -> list[Check]:
        from pyspark.sql import functions as F

        value = judged.now[self.field].cast("double")
        there = known([each[self.field].cast("double") for each in judged.past])
        middle = median(there)
        off = median(F.transform(there, lambda each: F.abs(each - middle)))
        far = F.greatest(off * (_NORMAL * self.deviations), F.lit(float(self.margin)))
        far = F.when(F.size(there) >= self.least, far)
        lower, upper = middle - far, middle + far
        met = {str(self.level): (value < lower) | (value > upper)}
        return [Check(met, {}, self.field, value, lower, upper)]

    def described(self) -> dict[str, Any]:
        return {**super().described(), "windows": self.windows, "deviations": self.deviations}
