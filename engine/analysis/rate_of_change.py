"""The analysis ``RateOfChange``: how fast a measure goes up or down, from window to window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from engine import plan
from engine.analysis import Check, Judged, Lookback, OfOne
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import Say


@dataclass(frozen=True, kw_only=True)
class RateOfChange(OfOne):
    """Alarming: a measure has changed too fast since the window before."""

    METHOD: ClassVar[str] = "RateOfChange"
    LOOKS_BACK: ClassVar[bool] = True

    above: float | None = option("the fastest way up", None)
    below: float | None = option("the fastest way down, a negative number", None)
    per: str | None = option(
        "these are changes in this time; from one window to the next when absent",
        None,
        format="duration",
        example="1 minute",
    )

    def check(self, aggregation: plan.Aggregation, say: Say) -> None:
        if self.above is None and self.below is None:
            say("", "a rate of change has no limit", "'above', 'below', or both")
        if self.per is not None and not milliseconds(self.per):
            say("per", "a rate is per some time", "")

    def lookbacks(self) -> tuple[Lookback, ...]:
        return (Lookback(windows=1),)

    def checks(self, judged: Judged) -> list[Check]:
        from pyspark.sql import functions as F

        change = judged.now[self.field].cast("double") - judged.past[0][self.field].cast("double")
        if self.per is not None:
            start, before = (each[plan.WINDOW_START] for each in (judged.now, judged.past[0]))
            passed = (F.unix_micros(start) - F.unix_micros(before)) / 1000
            change = change * (F.lit(milliseconds(self.per)) / F.when(passed != 0, passed))
        lower, upper = (F.lit(each).cast("double") for each in (self.below, self.above))
        met = F.coalesce(change > upper, F.lit(False)) | F.coalesce(change < lower, F.lit(False))
        found = {str(self.level): F.when(change.isNotNull(), met)}
        about = f"the change of {self.field}"
        return [Check(found, {}, self.field, change, lower, upper, about)]

    def described(self) -> dict[str, Any]:
        limits = {"above": self.above, "below": self.below, "per": self.per}
        return {**super().described(), **{n: v for n, v in limits.items() if v is not None}}
