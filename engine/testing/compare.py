"""Rows that are expected against those that came: what is missing, too much, or differs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """A row that is not as it should be.

    Args:
        expected: None where nothing was.
        found: None where nothing came.
        place: of the expected row among those of its stream.
    """

    expected: Row | None
    found: Row | None
    place: int | None = None

    @property
    def columns(self) -> list[str]:
        """Those that differ, where something came in the place of something else."""
        if self.expected is None or self.found is None:
            return []
        return [n for n in self.expected if not _equal(self.expected[n], self.found.get(n), 0)]


def differences(
    expected: Sequence[Row], found: Sequence[Row], tolerance: float
) -> list[Difference]:
    """What is not as expected; the order of rows does not matter.

    A row is compared by the columns that are expected of it. What is missing stands beside what it
    is likest to, where they have something in common.
    """
    left = list(found)
    missing: list[tuple[int, Row]] = []
    # Rows of which much is said first: one of which little is said may be any of several.
    for place, row in sorted(enumerate(expected), key=lambda each: -len(each[1])):
        match = next((each for each in left if _fits(row, each, tolerance)), None)
        if match is None:
            missing.append((place, row))
        else:
            left.remove(match)
    result = []
    for place, row in sorted(missing):
        likest = max(left, key=lambda each: _common(row, each, tolerance), default=None)
        if likest is not None and _common(row, likest, tolerance):
            left.remove(likest)
            result.append(Difference(row, likest, place))
        else:
            result.append(Difference(row, None, place))
    return [*result, *(Difference(None, row) for row in left)]


def _fits(expected: Row, found: Row, tolerance: float) -> bool:
    return all(_equal(value, found.get(name), tolerance) for name, value in expected.items()) and (
        "retracted" in found
    ) == bool(expected.get("retracted"))


def _common(expected: Row, found: Row, tolerance: float) -> int:
    return sum(_equal(value, found.get(name), tolerance) for name, value in expected.items())


def _equal(expected: Any, found: Any, tolerance: float) -> bool:
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return expected == found or math.isclose(
            expected, found, rel_tol=tolerance, abs_tol=tolerance
        )
    if isinstance(expected, str) and isinstance(found, str) and expected != found:
        one, other = _time(expected), _time(found)
        return one is not None and one == other
    return bool(expected == found)


def _time(text: str) -> datetime | None:
    """A moment in any way that ISO 8601 writes it; without a zone in UTC."""
    if len(text) < 10 or text[4] != "-":
        return None
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)
