"""The window of an aggregation becomes a kind of the plan, or a problem at its place."""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine import plan
from engine.config.durations import CALENDAR_UNITS, milliseconds, parts
from engine.config.load import Document
from engine.source import Problems, nearest

Path = tuple[str | int, ...]
#: In how many hopping windows a row may be: each is a row of its own in the shuffle.
MOST_WINDOWS = 10_000
#: 10,000 years, as of durations.
_MOST = {"day": 3_660_000, "week": 522_000, "month": 120_000}


def check_window(
    document: Document, path: Path, batch_ms: int, problems: Problems
) -> plan.Window | None:
    """The window at a path, of the batch's length where there is none; None where there is a
    problem."""
    if not document.has(*path):
        return plan.Tumbling(batch_ms)
    node = document.good(*path)
    if node is None:
        return None
    if node.value is None:
        return plan.Tumbling(batch_ms)
    try:
        if isinstance(node.value, str):
            return _sized(node.value, None, path)
        return _section(document, path, problems)
    except _WindowError as error:
        problems.add(document.problem(error.message, error.path, error.hint))
        return None


def check_time_zone(document: Document, path: Path, problems: Problems) -> bool:
    """Whether the text at a path names a time zone, or is an offset such as ``+02:00``."""
    node = document.good(*path)
    if node is None:
        return False
    if node.value is None or re.fullmatch(r"[+-](0\d|1[0-7]):[0-5]\d|[+-]18:00", node.value):
        return True
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(node.value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = nearest(node.value, zoneinfo.available_timezones())
        message = f"there is no time zone '{node.value}'"
        problems.add(document.problem(message, path, hint or "such as Europe/Athens"))
        return False
    return True


class _WindowError(Exception):
    """A problem of a window, at a path of the config."""

    def __init__(self, message: str, path: Path, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.hint = hint


def _section(document: Document, path: Path, problems: Problems) -> plan.Window | None:
    """The window that an object describes."""
    node = document.root.at(path)
    assert node is not None
    values = {name: value for name, value in node.plain().items() if value is not None}
    zone_path = (*path, "time_zone")
    is_zone = "time_zone" not in values or check_time_zone(document, zone_path, problems)
    if "gap" in values:
        return _session(values, path)
    if "size" not in values:
        hint = "with 'size', 'slide' makes hopping windows; 'gap' makes sessions"
        raise _WindowError("a window needs a 'size' or a 'gap'", path, hint)
    if not is_zone:
        return None
    window = _sized(values["size"], values.get("time_zone"), (*path, "size"))
    return _hopping(window, values["slide"], (*path, "slide")) if "slide" in values else window


def _session(values: Mapping[str, str], path: Path) -> plan.Session:
    path = (*path, "gap")
    for other in ("size", "slide", "time_zone"):
        if other in values:
            message = f"a window has a 'gap' or a '{other}', not both"
            raise _WindowError(message, path, "a session is as long as its rows")
    gap_ms = milliseconds(values["gap"])
    if gap_ms <= 0:
        raise _WindowError("a session's gap cannot be empty", path)
    return plan.Session(gap_ms)


def _sized(text: str, zone: str | None, path: Path) -> plan.Tumbling | plan.Calendar:
    """Windows of one size, side by side."""
    number, unit = parts(text)
    is_fixed = zone is None and unit != "month"
    if number <= 0 or (is_fixed and milliseconds(text) <= 0):
        raise _WindowError("a window cannot be empty", path)
    if is_fixed:
        return plan.Tumbling(milliseconds(text))
    if unit not in CALENDAR_UNITS:
        hint = f"{unit}s are the same in every zone; leave 'time_zone' out"
        raise _WindowError("only days, weeks and months have a 'time_zone'", path, hint)
    if number.denominator != 1:
        message = f"a window by the calendar has a whole number of {unit}s"
        raise _WindowError(message, path)
    return plan.Calendar(min(int(number), _MOST[unit]), unit, zone or "UTC")


def _hopping(
    window: plan.Tumbling | plan.Calendar, text: str, path: Path
) -> plan.Tumbling | plan.Hopping:
    if isinstance(window, plan.Calendar):
        message = "windows by the calendar stand side by side, without a 'slide'"
        hint = "for 'slide', a size without months and without 'time_zone'"
        raise _WindowError(message, path, hint)
    slide_ms = milliseconds(text)
    if slide_ms <= 0:
        raise _WindowError("windows cannot be no time apart", path)
    if slide_ms > window.size_ms:
        hint = "rows between two windows would be in none"
        raise _WindowError("'slide' must be at most 'size'", path, hint)
    if window.size_ms > MOST_WINDOWS * slide_ms:
        count = -(-window.size_ms // slide_ms)
        message = f"a row would be in {count:,} windows; at most {MOST_WINDOWS:,}"
        raise _WindowError(message, path, "a longer 'slide', or a shorter 'size'")
    if slide_ms == window.size_ms:
        return window
    return plan.Hopping(window.size_ms, slide_ms)
