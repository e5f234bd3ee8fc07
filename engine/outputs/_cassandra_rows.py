"""A task's side of Cassandra: Arrow batches become statements, questions become windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from engine.config.durations import milliseconds
from engine.outputs import STOP, OutputError, Reader, Refused, Stream, Writer
from engine.outputs._cassandra_cql import between, delete, plain, series, upsert, values
from engine.outputs._cassandra_line import CassandraLine
from engine.outputs._patience import Patience, RowError
from engine.outputs._values import record
from engine.plan import WINDOW_START

if TYPE_CHECKING:
    from engine.outputs.cassandra import Cassandra


#: How many partitions a question is about: the node that is asked has to collect them from others.
_TOGETHER = 50


class CassandraWriter(Writer):
    """The rows of a partition; each is written at the time of the micro-batch."""

    def __init__(
        self, target: Cassandra, patience: Patience, written_us: int, partition: int
    ) -> None:
        self.target, self.written_us = target, written_us
        self.line = CassandraLine(target, patience)
        self.ttl = 0 if target.ttl is None else milliseconds(target.ttl) // 1000
        self.turned_down: list[Refused] = []

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None:
        statement = upsert(self.target.keyspace, stream)
        for start in range(0, rows.num_rows, self.target.batch_size):
            part = rows.slice(start, self.target.batch_size)
            also = [[each] * part.num_rows for each in (self.ttl, self.written_us)]
            given = list(zip(*values(stream, part), *also, strict=True))
            self._keep(part, self.line.each(statement, given))

    def remove(self, stream: Stream, rows: pa.RecordBatch) -> None:
        rows = rows.select(list(stream.identity))
        when = [self.written_us - 1] * rows.num_rows
        given = list(zip(when, *values(stream, rows), strict=True))
        # A window that could not be written, because of its keys, is not there.
        self.line.each(delete(self.target.keyspace, stream), given)

    def refused(self) -> list[Refused]:
        found, self.turned_down = self.turned_down, []
        if found and self.target.on_reject == STOP:
            first = found[0]
            told = f"{self.line.patience.who}: {first.reason}: {first.record[:200]}"
            raise OutputError(told)
        return found

    def commit(self) -> None:
        self.line.stop()

    def abort(self) -> None:
        self.line.stop()

    def _keep(self, rows: pa.RecordBatch, results: Sequence[Any]) -> None:
        """Remembers the rows that the server has refused."""
        for place, result in enumerate(results):
            if isinstance(result, RowError):
                self.turned_down.append(Refused(record(rows, place), str(result)))


class CassandraReader(Reader):
    """What the tables know of the past: a prepared question for series that differ in one key, many
    such at a time."""

    def __init__(self, target: Cassandra, patience: Patience) -> None:
        self.line = CassandraLine(target, patience)

    def find(self, stream: Stream, asked: pa.RecordBatch, accuracy_ms: int) -> pa.RecordBatch:
        from engine.spark.arrow import ARROW

        starts = plain(asked.column(WINDOW_START))
        of = [plain(asked.column(key)) for key in stream.keys] or [[stream.name] * len(starts)]
        # Of several keys, one that has few values would make questions of few series.
        many = max(range(len(of)), key=lambda place: len(set(of[place])))
        statement = between(self.line.target.keyspace, stream, series(stream)[many])
        found: list[Sequence[Any]] = [[None] * len(stream.answer)] * len(starts)
        for question, rows in self._answers(statement, _questions(of, starts, many), accuracy_ms):
            for key, windows in groupby(rows, key=lambda row: _plain(row[0])):
                nearest = _nearest([window[1:] for window in windows], question.start)
                for place in question.asked[key]:
                    found[place] = nearest
        arrays = [
            _array([row[place] for row in found], ARROW[column.type])
            for place, column in enumerate(stream.answer)
        ]
        return pa.RecordBatch.from_arrays(arrays, [column.name for column in stream.answer])

    def close(self) -> None:
        self.line.close()

    def _answers(
        self, statement: str, questions: list[_Question], accuracy_ms: int
    ) -> Iterator[tuple[_Question, list[Any]]]:
        """The rows of each question. One that is refused is asked again for each of its series: the
        server does not say which it cannot have, and that one has no past."""
        again: list[_Question] = []
        given = [each.values(accuracy_ms) for each in questions]
        for question, rows in zip(questions, self.line.each(statement, given), strict=True):
            if not isinstance(rows, RowError):
                yield question, rows
            elif len(question.asked) > 1:
                again += [replace(question, asked={key: of}) for key, of in question.asked.items()]
        if again:
            yield from self._answers(statement, again, accuracy_ms)


@dataclass(frozen=True)
class _Question:
    """What windows there are of some series about a time.

    Args:
        others: the keys that the series have in common.
        start: of the windows, in epoch milliseconds.
        asked: the key in which they differ -> the places of the rows that ask.
    """

    others: tuple[Any, ...]
    start: int
    asked: Mapping[Any, Sequence[int]]

    def values(self, accuracy_ms: int) -> tuple[Any, ...]:
        """Those of the statement ``between``."""
        bounds = (self.start - accuracy_ms, self.start + accuracy_ms)
        return (*self.others, list(self.asked), *bounds)


def _questions(of: Sequence[list[Any]], starts: Sequence[int], many: int) -> list[_Question]:
    """As few as there can be, for rows whose keys are these columns."""
    found: dict[tuple[Any, ...], dict[Any, list[int]]] = {}
    for place, (start, *keys) in enumerate(zip(starts, *of, strict=True)):
        # What has no key is not there, and to ask for it is an error.
        if _is_there(tuple(keys)):
            key = keys.pop(many)
            found.setdefault((start, *keys), {}).setdefault(key, []).append(place)
    questions = []
    for (start, *others), asked in found.items():
        each = list(asked.items())
        for first in range(0, len(each), _TOGETHER):
            part = dict(each[first : first + _TOGETHER])
            questions.append(_Question(tuple(others), start, part))
    return questions


def _is_there(key: tuple[Any, ...]) -> bool:
    return None not in key and key != ("",)


def _nearest(rows: Sequence[Any], start_ms: int) -> Any:
    """The window whose start is the nearest; of two the earlier one, which comes first."""
    return min(rows, key=lambda row: abs(_milliseconds(row[0]) - start_ms))


def _milliseconds(time: datetime) -> int:
    return round(_in_utc(time).timestamp() * 1000)


def _plain(key: Any) -> Any:
    """A key of a row as ``plain`` gives it."""
    return _milliseconds(key) if isinstance(key, datetime) else key


def _in_utc(time: datetime) -> datetime:
    """The driver gives times in UTC that do not say so."""
    return time.replace(tzinfo=timezone.utc)


def _array(found: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        found = [None if each is None else _in_utc(each) for each in found]
    return pa.array(found, kind)
