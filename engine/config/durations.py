"""A duration with its unit ("10 seconds", "2 days") becomes milliseconds."""

from __future__ import annotations

import re
from fractions import Fraction

UNITS_MS = {
    "millisecond": 1,
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "week": 604_800_000,
}
#: 10,000 years: what a timestamp can hold with room to spare.
MOST_MS = 10_000 * 366 * 86_400_000

PATTERN = r"^\s*\d+(\.\d+)?\s*(" + "|".join(UNITS_MS) + r")s?\s*$"
#: Units that may be those of a calendar; a month is of no fixed time.
CALENDAR_UNITS = ("day", "week", "month")
#: What the size of a window may be.
WINDOW_PATTERN = r"^\s*\d+(\.\d+)?\s*(" + "|".join([*UNITS_MS, "month"]) + r")s?\s*$"


def parts(text: str) -> tuple[Fraction, str]:
    """A number and its unit, months among the units.

    Raises:
        ValueError: the text is no duration, and no number of months.

    Example:
        >>> parts("3 months")
        (Fraction(3, 1), 'month')
    """
    found = re.match(WINDOW_PATTERN, text)
    number = re.match(r"\s*([\d.]+)", text)
    if found is None or number is None:
        raise ValueError(f"'{text}' is no duration")
    return Fraction(number.group(1)), found.group(2)


def milliseconds(text: str) -> int:
    """The duration in milliseconds, rounded to a whole one.

    Raises:
        ValueError: the text is no duration.

    Example:
        >>> milliseconds("1.5 minutes")
        90000
    """
    number, unit = parts(text)
    if unit not in UNITS_MS:
        raise ValueError(f"'{text}' is no fixed time")
    return min(round(number * UNITS_MS[unit]), MOST_MS)


def readable(ms: int) -> str:
    """A duration as a user would write it.

    Example:
        >>> readable(90000)
        '90 seconds'
    """
    for unit, size in sorted(UNITS_MS.items(), key=lambda item: -item[1]):
        if ms and ms % size == 0:
            count = ms // size
            return f"{count} {unit}" + ("" if count == 1 else "s")
    return "0 seconds"
