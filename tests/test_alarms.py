"""What follows from verdicts: levels, changes, repeats, silence and corrections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.alerts import LEVELS
from engine.analysis._alarm import Alarm, Event, State, Verdict, Window, followed

SECOND = 1_000_000
ALARM = Alarm("r", "Threshold", "v")
#: Level -> (its limit, the limit below which it is left).
LIMITS = {1: (60, 50), 2: (70, 60), 3: (80, 70)}


def verdict(value: float, resets: bool = True) -> Verdict:
    """Of a threshold with these limits, each level with a reset or without."""
    met = sum(1 << level for level, (limit, _) in LIMITS.items() if value > limit)
    left = {level: value < reset if resets else value <= limit
            for level, (limit, reset) in LIMITS.items()}  # fmt: skip
    return Verdict(met, sum(1 << level for level, is_left in left.items() if is_left), value)


def windows(values: Sequence[float | None], resets: bool = True) -> list[Window]:
    return [
        Window(place * 10 * SECOND, [None if value is None else verdict(value, resets)])
        for place, value in enumerate(values)
    ]


def told(events: Sequence[Event]) -> list[tuple[int, str, str]]:
    """(the window's place, what is told, the level)."""
    return [
        (each.window.start // (10 * SECOND), each.kind, LEVELS[each.told.level]) for each in events
    ]


def run(alarm: Alarm, values: Sequence[float | None], **more: Any) -> list[tuple[int, str, str]]:
    return told(followed([alarm], "k", {}, windows(values, **more), 0).events)


SEQUENCES: dict[str, tuple[list[float | None], bool, list[tuple[int, str, str]]]] = {
    "levels that are left by their resets": (
        [61, 73, 64, 85, 62, 56, 47],
        True,
        [
            (0, "alert", "info"),
            (1, "alert", "warn"),
            (3, "alert", "crit"),
            (4, "alert", "info"),
            (6, "recovered", "ok"),
        ],
    ),
    "the same values without resets": (
        [61, 73, 64, 85, 62, 56, 47],
        False,
        [
            (0, "alert", "info"),
            (1, "alert", "warn"),
            (2, "alert", "info"),
            (3, "alert", "crit"),
            (4, "alert", "info"),
            (5, "recovered", "ok"),
        ],
    ),
    "from critical to nothing at once": (
        [85, 10],
        True,
        [(0, "alert", "crit"), (1, "recovered", "ok")],
    ),
    "nothing is told of what stays as it is": ([10, 20, 30], True, []),
    "a window that is not judged changes nothing": (
        [85, None, 85, None],
        True,
        [(0, "alert", "crit")],
    ),
    "on a limit it is not above it": ([60, 50], True, []),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence(name: str) -> None:
    values, resets, expected = SEQUENCES[name]
    assert run(ALARM, values, resets=resets) == expected


def test_the_example_level_by_level() -> None:
    level, levels = 0, []
    for value in (61, 73, 64, 85, 62, 56, 47):
        state = State(level=level)
        one = Window(0, [verdict(value)])
        found = followed([ALARM], "k", {0: state}, [one], 1)
        level = found.states[0].level if found.states else 0
        levels.append(LEVELS[level])
    assert levels == ["info", "warn", "warn", "crit", "info", "info", "ok"]


def test_a_condition_that_is_not_known_leaves_the_level() -> None:
    unknown = Verdict(0, 0)
    one, two = Window(0, [verdict(85)]), Window(10 * SECOND, [unknown])
    found = followed([ALARM], "k", {}, [one, two], 2)
    assert told(found.events) == [(0, "alert", "crit")]
    assert found.states[0].level == 3


def test_an_alarm_that_goes_on_is_repeated() -> None:
    alarm = Alarm("r", "Threshold", "v", repeat_us=20 * SECOND)
    assert run(alarm, [85, 85, 85, 85, 40, 40, 40]) == [
        (0, "alert", "crit"),
        (2, "repeat", "crit"),
        (4, "recovered", "ok"),
    ]


def test_another_level_begins_the_time_of_repeats_anew() -> None:
    alarm = Alarm("r", "Threshold", "v", repeat_us=20 * SECOND)
    assert run(alarm, [75, 85, 85, 85]) == [
        (0, "alert", "warn"),
        (1, "alert", "crit"),
        (3, "repeat", "crit"),
    ]


def test_changes_that_are_too_many_are_not_told_until_it_is_quiet() -> None:
    alarm = Alarm("r", "Threshold", "v", changes=3, within_us=50 * SECOND)
    values: list[float | None] = [85, 40, 85, 40, 85, 85, 85, 85, 85, 85]
    # The third change within 50 seconds is not told, nor are those behind it; from the eighth
    # window on two are left in that time, and what it has come to is told.
    assert run(alarm, values) == [
        (0, "alert", "crit"),
        (1, "recovered", "ok"),
        (7, "alert", "crit"),
    ]


def inhibited(first: Sequence[float], second: Sequence[float]) -> list[tuple[int, str, str]]:
    """Of the second check, which the first one silences; and stands behind it."""
    alarms = [Alarm("b", "Threshold", "v", inhibitors=(1,)), Alarm("a", "Threshold", "v")]
    both = [
        Window(place * 10 * SECOND, [verdict(b), verdict(a)])
        for place, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    events = followed(alarms, "k", {}, both, 0).events
    return told([each for each in events if each.check == 0])


def test_a_critical_rule_silences_another_one() -> None:
    assert inhibited([85, 85, 85], [85, 40, 85]) == []
    assert inhibited([75, 75, 75], [85, 40, 85]) == [
        (0, "alert", "crit"),
        (1, "recovered", "ok"),
        (2, "alert", "crit"),
    ]


def test_what_is_still_alarming_when_the_silence_ends_is_told() -> None:
    assert inhibited([85, 85, 40], [85, 85, 85]) == [(2, "alert", "crit")]


def test_an_alarm_that_recovers_in_the_silence_is_told_as_recovered_behind_it() -> None:
    assert inhibited([40, 85, 40], [85, 40, 40]) == [(0, "alert", "crit"), (2, "recovered", "ok")]


def corrected(before: Sequence[float], after: Sequence[float]) -> list[Event]:
    """What is told once rows that came late have changed the windows."""
    first = windows(before)
    followed([ALARM], "k", {}, first, 0)
    second = windows(after)
    for old, new in zip(first, second, strict=False):
        new.told = old.told
    return followed([ALARM], "k", {}, second, 0).events


def test_an_alarm_is_taken_back() -> None:
    (event,) = corrected([85, 40], [40, 40])
    assert told([event]) == [(0, "correction", "ok")]
    assert event.corrects is not None
    assert (event.corrects.level, event.corrects.value) == (3, 85)
    assert (event.told.revision, event.verdict.value) == (1, 40)
    assert event.told.id != event.corrects.id


def test_an_alarm_that_is_taken_back_is_not_told_as_recovered() -> None:
    # The window behind it was told as recovered already; that stands, and says nothing new.
    assert told(corrected([85, 40, 40], [40, 40, 40])) == [(0, "correction", "ok")]


def test_a_late_row_causes_an_alarm_that_is_over() -> None:
    events = corrected([40, 40, 40], [40, 85, 40])
    assert told(events) == [(1, "alert", "crit"), (2, "recovered", "ok")]
    assert events[0].until == 20 * SECOND


def test_the_alarm_moves_to_the_window_where_it_really_began() -> None:
    assert told(corrected([85, 85, 40], [40, 85, 40])) == [
        (0, "correction", "ok"),
        (1, "alert", "crit"),
    ]


def test_a_repeat_is_taken_back_too() -> None:
    alarm = Alarm("r", "Threshold", "v", repeat_us=20 * SECOND)
    first = windows([85, 85, 85])
    assert told(followed([alarm], "k", {}, first, 0).events)[-1] == (2, "repeat", "crit")
    second = windows([85, 40, 40])
    for old, new in zip(first, second, strict=True):
        new.told = old.told
    assert told(followed([alarm], "k", {}, second, 0).events) == [
        (1, "recovered", "ok"),
        (2, "correction", "ok"),
    ]


def test_another_value_of_the_same_level_is_no_news() -> None:
    assert corrected([85, 40], [95, 40]) == []


def test_what_was_corrected_can_be_corrected_again() -> None:
    revisions = []
    now = windows([85])
    followed([ALARM], "k", {}, now, 0)
    for value in (40, 85, 75):
        (after,) = windows([value])
        after.told = now[0].told
        now = [after]
        (event,) = followed([ALARM], "k", {}, now, 0).events
        revisions.append((event.kind, LEVELS[event.told.level], event.told.revision))
    assert revisions == [
        ("correction", "ok", 1),
        ("correction", "crit", 2),
        ("correction", "warn", 3),
    ]


VALUES = st.lists(st.sampled_from([40.0, 55, 65, 75, 85]), min_size=1, max_size=8)
ALARMS = st.sampled_from(
    [
        ALARM,
        Alarm("r", "Threshold", "v", repeat_us=20 * SECOND),
        Alarm("r", "Threshold", "v", changes=3, within_us=40 * SECOND),
    ]
)


@settings(max_examples=500, deadline=None)
@given(ALARMS, VALUES, st.data())
def test_in_the_end_receivers_know_what_they_would_have_known_at_once(
    alarm: Alarm, values: list[float], data: Any
) -> None:
    """Windows come one by one, are changed while they may be, and become final: the last thing
    that was told of each, in the windows' order, gives the levels of a run that knew all at once.
    """
    known: list[Window] = []
    states: dict[int, State] = {}
    heard: dict[int, int] = {}  # the window's start -> the level that was told last
    finals: list[float] = []
    ids: set[str] = set()
    for place in range(len(values)):
        known.append(Window(place * 10 * SECOND, [verdict(values[place])]))
        if data.draw(st.booleans()):
            changed = data.draw(st.sampled_from(known))
            changed.verdicts = [verdict(data.draw(st.sampled_from([40.0, 65, 75, 85])))]
        final = data.draw(st.integers(0, len(known)))
        found = followed([alarm], "k", states, known, final)
        for event in found.events:
            heard[event.window.start] = event.told.level
            assert event.told.id not in ids
            ids.add(event.told.id)
        if final:
            states = found.states
            finals += [each.verdicts[0].value for each in known[:final]]  # type: ignore[union-attr]
            known = known[final:]
    finals += [each.verdicts[0].value for each in known]  # type: ignore[union-attr]
    at_once = {
        each.window.start: each.told.level
        for each in followed([alarm], "k", {}, windows(finals), 0).events
    }
    last_heard = last_known = 0
    for place in range(len(finals)):
        last_heard = heard.get(place * 10 * SECOND, last_heard)
        last_known = at_once.get(place * 10 * SECOND, last_known)
        assert last_heard == last_known, place
