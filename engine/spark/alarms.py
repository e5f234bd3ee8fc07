"""The verdicts of the keys become alerts, and what the next batch needs, in one pass.

Few keys are alarming at a time: what is quiet stays in Arrow, and no Python looks at it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame

from engine.analysis._alarm import (
    Alarm,
    Event,
    State,
    Told,
    Verdict,
    Window,
    followed,
    stored,
)
from engine.analysis._told import alert
from engine.outputs import Stream
from engine.plan import WINDOW_END, WINDOW_START
from engine.spark.arrow import map_in_arrow
from engine.spark.judging import ALERT, KIND, STATE, TEXT, VERDICTS

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def alarmed(
    judged: DataFrame, stream: Stream, alarms: Sequence[Alarm], final_us: int | None
) -> DataFrame:
    """The windows and states that the next batch needs, and the alerts of this one.

    Args:
        judged: as ``Judging.judged`` gives it.
        final_us: windows that end there or before can no longer change; None: none can.
    """
    pass_ = _Pass(stream, tuple(alarms), final_us)
    return map_in_arrow(judged, pass_, judged.schema)


@dataclass(frozen=True)
class _Pass:
    """What runs in each task. The rows of a key follow each other, by their start."""

    stream: Stream
    alarms: tuple[Alarm, ...]
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

        numbers = pc.cumulative_sum(self._begins(rows).cast(pa.int64()))
        loud = pc.unique(numbers.filter(self._is_loud(rows)))
        is_loud = pc.is_in(numbers, value_set=loud)
        quiet = rows.filter(pc.invert(is_loud))
        yield quiet.filter(self._is_open(quiet))
        found = self._keys(rows.filter(is_loud), numbers.filter(is_loud).to_pylist())
        if found:
            yield pa.RecordBatch.from_pylist(found, schema=rows.schema)

    def _is_loud(self, rows: pa.RecordBatch) -> pa.Array:
        """Whether a row has more to it than verdicts of which no condition is met."""
        import pyarrow.compute as pc

        verdicts = rows.column(VERDICTS)
        met = pc.struct_field(verdicts.flatten(), "met")
        owners = pc.list_parent_indices(verdicts).filter(pc.fill_null(pc.greater(met, 0), False))
        import pyarrow as pa

        places = pa.array(range(rows.num_rows), pa.int64())
        has_met = pc.is_in(places, value_set=owners.cast(pa.int64()))
        return pc.or_(has_met, pc.is_valid(rows.column(TEXT)))

    def _is_open(self, rows: pa.RecordBatch) -> pa.Array:
        """Whether a window may still change."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.final_us is None:
            return pa.array([False] * rows.num_rows, pa.bool_())
        return pc.greater(rows.column(WINDOW_END).cast(pa.int64()), self.final_us)

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
        series = json.dumps(keys, default=_iso, ensure_ascii=False)
        states: dict[int, State] = {}
        windows: list[tuple[dict[str, Any], Window]] = []
        for row in rows:
            held = json.loads(row[TEXT]) if row[TEXT] else {}
            if row[KIND] == STATE:
                states = {int(place): State(**each) for place, each in held.items()}
                continue
            told = {int(place): Told(**each) for place, each in held.items()}
            windows.append((row, Window(_micros(row[WINDOW_START]), self._verdicts(row), told)))
        final = sum(1 for row, _ in windows if self._is_final(row))
        found = followed(self.alarms, series, states, [each for _, each in windows], final)
        row_of = {window.start: row for row, window in windows}
        left = [self._alert(row_of[each.window.start], each, keys, series) for each in found.events]
        if found.states:
            left.append({**keys, KIND: STATE, TEXT: json.dumps(stored(found.states))})
        for row, window in windows[final:]:
            text = json.dumps(stored(window.told)) if window.told else None
            left.append({**row, TEXT: text})
        return left

    def _is_final(self, row: dict[str, Any]) -> bool:
        return self.final_us is None or _micros(row[WINDOW_END]) <= self.final_us

    def _verdicts(self, row: dict[str, Any]) -> list[Verdict | None]:
        found = row[VERDICTS] or [None] * len(self.alarms)
        return [None if each is None else Verdict(**each) for each in found]

    def _alert(
        self, row: dict[str, Any], event: Event, keys: dict[str, Any], series: str
    ) -> dict[str, Any]:
        measures = {name: row[name] for name in self.stream.measures}
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
