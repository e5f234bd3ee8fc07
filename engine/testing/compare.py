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
        columns: those that differ, where something came in the place of something else.
    """

    expected: Row | None
    found: Row | None
    place: int | None = None
    columns: tuple[str, ...] = ()


def differences(
    expected: Sequence[Row], found: Sequence[Row], tolerance: float, exact: bool = False
) -> list[Difference]:
    """What is not as expected; the order of rows does not matter.

    A row is compared by the columns that are expected of it. What is missing stands beside what it
    is likest to, where they have something in common.

    Args:
        tolerance: by how much of itself a number may be off.
        exact: a row has no columns but those that are expected, ours (``_…``) aside.
    """
    left = list(found)
    missing: list[tuple[int, Row]] = []
    # Rows of which much is said first: one of which little is said may be any of several.
    for place, row in sorted(enumerate(expected), key=lambda each: -len(each[1])):
        match = next((each for each in left if not _off(row, each, tolerance, exact)), None)
        if match is None:
            missing.append((place, row))
        else:
            left.remove(match)
    result = []
    for place, row in sorted(missing):
        likest = max(left, key=lambda each: _common(row, each, tolerance), default=None)
        if likest is not None and _common(row, likest, tolerance):
            left.remove(likest)
            columns = _off(row, likest, tolerance, exact)
            result.append(Difference(row, likest, place, columns))
        else:
            result.append(Difference(row, None, place))
    return [*result, *(Difference(None, row) for row in left)]


def _off(expected: Row, found: Row, tolerance: float, exact: bool) -> tuple[str, ...]:
    """The columns by which a row is not the expected one."""
    wanted, there = {"retracted": False, **expected}, {"retracted": False, **found}
    more = [name for name in there if exact and name not in wanted and not name.startswith("_")]
    differ = [name for name in wanted if not _equal(wanted[name], there.get(name), tolerance)]
    return (*differ, *more)


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
        one, other = moment(expected), moment(found)
        return one is not None and one == other
    return bool(expected == found)


def moment(text: str) -> datetime | None:
    """A moment in any way that ISO 8601 writes it; without a zone in UTC."""
    if len(text) < 10 or text[4] != "-":
        return None
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)
