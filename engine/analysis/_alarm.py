"""Verdicts on the windows of a key, in their order, become alerts: pure, and the same each time.

What has been told is remembered as long as late rows can change it. The alarms of a key are made
again from the last window that is final, and where they differ from what was told, that is told as
a correction: so what receivers know in the end is what they would have been told at once, had all
rows come in time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.alerts import LEVELS
from engine.analysis._steps import Steps

ALERT, RECOVERED, REPEAT, CORRECTION = "alert", "recovered", "repeat", "correction"


@dataclass(frozen=True)
class Silence:
    """When a key is missed.

    Args:
        windows: how many must be missing.
        steps: the windows.
        level: of the alarm.
        retire_us: how long it is known, from the start of its last window, in microseconds; None:
            for ever.
    """

    windows: int
    steps: Steps
    level: int
    retire_us: int | None = None


@dataclass(frozen=True)
class Alarm:
    """What is known of a check before anything is judged.

    Args:
        about: what the value of a verdict is, in words.
        repeat_us: after how long an alarm that goes on is told again; None: never.
        inhibitors: the checks, by their places, that silence it while they are critical.
        changes: so many within so long are flapping; None: never.
        message: see ``Rule``.
        silence: None where it is about windows that are there.
        each: whether each window is told for itself: there is nothing to recover from.
        stops: whether a run stops when it fails.
    """

    rule: str
    module: str
    field: str | None = None
    about: str | None = None
    silence: Silence | None = None
    repeat_us: int | None = None
    inhibitors: tuple[int, ...] = ()
    changes: int | None = None
    within_us: int = 0
    message: str | None = None
    each: bool = False
    stops: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a check says of a window.

    Args:
        met: bit 1, 2 and 3 for the levels whose conditions are met.
        leaves: the same, for those that may be left.
        text: what a user's class has said, as JSON.
    """

    met: int
    leaves: int
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    text: str | None = None


@dataclass
class State:
    """Of a check and a key, behind a window.

    Args:
        level: as the verdicts have it.
        told: as receivers have it: it stays behind while the check is inhibited or flapping.
        since: the start of the first window of this level, in microseconds.
        last: the window with which it was told last.
        changed: when the level has changed, as far back as flapping looks.
    """

    level: int = 0
    told: int = 0
    since: int | None = None
    last: int | None = None
    changed: list[int] = field(default_factory=list)

    @property
    def is_quiet(self) -> bool:
        return self.level == 0 and self.told == 0 and not self.changed

    def copy(self) -> State:
        return State(self.level, self.told, self.since, self.last, list(self.changed))


@dataclass
class Told:
    """What receivers were told about a window.

    Args:
        level: to which they were told that it goes; what it had been before.
        revision: how often the window was told before.
    """

    id: str
    level: int
    previous: int
    revision: int
    value: float | None = None


@dataclass
class Window:
    """A window of a key that may still be judged in another way.

    Args:
        start: in microseconds.
        verdicts: one for each check; None where it is not to be judged yet.
        told: by the place of the check.
    """

    start: int
    verdicts: Sequence[Verdict | None]
    told: dict[int, Told] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """An alert to be sent.

    Args:
        until: the start of the window with which its level was left, where that is known: it came
            late.
    """

    check: int
    window: Window
    kind: str
    told: Told
    since: int | None
    verdict: Verdict
    corrects: Told | None = None
    until: int | None = None


def with_silences(
    alarms: Sequence[Alarm],
    seen: int | None,
    windows: Sequence[Window],
    told: Mapping[int, dict[int, Told]],
    progress: int,
) -> list[Window]:
    """The windows of a key, and those that are missing where an alarm is about that.

    Args:
        seen: the start of its last window before these; None where there was none.
        told: about missing windows, by their start: rows of theirs may have come since then.
        progress: the latest event time.
    """
    found = {each.start: each for each in windows}
    starts = [*([seen] if seen is not None else []), *(each.start for each in windows)]
    for place, alarm in enumerate(alarms):
        if alarm.silence is None:
            continue
        silence = alarm.silence
        verdict = Verdict(1 << silence.level, 0)
        for start, following in zip(starts, [*starts[1:], None], strict=True):
            missing = silence.steps.later(start, silence.windows)
            is_over = silence.steps.end(missing) <= progress
            if is_over and (following is None or missing < following):
                found.setdefault(missing, Window(missing, [None] * len(alarms)))
                found[missing].verdicts = _put(found[missing].verdicts, place, verdict)
    for start, before in told.items():
        if start not in found:
            found[start] = Window(start, [None] * len(alarms))
        found[start].told = {**before, **found[start].told}
        for place in before:
            if found[start].verdicts[place] is None:
                there = Verdict(0, -1)  # it is no longer missing
                found[start].verdicts = _put(found[start].verdicts, place, there)
    return [found[start] for start in sorted(found)]


def _put(verdicts: Sequence[Verdict | None], place: int, verdict: Verdict) -> list[Verdict | None]:
    return [*verdicts[:place], verdict, *verdicts[place + 1 :]]


