"""The verdicts of the keys become alerts, and what the next batch needs, in one pass.

Few keys are alarming at a time: what is quiet stays in Arrow, and no Python looks at it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame

from engine.analysis._alarm import (
    Alarm,
    Event,
    Silence,
    State,
    Told,
    Verdict,
    Window,
    followed,
    stored,
    with_silences,
)
from engine.analysis._told import alert
from engine.outputs import OutputError, Stream
from engine.plan import WINDOW_END, WINDOW_START
from engine.spark.arrow import map_in_arrow
from engine.spark.judging import (
    ALERT,
    FAILED,
    KIND,
    MISSING,
    STATE,
    TEXT,
    VERDICTS,
    WINDOW,
    Judging,
)

if TYPE_CHECKING:
    import pyarrow as pa


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def alarmed(
    judged: DataFrame, judging: Judging, progress_us: int, final_us: int | None
) -> DataFrame:
    """The windows and states that the next batch needs, and the alerts of this one.

    Args:
        judged: as ``judging.judged`` gives it.
        progress_us: the latest event time.
        final_us: windows that end there or before can no longer change; None: none can.
    """
    function = _Pass(judging.stream, tuple(judging.alarms()), progress_us, final_us)
    return map_in_arrow(judged, function, judging.schema(judged.schema))


@dataclass
class _Key:
    """The rows of a key, read; by the starts of windows.

    Args:
        seen: the start of the last final window, where somebody asks.
        missing: what was told about windows that were missing.
    """

    states: dict[int, State]
    seen: int | None
    windows: list[Window]
    rows: dict[int, dict[str, Any]]
    missing: dict[int, dict[int, Told]]


def _read(
    rows: Sequence[dict[str, Any]], verdicts: Callable[[dict[str, Any]], list[Verdict | None]]
) -> _Key:
    key = _Key({}, None, [], {}, {})
    for row in rows:
        held = json.loads(row[TEXT]) if row[TEXT] else {}
        if row[KIND] == STATE:
            key.states = {int(place): State(**each) for place, each in held.items()}
            key.seen = _micros(row[WINDOW_END]) if row[WINDOW_END] is not None else None
            continue
        start = _micros(row[WINDOW_START])
        told = {int(place): Told(**each) for place, each in held.items()}
        if row[KIND] == MISSING:
            key.missing[start] = told
        else:
            key.rows[start] = row
            key.windows.append(Window(start, verdicts(row), told))
    return key


@dataclass(frozen=True)
class _Pass:
    """What runs in each task. The rows of a key follow each other, by their start."""

    stream: Stream
    alarms: tuple[Alarm, ...]
    progress_us: int
    final_us: int | None

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        left: pa.RecordBatch | None = None
        for batch in batches:
            rows = batch if left is None else pa.concat_batches([left, batch])
            first = self._last_key(rows)
            left = rows.slice(first)
            if first:
                yield from self._followed(rows.slice(0, first))
        if left is not None and left.num_rows:
            yield from self._followed(left)

    def _last_key(self, rows: pa.RecordBatch) -> int:
        """Where the rows of the last key begin."""
        import pyarrow.compute as pc

        begins = self._begins(rows)
        last = pc.max(pc.indices_nonzero(begins)).as_py()
        return last or 0

    def _begins(self, rows: pa.RecordBatch) -> pa.Array:
        """Whether a row is of another key than the one before it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = pa.array([False] * rows.num_rows, pa.bool_())
        if rows.num_rows < 2:
            return found
        for name in self.stream.keys:
            column = rows.column(name)
            differs = pc.not_equal(column.slice(1), column.slice(0, rows.num_rows - 1))
            found = pc.or_(found, pa.concat_arrays([pa.array([False]), differs]))
        return found

    def _followed(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.compute as pc

        begins = self._begins(rows)
        numbers = pc.cumulative_sum(begins.cast(pa.int64()))
        is_loud = self._is_loud(rows)
        if self._silences:
            is_loud = pc.or_(is_loud, self._is_missed(rows, begins))
        loud = pc.is_in(numbers, value_set=pc.unique(numbers.filter(is_loud)))
        quiet = pc.invert(loud)
        yield from self._left(rows.filter(quiet), begins.filter(quiet))
        found = self._keys(rows.filter(loud), numbers.filter(loud).to_pylist())
        if found:
            yield pa.RecordBatch.from_pylist(found, schema=rows.schema)

    @property
    def _silences(self) -> list[Silence]:
        return [each.silence for each in self.alarms if each.silence is not None]

    def _is_loud(self, rows: pa.RecordBatch) -> pa.Array:
        """Whether a row has more to it than verdicts of which no condition is met."""
        import pyarrow as pa
        import pyarrow.compute as pc

        verdicts = rows.column(VERDICTS)
        each = verdicts.flatten()
        met = pc.fill_null(pc.greater(pc.struct_field(each, "met"), 0), False)
        has_more = pc.or_(met, pc.is_valid(pc.struct_field(each, "text")))
        owners = pc.list_parent_indices(verdicts).filter(has_more)
        places = pa.array(range(rows.num_rows), pa.int64())
        has_met = pc.is_in(places, value_set=owners.cast(pa.int64()))
        return pc.or_(has_met, pc.is_valid(rows.column(TEXT)))

    def _starts(self, rows: pa.RecordBatch) -> pa.Array:
        """When a window began, of a state the last one, in microseconds."""
        import pyarrow as pa
        import pyarrow.compute as pc

        is_state = pc.equal(rows.column(KIND), STATE)
        times = pc.if_else(is_state, rows.column(WINDOW_END), rows.column(WINDOW_START))
        return times.cast(pa.int64())

    def _is_missed(self, rows: pa.RecordBatch, begins: pa.Array) -> pa.Array:
        """Whether windows of a key may be missing behind a row: before the next, or to this day."""
        import pyarrow as pa
        import pyarrow.compute as pc

        starts = self._starts(rows)
        silences = self._silences
        after_us = min(each.steps.shortest(each.windows) for each in silences)
        over_us = min(each.steps.shortest_to_end(each.windows) for each in silences)
        nothing = pa.nulls(1, pa.int64())
        following = pc.if_else(
            pa.concat_arrays([begins.slice(1), pa.array([True])]),
            nothing[0],
            pa.concat_arrays([starts.slice(1), nothing]),
        )
        to_this_day = pc.less_equal(pc.add(starts, over_us), self.progress_us)
        before_next = pc.greater(pc.subtract(following, starts), after_us)
        return pc.fill_null(pc.coalesce(before_next, to_this_day), False)

    def _left(self, rows: pa.RecordBatch, begins: pa.Array) -> Iterator[pa.RecordBatch]:
        """What the next batch needs of keys of which there is nothing to tell."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.final_us is None:
            return
        is_window = pc.equal(rows.column(KIND), WINDOW)
        ends = rows.column(WINDOW_END).cast(pa.int64())
        is_open = pc.and_(is_window, pc.greater(ends, self.final_us))
        yield rows.filter(is_open)
        if not self._silences or not rows.num_rows:
            return
        # Of each key the last row that is no open window: rows are in order.
        numbers = pc.cumulative_sum(begins.cast(pa.int64())).filter(pc.invert(is_open))
        closed = rows.filter(pc.invert(is_open))
        is_last = pc.not_equal(numbers.slice(1), numbers.slice(0, max(len(numbers) - 1, 0)))
        last = closed.filter(
            pa.concat_arrays([is_last, pa.array([True] * min(len(numbers), 1), pa.bool_())])
        )
        values = {
            KIND: pa.array([STATE] * last.num_rows, pa.string()),
            WINDOW_END: self._starts(last).cast(last.schema.field(WINDOW_END).type),
        }
        kept = {*self.stream.keys, *values}
        yield pa.RecordBatch.from_arrays(
            [
                values.get(
                    each.name,
                    last.column(each.name)
                    if each.name in kept
                    else pa.nulls(last.num_rows, each.type),
                )
                for each in last.schema
            ],
            schema=last.schema,
        )

    def _keys(self, rows: pa.RecordBatch, numbers: Sequence[int]) -> list[dict[str, Any]]:
        found = []
        values = rows.to_pylist()
        first = 0
        for place in range(1, len(values) + 1):
            if place == len(values) or numbers[place] != numbers[first]:
                found += self._key(values[first:place])
                first = place
        return found

    def _key(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What is left of the rows of a key, and its alerts."""
        keys = {name: rows[0][name] for name in self.stream.keys}
        key = _read(rows, self._verdicts)
        windows = with_silences(self.alarms, key.seen, key.windows, key.missing, self.progress_us)
        row_of = {each.start: key.rows.get(each.start) or self._row(keys, each) for each in windows}
        ends = [_micros(row_of[each.start][WINDOW_END]) for each in windows]
        final = sum(1 for end in ends if self.final_us is None or end <= self.final_us)
        series = json.dumps({n: _plain(v) for n, v in keys.items()}, ensure_ascii=False)
        found = followed(self.alarms, series, key.states, windows, final)
        left = [self._alert(row_of[each.window.start], each, keys, series) for each in found.events]
        there = [each.start for each in windows[:final] if each.start in key.rows]
        seen = there[-1] if there else key.seen
        left += self._failures(key)
        if self._is_retired(key):
            return left
        if found.states or (self._silences and seen is not None):
            text = json.dumps(stored(found.states)) if found.states else None
            when = _time(seen) if seen is not None else None
            left.append({**keys, KIND: STATE, WINDOW_END: when, TEXT: text})
        for window in windows[final:]:
            text = json.dumps(stored(window.told)) if window.told else None
            if window.start in key.rows or text is not None:
                left.append({**row_of[window.start], TEXT: text})
        return left

    def _failures(self, key: _Key) -> Iterator[dict[str, Any]]:
        """What users' classes have raised, once: it is taken out of the verdicts."""
        for window in key.windows:
            for place, verdict in enumerate(window.verdicts):
                why = json.loads(verdict.text or "{}").get("error") if verdict is not None else None
                if why is None:
                    continue
                alarm = self.alarms[place]
                if alarm.stops:
                    raise OutputError(f"analysis '{alarm.rule}': {why}")
                key.rows[window.start][VERDICTS][place]["text"] = None
                yield {KIND: FAILED, TEXT: f"analysis '{alarm.rule}': {why}"}

    def _is_retired(self, key: _Key) -> bool:
        times = [each.retire_us for each in self._silences if each.retire_us is not None]
        if not times or key.windows or key.seen is None:
            return False
        return self.progress_us - key.seen > max(times)

    def _row(self, keys: dict[str, Any], window: Window) -> dict[str, Any]:
        """That of a window that is missing."""
        end = self._silences[0].steps.end(window.start)
        bounds = {WINDOW_START: _time(window.start), WINDOW_END: _time(end)}
        return {**keys, **bounds, KIND: MISSING}

    def _verdicts(self, row: dict[str, Any]) -> list[Verdict | None]:
        found = row[VERDICTS] or [None] * len(self.alarms)
        return [None if each is None else Verdict(**each) for each in found]

    def _alert(
        self, row: dict[str, Any], event: Event, keys: dict[str, Any], series: str
    ) -> dict[str, Any]:
        measures = {name: row.get(name) for name in self.stream.measures}
        told = alert(
            self.alarms[event.check],
            event,
            aggregation=self.stream.name,
            keys={name: _plain(value) for name, value in keys.items()},
            series=series,
            measures={name: _plain(value) for name, value in measures.items()},
            start=_iso(row[WINDOW_START]),
            end=_iso(row[WINDOW_END]),
            since=_iso(_time(event.since)) if event.since is not None else None,
            until=_iso(_time(event.until)) if event.until is not None else None,
        )
        text = json.dumps(told, ensure_ascii=False)
        bounds = {name: row[name] for name in (WINDOW_START, WINDOW_END)}
        return {**keys, **bounds, KIND: ALERT, TEXT: text}


def _micros(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def _time(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _iso(time: datetime) -> str:
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    return _iso(value) if isinstance(value, datetime) else value
