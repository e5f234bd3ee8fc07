"""The analysis ``Threshold``: conditions for each level, and for leaving it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from engine import plan
from engine.alerts import LEVELS
from engine.analysis import Check, Judged, Rule
from engine.option import option
from engine.outputs import Say

_RESET = "_reset"


@dataclass(frozen=True, kw_only=True)
class Threshold(Rule):
    """Alarming: a condition over the measures is met, until another one is."""

    METHOD: ClassVar[str] = "Threshold"

    info: str | None = option("the condition of this level", None, example="value > 60")
    warn: str | None = option("the condition of this level", None, example="value > 70")
    crit: str | None = option("the condition of this level", None, example="value > 80")
    info_reset: str | None = option(
        "the level is left when this is met; when 'info' is not, if absent", None
    )
    warn_reset: str | None = option("as info_reset", None)
    crit_reset: str | None = option("as info_reset", None)
    field: str | None = option(
        "the measure that an alert shows; the one of the conditions where there is only one", None
    )

    def conditions(self) -> Iterator[tuple[str, str]]:
        for level in LEVELS[1:]:
            for name in (level, level + _RESET):
                if (text := getattr(self, name)) is not None:
                    yield name, text

    def measures(self) -> Iterator[tuple[tuple[str, ...], str]]:
        if self.field is not None:
            yield ("field",), self.field

    def check(self, aggregation: plan.Aggregation, say: Say) -> None:
        if not any(getattr(self, level) for level in LEVELS[1:]):
            say("", "a threshold has no condition", 'such as "crit": "temperature > 80"')
        for level in LEVELS[1:]:
            if getattr(self, level + _RESET) and not getattr(self, level):
                say(level + _RESET, f"there is no '{level}' that it could end", "")

    def checks(self, judged: Judged) -> list[Check]:
        found = judged.conditions
        met = {level: found[level] for level in LEVELS[1:] if level in found}
        resets = {level: found[level + _RESET] for level in met if level + _RESET in found}
        value = judged.now[self.field].cast("double") if self.field is not None else None
        return [Check(met, resets, self.field, value)]

    def described(self) -> dict[str, Any]:
        return dict(self.conditions())
