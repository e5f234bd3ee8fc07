"""An event of a key becomes an alert as receivers see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engine.alerts import LEVELS, Alert
from engine.analysis._alarm import Alarm, Event
from engine.template import filled


def alert(
    alarm: Alarm,
    event: Event,
    *,
    aggregation: str,
    keys: Mapping[str, Any],
    series: str,
    measures: Mapping[str, Any],
    start: str,
    end: str,
    since: str | None,
    until: str | None,
) -> dict[str, Any]:
    """The alert; see ``engine.alerts.Alert``."""
    told, verdict = event.told, event.verdict
    values = list(keys.values())
    found: dict[str, Any] = {
        "id": told.id,
        "kind": event.kind,
        "AnalysisModule": alarm.rule,
        "module": alarm.module,
        "level": LEVELS[told.level],
        "previous": LEVELS[told.previous],
        "aggregation": aggregation,
        "timestamp": start,
        "window_start": start,
        "window_end": end,
        "since": since,
        "until": until,
        "keys": dict(keys),
        "series": series,
        "param": {
            "key": values[0] if len(values) == 1 else values or None,
            "field": alarm.field,
            "lower_bound": verdict.lower,
            "upper_bound": verdict.upper,
            "value": verdict.value,
        },
        "measures": dict(measures),
        "revision": told.revision,
        "corrects": event.corrects.id if event.corrects is not None else None,
        "corrected_value": event.corrects.value if event.corrects is not None else None,
    }
    found["message"] = _sentence(alarm, found)
    if said := json.loads(verdict.text or "{}").get("messages"):
        found["messages"] = said
        found["message"] = "; ".join(
            each if isinstance(each, str) else json.dumps(each) for each in said
        )
    if alarm.message is not None:
        found["message"] = filled(alarm.message, found)
    return found


def _sentence(alarm: Alarm, told: Alert) -> str:
    """What happened, in words."""
    of = ", ".join(f"{name} {value}" for name, value in told["keys"].items())
    parts = [alarm.rule, *([of] if of else [])]
    return (
        f"{': '.join(parts)}: {_verb(told)}{_numbers(alarm, told['param'])}{_silence(alarm, told)}"
    )


def _verb(told: Alert) -> str:
    level, previous = told["level"], told["previous"]
    match told["kind"]:
        case "correction" if level == "ok":
            return f"no longer {previous}, by rows that came later"
        case "correction":
            return f"{level} and not {previous}, by rows that came later"
        case "recovered":
            return f"recovered from {previous}"
        case "repeat":
            return f"still {level}"
    return str(level)


def _silence(alarm: Alarm, told: Alert) -> str:
    if alarm.silence is None or told["level"] == "ok":
        return ""
    count = alarm.silence.windows
    return f"; no rows in {count} window{'' if count == 1 else 's'}"


def _numbers(alarm: Alarm, param: Mapping[str, Any]) -> str:
    if alarm.about is None or param["value"] is None:
        return ""
    lower, upper = param["lower_bound"], param["upper_bound"]
    text = f"; {alarm.about} is {_number(param['value'])}"
    match lower, upper:
        case None, None:
            return text
        case None, _:
            return f"{text}, the limit {_number(upper)}"
        case _, None:
            return f"{text}, the limit {_number(lower)}"
    return f"{text}, the band {_number(lower)} to {_number(upper)}"


def _number(value: float) -> str:
    return f"{value:.6g}"
