"""A config becomes what a checkpoint keeps of it, to tell later whether another one can go on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from engine import plan
from engine.config.durations import readable
from engine.explain import text
from engine.fusion import parted, parts, state, units
from engine.fusion import text as exact

#: What is kept of open windows: Spark's state, and the rows of sessions, each in its own form.
STATES = STATE, SESSIONS = "state", "sessions"

#: How states stand in a checkpoint: another number for an engine that would not read them right.
LAYOUT = 2

#: A config as ``fingerprint`` describes it.
Fingerprint: TypeAlias = Mapping[str, Any]


def fingerprint(query: plan.Query) -> dict[str, Any]:
    """What a checkpoint keeps of a config, secrets left out: plain values, to be kept as JSON."""
    fused = units(query.aggregations)
    stateful, sessions = parted(fused)
    unit_of = {each.name: unit for unit in fused for each in unit.members}
    return {
        "layout": LAYOUT,
        STATE: {
            **state(stateful),
            "gone": [],
            "deduplicate": _deduplicate(query.deduplicate),
        },
        SESSIONS: {**state(sessions), "gone": []},
        "input": {"input_type": query.input.method, **_options(query.input.source)},
        "config": dict(_config(query)),
        "aggregations": {
            each.name: {
                "unit": str(unit_of[each.name].id),
                "window": str(each.window),
                "key": ", ".join(sorted(f"{key.name} ({key.type})" for key in each.keys)) or "none",
                "where": text(each.where) if each.where is not None else "none",
                "fill": each.fill,
                "measures": {rule.name: _measure(rule) for rule in each.measures},
            }
            for each in query.aggregations
        },
        "outputs": {
            each.name: {"options": _options(each.target), "streams": sorted(each.streams)}
            for each in query.outputs
        },
    }


def _options(section: Any) -> dict[str, str]:
    found = {name: str(value) for name, value in section.described().items()}
    if "path" in found:  # `described` has its last name only, the same in every folder
        found["path"] = section.path if "://" in section.path else os.path.abspath(section.path)
    return found


def _config(query: plan.Query) -> Iterator[tuple[str, str]]:
    """What else makes rows what they are, in a user's words."""
    yield "the config's name", query.name
    yield "format", query.input.format
    yield "sep", query.input.sep
    yield "event_time", query.event_time.name if query.event_time else "none"
    yield "time_zone", query.time_zone
    yield "allowed_lateness", readable(query.allowed_lateness_ms)
    yield "max_future", readable(query.max_future_ms) if query.max_future_ms else "none"
    yield "modules", ", ".join(query.modules) or "none"
    for each in query.input.fields:
        place = f"column {each.index}" if each.index is not None else ".".join(each.path)
        written = f", {each.format}" if each.format else ""
        yield f"field '{each.name}'", f"{each.type} in {place or each.name}{written}"
    for rule in query.rules:
        yield f"rule '{rule.name}'", text(rule.expression)
    for table in query.tables:
        by = f"{table.key} ({table.key_type})" if table.key else "address"
        yield f"table '{table.name}'", f"{os.path.abspath(table.path)} by {by}"
    # Rules name fields: in another order they mean the same, unless one hides a field.
    if {rule.name for rule in query.rules} & {each.name for each in query.input.fields}:
        yield "the order of the rules", ", ".join(rule.name for rule in query.rules)


def _deduplicate(deduplicate: plan.Deduplicate | None) -> dict[str, str] | None:
    if deduplicate is None:
        return None
    by = sorted(f"{each.name} ({each.type})" for each in deduplicate.by)
    return {"by": ", ".join(by), "within": readable(deduplicate.within_ms)}


def _measure(rule: plan.Rule) -> dict[str, Any]:
    nodes = plan.walk(rule.expression)
    kept = {
        exact(part) for each in nodes if isinstance(each, plan.Aggregate) for part in parts(each)
    }
    return {
        "text": text(rule.expression),
        "exact": exact(rule.expression),
        "kept": sorted(kept),
    }


def going_on(held: Fingerprint, wanted: Fingerprint) -> dict[str, Any]:
    """What the checkpoint keeps of ``wanted`` from here on, with the groupings that it once had."""
    found = dict(wanted)
    for part in STATES:
        before, now = held[part], wanted[part]
        gone = {*before["gone"], *before["units"]} - {*now["units"]}
        found[part] = {**now, "gone": sorted(gone)}
    return found
