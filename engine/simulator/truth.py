"""Turns the first rows of a sequence into the window results that an engine should find in them."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from engine.simulator.sensors import Sensors

#: Bounds of the two conditional counts: rotation_speed below the first, above the second.
SLOW, FAST = 1000, 4000


def truth(rows: Sensors, count: int, window_seconds: int = 10) -> dict[str, Any]:
    """Exact results of the first `count` rows by tumbling window, sensor and type.

    Late rows are in the windows that they belong to: an engine that refuses some has found less,
    by these rows. Malformed ones are in no window. All values are whole, so sums are exact.

    Args:
        rows: the sequence.
        count: how many of its rows were sent.
        window_seconds: the windows' size; they are aligned to the epoch.

    Returns:
        `rows`, `malformed`, `window_seconds`, and `windows`: a list by window, sensor and type.
    """
    windows: dict[tuple[int, int, str], list[Any]] = {}
    malformed = count
    for second, sensor, type, _, _, speed, _ in rows.well_formed(count):
        malformed -= 1
        key = (second - second % window_seconds, sensor, type)
        _add(windows.setdefault(key, [0, speed, speed, 0.0, 0, 0]), speed)
    return {
        "rows": count,
        "malformed": malformed,
        "window_seconds": window_seconds,
        "windows": [
            _window(key, measures, window_seconds) for key, measures in sorted(windows.items())
        ],
    }


def _add(measures: list[Any], speed: float) -> None:
    measures[0] += 1
    measures[1] = min(measures[1], speed)
    measures[2] = max(measures[2], speed)
    measures[3] += speed
    measures[4] += speed < SLOW
    measures[5] += speed > FAST


def _window(key: tuple[int, int, str], measures: list[Any], size: int) -> dict[str, Any]:
    start, sensor, type = key
    counter, least, most, total, slow, fast = measures
    return {
        "window_start": iso(start),
        "window_end": iso(start + size),
        "sensor_id": sensor,
        "sensor_type": type,
        "counter": counter,
        "rpm_min": least,
        "rpm_max": most,
        "rpm_sum": total,
        "speed_lt": slow,
        "speed_gt": fast,
    }


def iso(second: int) -> str:
    """Epoch seconds as ISO 8601, in UTC with milliseconds."""
    return datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
