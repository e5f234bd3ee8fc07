"""Analyses: each module is what a rule names as its ``module``, a dataclass of its options and what
it judges a window by.

A rule is one check or several, such as one for each measure. A check says of a window which levels
its conditions meet; what follows from that, with the windows before it, is the same for all of them
(``engine.analysis._alarm``). What a check compares with, it asks for by ``lookbacks``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine import plan
from engine.option import option
from engine.outputs import Say

if TYPE_CHECKING:
    from pyspark.sql import Column

Level = Literal["info", "warn", "crit"]
Values = Mapping[str, "Column"]


@dataclass(frozen=True)
class Lookback:
    """A window of the past of the same key.

    Args:
        windows: so many windows before.
        days: so many days before, at the same time of the day in ``time_zone``.
    """

    windows: int = 0
    days: int = 0
    time_zone: str = "UTC"


def last_windows(count: int) -> tuple[Lookback, ...]:
    """The last so many windows, the nearest first."""
    return tuple(Lookback(windows=place + 1) for place in range(count))


@dataclass(frozen=True)
class Check:
    """What is asked of a window; a condition that is null is not known to be met.

    Args:
        met: the condition of each level.
        resets: what must be true for a level to be left, where it is not just that its condition
            is no longer met.
        field: the measure that it is about.
        about: what the value is, in words; the measure's, when absent.
        text: what a user's class has said of the window.
    """

    met: Mapping[str, Column]
    resets: Mapping[str, Column] = field(default_factory=dict)
    field: str | None = None
    value: Column | None = None
    lower: Column | None = None
    upper: Column | None = None
    about: str | None = None
    text: Column | None = None


@dataclass(frozen=True)
class Judged:
    """What a rule may look at.

    Args:
        now: the measures and keys of a window, by name.
        past: the measures of the windows that ``lookbacks`` names, in its order; null where there
            is no such window.
        conditions: those of the options, by where they stand.
        said: what users' classes have said, by the rule's name.
    """

    now: Values
    past: Sequence[Values]
    conditions: Values
    said: Values


@dataclass(frozen=True, kw_only=True)
class Flapping:
    """When a level changes so often that it is not worth telling."""

    changes: int = option("from so many changes of the level on nothing is told", minimum=2)
    within: str = option("in this time, by the windows' starts", format="duration")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What all rules have in common."""

    #: Whether the rule asks about the past.
    LOOKS_BACK: ClassVar[bool] = False

    aggregation: str | None = option(
        "whose windows are judged; may be absent where only one has the measures", None
    )
    early: bool = option(
        "windows are judged whenever they change, and not only when they are complete", False
    )
    repeat: str | None = option(
        "an alarm that goes on is told again after this time, by the windows' starts",
        None,
        format="duration",
    )
    inhibited_by: tuple[str, ...] = option(
        "rules of the same aggregation: while one of them is critical for a key, this one is "
        "silent for it",
        (),
    )
    flapping: Flapping | None = option("when changes are too many to be told", None)
    message: str | None = option(
        "what an alert says, with fields such as {level}, {param.value} and {keys.sensor_id}",
        None,
        nonempty=True,
    )

    def measures(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """The measures that the options name, each with where it stands; they must be numbers."""
        return iter(())

    def conditions(self) -> Iterator[tuple[str, str]]:
        """The conditions in the DSL, each with where it stands."""
        return iter(())

    def check(self, aggregation: plan.Aggregation, say: Say) -> None:
        """Tells the problems that only this rule can know."""

    def lookbacks(self) -> tuple[Lookback, ...]:
        """What is compared with."""
        return ()

    def checks(self, judged: Judged) -> list[Check]:
        """What is asked of each window."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """What ``explain`` tells of it."""
        return {}


@dataclass(frozen=True, kw_only=True)
class OfOne(Rule):
    """A rule about one measure."""

    field: str = option("the measure", nonempty=True)
    level: Level = option("of an alert", "crit")

    def measures(self) -> Iterator[tuple[tuple[str, ...], str]]:
        yield ("field",), self.field

    def described(self) -> dict[str, Any]:
        return {"field": self.field, "level": self.level}


@dataclass(frozen=True, kw_only=True)
class Banded(Rule):
    """A rule that is alarming where measures leave a band around what they were."""

    LOOKS_BACK: ClassVar[bool] = True

    deviation: dict[str, float] = option(
        "measure: by how many percent it may be off",
        nonempty=True,
        example={"rpm_sum": 5},
    )
    level: Level = option("of an alert", "crit")

    def measures(self) -> Iterator[tuple[tuple[str, ...], str]]:
        for name in self.deviation:
            yield ("deviation", name), name

    def check(self, aggregation: plan.Aggregation, say: Say) -> None:
        for name, percent in self.deviation.items():
            if percent < 0:
                say(f"deviation/{name}", "a deviation is not negative", "in percent")

    def base(self, name: str, judged: Judged) -> Column:
        """What a measure is compared with."""
        raise NotImplementedError

    def checks(self, judged: Judged) -> list[Check]:
        from pyspark.sql import functions as F

        found = []
        for name, percent in self.deviation.items():
            value, base = judged.now[name].cast("double"), self.base(name, judged)
            # Of what is below zero the larger part is the lower one.
            ends = [base * (1 - percent / 100), base * (1 + percent / 100)]
            lower, upper = F.least(*ends), F.greatest(*ends)
            met = {str(self.level): (value < lower) | (value > upper)}
            found.append(Check(met, {}, name, value, lower, upper))
        return found

    def described(self) -> dict[str, Any]:
        told = ", ".join(f"{name} {percent:g} %" for name, percent in self.deviation.items())
        return {"deviation": told, "level": self.level}
