"""Windows that are asked for become InfluxQL, and its answer the nearest window of each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.outputs import Stream
from engine.outputs._influx_lines import is_tag, tag_text
from engine.outputs._influx_place import Place, literal, name
from engine.outputs._influx_server import Server, server

#: Up to so many series are named in a statement; of more all are read, which is faster.
_NAMED = 50
#: Statements in a request.
_STATEMENTS = 100

Series = tuple[str, ...]


@dataclass
class _Span:
    """A stretch of time, and which of the asked windows may lie in it."""

    start: int
    end: int
    rows: list[int] = field(default_factory=list)


class InfluxReader:
    """The past, from a few statements: windows of all series lie at the same times.

    Args:
        to: a server that somebody else closes; None: one of its own.
    """

    def __init__(self, at: Place, to: Server | None = None) -> None:
        self.at = at
        self._held = ExitStack()
        self.server = to or self._held.enter_context(server(at))

    def find(self, stream: Stream, asked: pa.RecordBatch, accuracy_ms: int) -> pa.RecordBatch:
        """Of two windows that are as near the earlier one answers."""
        texts = [tag_text(asked.column(key)).to_pylist() for key in stream.keys]
        series: list[Series] = list(zip(*texts, strict=True)) or [()] * asked.num_rows
        times = pc.cast(asked.column("window_start").cast(pa.timestamp("us")), pa.int64())
        starts = [each // 1000 for each in times.to_pylist()]
        found: list[Sequence[Any] | None] = [None] * asked.num_rows
        written = [row for row, each in enumerate(series) if all(map(is_tag, each))]
        spans = _spans(starts, written, accuracy_ms)
        for at in range(0, len(spans), _STATEMENTS):
            some = spans[at : at + _STATEMENTS]
            text = ";".join(self._statement(stream, each, series) for each in some)
            for span, result in zip(some, self.server.query(text), strict=True):
                windows = _windows(result, len(stream.keys))
                for row in span.rows:
                    there = windows.get(series[row], [])
                    found[row] = _nearest(there, starts[row], accuracy_ms)
        return _answer(stream, self._columns(stream), found)

    def close(self) -> None:
        self._held.close()

    def _columns(self, stream: Stream) -> list[str]:
        """What is selected; the end tells a window without any value."""
        ends = ["window_end"] if self.at.points[stream.name].has_window_end else []
        return [*stream.measures, *ends]

    def _statement(self, stream: Stream, span: _Span, series: Sequence[Series]) -> str:
        # Tags as columns: to group by them takes the server three times as long for many series.
        tags = [f"{name(key)}::tag" for key in stream.keys]
        columns = ", ".join([*map(name, self._columns(stream)), *tags])
        place = name(self.at.points[stream.name].measurement)
        if self.at.retention_policy is not None:
            place = f"{name(self.at.retention_policy)}.{place}"
        wanted = {series[row] for row in span.rows}
        which = f"time >= {span.start}ms AND time <= {span.end}ms"
        if stream.keys and len(wanted) <= _NAMED:
            named = (
                " AND ".join(
                    f"{name(key)} = {literal(value)}"
                    for key, value in zip(stream.keys, each, strict=True)
                )
                for each in sorted(wanted)
            )
            which += f" AND ({' OR '.join(f'({each})' for each in named)})"
        return f"SELECT {columns} FROM {place} WHERE {which}"


def _spans(starts: Sequence[int], rows: Sequence[int], accuracy_ms: int) -> list[_Span]:
    """The stretches of time in which the windows of these rows lie; those that touch are one."""
    found: list[_Span] = []
    for row in sorted(rows, key=starts.__getitem__):
        start, end = starts[row] - accuracy_ms, starts[row] + accuracy_ms
        if not found or start > found[-1].end + 1:
            found.append(_Span(start, end))
        found[-1].end = end
        found[-1].rows.append(row)
    return found


def _windows(result: Any, keys: int) -> dict[Series, list[Sequence[Any]]]:
    """The points of each series, in the order of time; the tags, last of their columns, name it."""
    found: dict[Series, list[Sequence[Any]]] = {}
    for each in result.get("series", ()):
        for point in each["values"]:
            tags = point[len(point) - keys :]
            found.setdefault(tuple(tag or "" for tag in tags), []).append(point)
    return found


def _nearest(windows: Sequence[Sequence[Any]], start: int, accuracy_ms: int) -> Any:
    at = bisect_left(windows, start, key=lambda each: each[0])
    near = windows[max(at - 1, 0) : at + 1]
    best = min(near, key=lambda each: abs(each[0] - start), default=None)
    return best if best is not None and abs(best[0] - start) <= accuracy_ms else None


def _answer(
    stream: Stream, selected: Sequence[str], found: Sequence[Sequence[Any] | None]
) -> pa.RecordBatch:
    from engine.spark.arrow import ARROW

    time = ARROW[next(each.type for each in stream.columns if each.role == "time")]
    starts = pa.array([None if each is None else each[0] for each in found], pa.int64())
    columns = [_times(starts, time)]
    for each in stream.answer[1:]:
        place = 1 + selected.index(each.name)
        values = [None if window is None else window[place] for window in found]
        kind = ARROW[each.type]
        is_time = pa.types.is_timestamp(kind)
        columns.append(
            _times(pa.array(values, pa.int64()), kind) if is_time else pa.array(values, kind)
        )
    names = [each.name for each in stream.answer]
    return pa.RecordBatch.from_arrays(columns, names)


def _times(millis: pa.Int64Array, kind: pa.DataType) -> pa.Array:
    return millis.cast(pa.timestamp("ms", tz="UTC")).cast(kind)