def leveled(current: int, verdict: Verdict) -> int:
    """The level behind a verdict: the highest that is met, unless the current one is not left."""
    highest = verdict.met.bit_length() - 1 if verdict.met else 0
    if highest >= current or (verdict.leaves >> current) & 1:
        return highest
    return current


@dataclass(frozen=True)
class Followed:
    """What follows from the windows of a key.

    Args:
        states: by the place of the check, behind the last window that is final; quiet ones are left
            out.
    """

    events: list[Event]
    states: dict[int, State]


def followed(
    alarms: Sequence[Alarm],
    series: str,
    states: Mapping[int, State],
    windows: Sequence[Window],
    final: int,
) -> Followed:
    """Goes through the windows of a key; takes note, in them, of what is told about each.

    Args:
        series: the key, as ids have it.
        states: by the place of the check, before the windows; those that are not there are quiet.
        windows: by their start.
        final: how many of them can no longer change.
    """
    now = {place: states.get(place, State()).copy() for place in range(len(alarms))}
    kept = now
    events: list[Event] = []
    changes: list[tuple[int, int]] = []
    for number, window in enumerate(windows):
        if number == final:
            kept = {place: state.copy() for place, state in now.items()}
        for place, alarm in enumerate(alarms):
            if alarm.each:
                now[place] = State()
        judged = [(place, each) for place, each in enumerate(window.verdicts) if each is not None]
        # All levels first: a check may silence one that stands before it.
        for place, verdict in judged:
            if _moved(alarms[place], now[place], window, verdict):
                changes.append((place, window.start))
        for place, verdict in judged:
            event = _step(place, alarms[place], series, now, window, verdict)
            if event is not None:
                events.append(event)
    return Followed(
        [replace(each, until=_until(each, changes)) for each in events],
        {
            place: state
            for place, state in kept.items()
            if not state.is_quiet and not alarms[place].each
        },
    )


def _until(event: Event, changes: Sequence[tuple[int, int]]) -> int | None:
    """When the level of an event was left again, where that is known already."""
    later = (start for place, start in changes if place == event.check)
    return next((start for start in later if start > event.window.start), None)


def _moved(alarm: Alarm, state: State, window: Window, verdict: Verdict) -> bool:
    """Takes the state behind a window; gives whether its level has changed."""
    level = leveled(state.level, verdict)
    has_changed = level != state.level
    if has_changed:
        state.level, state.since = level, window.start
    if alarm.changes is not None:
        changed = [*state.changed, *([window.start] if has_changed else [])]
        state.changed = [each for each in changed if each > window.start - alarm.within_us]
    return has_changed


def _step(
    place: int,
    alarm: Alarm,
    series: str,
    states: Mapping[int, State],
    window: Window,
    verdict: Verdict,
) -> Event | None:
    """What is to be told of a check at a window, if anything."""
    state, highest = states[place], len(LEVELS) - 1
    is_silent = any(states[each].level == highest for each in alarm.inhibitors)
    is_silent |= alarm.changes is not None and len(state.changed) >= alarm.changes
    before, was = window.told.get(place), state.told
    goes = was if is_silent else state.level
    if before is not None:
        return _corrected(place, alarm, series, state, window, verdict, goes)
    if goes == was and not _is_due(alarm, state, window.start, is_silent):
        return None
    kind = REPEAT if goes == was else ALERT if goes else RECOVERED
    told = Told(_id(alarm, series, window.start, goes, 0), goes, was, 0, verdict.value)
    return _tell(place, state, window, verdict, kind, told)


def _corrected(
    place: int,
    alarm: Alarm,
    series: str,
    state: State,
    window: Window,
    verdict: Verdict,
    goes: int,
) -> Event | None:
    before = window.told[place]
    if before.level == goes:
        state.told, state.last = goes, window.start
        return None
    revision = before.revision + 1
    identity = _id(alarm, series, window.start, goes, revision)
    told = Told(identity, goes, before.level, revision, verdict.value)
    return _tell(place, state, window, verdict, CORRECTION, told, before)


def _tell(
    place: int,
    state: State,
    window: Window,
    verdict: Verdict,
    kind: str,
    told: Told,
    corrects: Told | None = None,
) -> Event:
    state.told, state.last = told.level, window.start
    window.told[place] = told
    return Event(place, window, kind, told, state.since, verdict, corrects)


def _is_due(alarm: Alarm, state: State, start: int, is_silent: bool) -> bool:
    """Whether an alarm that goes on is to be told again."""
    if alarm.repeat_us is None or not state.told or is_silent or state.last is None:
        return False
    return start - state.last >= alarm.repeat_us


def _id(alarm: Alarm, series: str, start: int, level: int, revision: int) -> str:
    told = "\0".join([alarm.rule, alarm.field or "", series, str(start), LEVELS[level]])
    return hashlib.sha256(f"{told}\0{revision}".encode()).hexdigest()[:16]


def stored(values: dict[int, Any]) -> dict[str, Any]:
    """States, or what was told, by check: plain values for JSON."""
    return {str(place): asdict(each) for place, each in values.items()}
