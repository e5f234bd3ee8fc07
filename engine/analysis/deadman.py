"""The analysis ``Deadman``: a key that was there, and no longer is.

It goes by event time: a key is silent when others have gone on without it. A source that is silent
altogether lets no time pass, and raises no alarm for each of its keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from engine import plan
from engine.analysis import Check, Judged, Level, Rule
from engine.analysis._steps import Steps
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import Say
from engine.types import Type


@dataclass(frozen=True, kw_only=True)
class Deadman(Rule):
    """Alarming: a key has had no row for so many windows."""

    METHOD: ClassVar[str] = "Deadman"

    windows: int = option("how many windows in a row are missing", minimum=1, maximum=1_000_000)
    level: Level = option("of an alert", "crit")
    expected: tuple[str | float | bool, ...] = option(
        "keys that are missed though they were never there, from the first event time on; of an "
        "aggregation by one key",
        (),
        example=[1, 2, 3],
    )
    retire: str | None = option(
        "a key is forgotten when it has been silent for so long; never when absent",
        None,
        format="duration",
        example="7 days",
    )

    def check(self, aggregation: plan.Aggregation, say: Say) -> None:
        if not aggregation.keys:
            say("", "a deadman watches keys", f"'{aggregation.name}' has none")
        elif self.expected:
            self._check_expected(aggregation, say)
        if isinstance(aggregation.window, plan.Session) or self.retire is None:
            return
        if milliseconds(self.retire) * 1000 <= self.steps(aggregation).longest(self.windows):
            say("retire", "a key would be forgotten before it is missed", "take a longer time")

    def _check_expected(self, aggregation: plan.Aggregation, say: Say) -> None:
        if len(aggregation.keys) > 1:
            say("expected", "expected keys are of an aggregation by one key", "")
            return
        of = aggregation.keys[0].type
        for place, key in enumerate(self.expected):
            if not _is_of(key, of):
                say(f"expected/{place}", f"the key '{aggregation.keys[0].name}' is {of}", "")

    def steps(self, aggregation: plan.Aggregation) -> Steps:
        """The windows that are counted."""
        assert not isinstance(aggregation.window, plan.Session)
        return Steps(aggregation.window)

    def checks(self, judged: Judged) -> list[Check]:
        from pyspark.sql import functions as F

        # A window that is there says that the key is; the missing ones are found between them.
        return [Check({str(self.level): F.lit(False)})]

    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = {"windows": self.windows}
        if self.expected:
            found["expected"] = ", ".join(map(str, self.expected))
        return {**found, **({"retire": self.retire} if self.retire else {})}


def _is_of(key: Any, of: Type) -> bool:
    """Whether a value of the config is one of a key of this type."""
    if isinstance(key, bool):
        return of is Type.BOOLEAN
    if isinstance(key, str):
        return of is Type.STRING
    return of.is_fractional or (of.is_integer and float(key).is_integer())
