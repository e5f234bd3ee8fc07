"""The aggregations of a query become one grouping: its units, their keys, and shared slots.

Aggregations with the same window, keys and condition are one *unit*: their measures stand side by
side in one group. Several units share one stateful operator: each row is exploded into a row for
each unit that takes it, and the unit is a part of the group's key. The aggregates of different
units share *slots*: ``max`` of a double in one unit and in another are one column of the state.
Sessions cannot be in it: their units are a grouping of their own, over rows that are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from engine import plan
from engine.declare import Derived
from engine.types import Type


@dataclass(frozen=True)
class Slot:
    """One aggregate of the grouping: which aggregation of which types; ``nth`` of its kind."""

    aggregate: str
    types: tuple[Type, ...]
    nth: int


@dataclass(frozen=True)
class Unit:
    """Aggregations of one window, one key and one condition.

    ``id`` comes from what the unit is, not from its place, so that the state of other units stays
    right when the config changes.
    """

    window: plan.Window
    keys: tuple[plan.Reference, ...]
    where: plan.Expression | None
    members: tuple[plan.Aggregation, ...]

    @property
    def is_session(self) -> bool:
        return isinstance(self.window, plan.Session)

    @cached_property
    def id(self) -> int:
        told = f"{self.window} {self.keys} {text(self.where) if self.where else ''}"
        return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "big", signed=True)

    @cached_property
    def aggregates(self) -> tuple[plan.Aggregate, ...]:
        """What is aggregated, each once, in an order that does not depend on the config's."""
        return _each_once(
            part
            for member in self.members
            for measure in member.measures
            for node in plan.walk(measure.expression)
            if isinstance(node, plan.Aggregate)
            for part in parts(node)
        )

    @cached_property
    def carried(self) -> tuple[plan.Aggregate, ...]:
        """Those of its aggregates that a window hands on to the next one of its key."""
        return _each_once(parts(each)[0] for member in self.members for each in derived(member))


def derived(member: plan.Aggregation) -> tuple[plan.Aggregate, ...]:
    """The aggregates of an aggregation that need the window before, each once."""
    return _each_once(
        node for measure in member.measures for node in plan.derived(measure.expression)
    )


def parts(aggregate: plan.Aggregate) -> tuple[plan.Aggregate, ...]:
    """What a window keeps for an aggregate: itself, or the parts of a derived one, the last value
    first."""
    if not isinstance(aggregate.aggregation, Derived):
        return (aggregate,)
    types = [each.type for each in aggregate.arguments]
    return tuple(
        plan.Aggregate(each, aggregate.arguments, each.type_of(types))
        for each in aggregate.aggregation.parts
    )


def _each_once(aggregates: Iterable[plan.Aggregate]) -> tuple[plan.Aggregate, ...]:
    # By text, because the hash of a long chain would recurse.
    found = {text(each): each for each in aggregates}
    return tuple(found[each] for each in sorted(found))


def units(aggregations: Iterable[plan.Aggregation]) -> tuple[Unit, ...]:
    """The units, in an order that does not depend on the config's, those of sessions behind."""
    groups: dict[str, list[plan.Aggregation]] = {}
    for each in aggregations:
        keys = tuple(sorted(each.keys, key=lambda key: key.name))
        condition = text(each.where) if each.where is not None else ""
        groups.setdefault(f"{each.window} {keys} {condition}", []).append(each)
    found = []
    for members in groups.values():
        first = members[0]
        keys = tuple(sorted(first.keys, key=lambda key: key.name))
        found.append(Unit(first.window, keys, first.where, tuple(members)))
    return tuple(sorted(found, key=lambda unit: (unit.is_session, unit.id)))


def parted(fused: Sequence[Unit]) -> tuple[list[Unit], list[Unit]]:
    """The units whose windows are in Spark's state, and those of sessions."""
    stateful = [each for each in fused if not each.is_session]
    return stateful, [each for each in fused if each.is_session]


def slots(unit: Unit) -> dict[str, tuple[plan.Aggregate, Slot]]:
    """A unit's aggregates with the slot of each, by their text."""
    counts: dict[tuple[str, tuple[Type, ...]], int] = {}
    found = {}
    for aggregate in unit.aggregates:
        types = tuple(each.type for each in aggregate.arguments)
        constants = [
            str(each.value)
            for index, each in enumerate(aggregate.arguments)
            if isinstance(each, plan.Literal)
            and aggregate.aggregation.parameter(index).kind.constant
        ]
        kind = " ".join([aggregate.aggregation.name, *constants])
        nth = counts[(kind, types)] = counts.get((kind, types), -1) + 1
        found[text(aggregate)] = aggregate, Slot(kind, types, nth)
    return found


def shared_slots(fused: Iterable[Unit]) -> list[Slot]:
    """The slots of all units: the columns of the state."""
    found = {slot for unit in fused for _, slot in slots(unit).values()}
    return sorted(
        found, key=lambda slot: (slot.aggregate, [str(of) for of in slot.types], slot.nth)
    )


def remembered_ms(deduplicate: plan.Deduplicate, fused: Iterable[Unit]) -> int:
    """How long after the end of its window a row must be known, that none near it in time is taken
    for new: as long as windows that may have one are open."""
    return max(_remembered_ms(deduplicate.within_ms, unit.window) for unit in fused)


def _remembered_ms(within_ms: int, window: plan.Window) -> int:
    match window:
        case plan.Tumbling(size_ms):
            return -(-within_ms // size_ms) * size_ms
        case plan.Hopping():
            return 0  # each window has its own
        case plan.Calendar(count, unit):
            # And a day more, for what zones do to their clocks.
            days = count * {"day": 1, "week": 7, "month": 31}[unit] + 1
            return within_ms + days * 86_400_000
        case plan.Session():
            raise AssertionError("sessions have no windows that could be known before they end")


def key_types(fused: Sequence[Unit]) -> list[Type]:
    """The types of the key's columns: as many of a type as the unit with most of it has."""
    found: list[Type] = []
    for of in Type:
        found += [of] * max(sum(key.type is of for key in unit.keys) for unit in fused)
    return found


def state(fused: Sequence[Unit]) -> dict[str, Any]:
    """What the state of these units holds, and where: the columns of its key and its slots, which
    Spark knows by their places alone, and the slot of each unit's aggregates. Plain values, to be
    kept as JSON. Of sessions, the same of the rows that are kept: the slots' arguments."""
    places = shared_slots(fused)
    types = key_types(fused) if fused else []
    return {
        "key": [*(["unit"] if len(fused) > 1 else []), *map(str, types)],
        "slots": [f"{each.aggregate}({', '.join(map(str, each.types))})" for each in places],
        "units": {
            str(unit.id): {
                "slots": {each: places.index(slot) for each, (_, slot) in slots(unit).items()},
                "carried": [text(each) for each in unit.carried],
            }
            for unit in fused
        },
    }


def text(expression: plan.Expression) -> str:
    """An expression as a call; the same text for the same expression. Used to sort and compare."""
    done: dict[int, str] = {}
    waiting = [(expression, False)]
    while waiting:
        node, ready = waiting.pop()
        match node:
            case plan.Literal(value, of):
                done[id(node)] = f"{value!r}:{of}"
            case plan.Reference(name, of):
                done[id(node)] = f"{name}:{of}"
            case _ if not ready:
                waiting.append((node, True))
                waiting.extend((each, False) for each in node.arguments)
            case _:
                name = node.operation.name if isinstance(node, plan.Call) else node.aggregation.name
                done[id(node)] = f"{name}({', '.join(done[id(each)] for each in node.arguments)})"
    return done[id(expression)]
