"""The windows of an aggregation as plain numbers: which time is in which, and which follows which.

What ``engine.spark.windows`` says in Spark's columns, for the few that somebody counts one by one.
All times are microseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from zoneinfo import ZoneInfo

from engine import plan

_DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1).toordinal()
#: 1969-12-29, a Monday.
_MONDAY = _EPOCH - 3
#: Calendars go from the year 1 to 9999; a day less at both ends, for the sake of zones.
_LAST_DAY = date.max.toordinal() - 1
_SECONDS = (86_400 * (2 - _EPOCH), 86_400 * (_LAST_DAY - 1 - _EPOCH))
#: The fewest days and the most that a unit of a calendar has.
_DAYS = {"day": (1, 1), "week": (7, 7), "month": (28, 31)}
#: What a change of clocks takes from a day, at most; but for the day that Samoa left out in 2011.
_CHANGE_US = 3 * 3_600_000_000


@dataclass(frozen=True)
class Steps:
    """The windows of one aggregation, one behind the other; not of sessions, which have none."""

    window: plan.Tumbling | plan.Hopping | plan.Calendar

    def start(self, time: int) -> int:
        """The start of the last window that a time is in."""
        if not isinstance(self.window, plan.Calendar):
            return time // self._step_us * self._step_us
        return self._midnight(self._first_day(self._day(time)))

    def later(self, start: int, count: int) -> int:
        """The start of the window that is so many behind the one with this start."""
        if not isinstance(self.window, plan.Calendar):
            return start + count * self._step_us
        return self._midnight(self._days_later(self._day(start), count))

    def end(self, start: int) -> int:
        """The end of the window with this start."""
        if not isinstance(self.window, plan.Calendar):
            return start + self.window.size_ms * 1000
        return self.later(start, 1)

    def shortest(self, count: int) -> int:
        """From the start of a window to that of the one so many behind it: not less than this."""
        if not isinstance(self.window, plan.Calendar):
            return count * self._step_us
        return max(0, count * self.window.count * _DAYS[self.window.unit][0] * _DAY_US - _CHANGE_US)

    def shortest_to_end(self, count: int) -> int:
        """As ``shortest``, to the end of that window."""
        if isinstance(self.window, plan.Hopping):
            return self.shortest(count) + self.window.size_ms * 1000
        return self.shortest(count + 1)

    def longest(self, count: int) -> int:
        """As ``shortest``: not more than this."""
        if not isinstance(self.window, plan.Calendar):
            return count * self._step_us
        return count * self.window.count * _DAYS[self.window.unit][1] * _DAY_US + _CHANGE_US

    @property
    def _step_us(self) -> int:
        assert not isinstance(self.window, plan.Calendar)
        window = self.window
        return (window.slide_ms if isinstance(window, plan.Hopping) else window.size_ms) * 1000

    @cached_property
    def _zone(self) -> ZoneInfo:
        assert isinstance(self.window, plan.Calendar)
        return ZoneInfo(self.window.time_zone)

    def _day(self, time: int) -> int:
        """The day of a time, as an ordinal. Where its date comes again, it has ended before."""
        seconds = min(max(time // 1_000_000, _SECONDS[0]), _SECONDS[1])
        day = datetime.fromtimestamp(seconds, self._zone).toordinal()
        return day + (time >= self._midnight(day + 1))

    def _midnight(self, day: int) -> int:
        """When a day begins: at the first of two midnights, behind the gap that has it."""
        return int(datetime.fromordinal(day).replace(tzinfo=self._zone).timestamp()) * 1_000_000

    def _first_day(self, day: int) -> int:
        """The first day of the window that a day is in."""
        assert isinstance(self.window, plan.Calendar)
        if self.window.unit == "month":
            there = date.fromordinal(day)
            month = there.year * 12 + there.month - 1
            return _first_of(month - (month - 1970 * 12) % self.window.count)
        origin = _MONDAY if self.window.unit == "week" else _EPOCH
        return day - (day - origin) % (self.window.count * _DAYS[self.window.unit][0])

    def _days_later(self, day: int, count: int) -> int:
        """The first day of the window that is so many behind the one that begins with this day; no
        later than calendars go."""
        assert isinstance(self.window, plan.Calendar)
        count *= self.window.count
        if self.window.unit != "month":
            return min(_LAST_DAY, day + count * _DAYS[self.window.unit][0])
        there = date.fromordinal(day)
        month = there.year * 12 + there.month - 1 + count
        return _first_of(month) if month < date.max.year * 12 else _LAST_DAY


def _first_of(month: int) -> int:
    """The first day of a month, which is counted from the year 0."""
    return date(month // 12, month % 12 + 1, 1).toordinal()
