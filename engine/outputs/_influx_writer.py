"""Windows of a task become points: requests of many lines, and again without those refused."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from engine.outputs import Refused, Stream, Writer
from engine.outputs._influx_answers import Refusal
from engine.outputs._influx_lines import Lines, lines, tag_text
from engine.outputs._influx_place import Place, literal, name
from engine.outputs._influx_reader import InfluxReader
from engine.outputs._influx_server import Server, server
from engine.outputs._values import iso

#: Statements in a request: it stays well below what servers take.
_STATEMENTS = 500


class InfluxWriter(Writer):
    """A task's side: while a request is under way the next one is made, and not more than that."""

    def __init__(self, at: Place, partition: int) -> None:
        self.at = at
        self.held = ExitStack()
        self.server = self.held.enter_context(server(at))
        self.threads = ThreadPoolExecutor(at.connections)
        self.flying: deque[Future[list[Refused]]] = deque()
        self.waiting: list[Lines] = []
        self.count = 0
        self.found: list[Refused] = []

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None:
        point = self.at.points[stream.name]
        if point.clears:
            self._clear(stream, rows)
        made, refused = lines(stream, rows, point)
        self._take_aside(refused)
        at = 0
        while at < len(made):
            part = made.slice(at, self.at.batch_size - self.count)
            self.waiting.append(part)
            self.count += len(part)
            at += len(part)
            if self.count == self.at.batch_size:
                self._send()

    def remove(self, stream: Stream, rows: pa.RecordBatch) -> None:
        measurement = name(self.at.points[stream.name].measurement)
        keys = [tag_text(rows.column(key)).to_pylist() for key in stream.keys]
        times = iso(rows.column("window_start")).to_pylist()
        statements = []
        for time, *values in zip(times, *keys, strict=True):
            same = [f"time = '{time}'"]
            same += [
                f"{name(key)} = {literal(value)}"
                for key, value in zip(stream.keys, values, strict=True)
            ]
            statements.append(f"DELETE FROM {measurement} WHERE {' AND '.join(same)}")
        for at in range(0, len(statements), _STATEMENTS):
            self.server.query(";".join(statements[at : at + _STATEMENTS]))

    def settle(self) -> None:
        self._send()
        while self.flying:
            self._take_aside(self.flying.popleft().result())

    def refused(self) -> list[Refused]:
        found, self.found = self.found, []
        return found

    def commit(self) -> None:
        self._close()

    def abort(self) -> None:
        self._close()

    def _close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.held.close()

    def _send(self) -> None:
        if not self.waiting:
            return
        whole = Lines.joined(self.waiting)
        self.waiting, self.count = [], 0
        self.flying.append(self.threads.submit(lambda: list(sent(self.server, whole))))
        if len(self.flying) > self.at.connections:
            self._take_aside(self.flying.popleft().result())

    def _take_aside(self, refused: list[Refused]) -> None:
        if refused and self.at.stops:
            first = refused[0]
            raise self.at.error(f"a window cannot be written: {first.reason}: {first.record}")
        self.found += refused

    def _clear(self, stream: Stream, rows: pa.RecordBatch) -> None:
        """Deletes the points of which a value has become null: what is written later has no way to
        say so, and the old value would stay. Few rows have nulls; of fresh ones there is no point.
        """
        measured = [rows.column(each) for each in stream.measures]
        nulls = [pc.is_null(column) for column in measured if column.null_count]
        if not nulls:
            return
        rows = rows.filter(reduce(pc.or_, nulls))
        reader = InfluxReader(self.at, self.server)
        there = reader.find(stream, rows.select(list(stream.identity)), 0)
        gone = (
            pc.and_(pc.is_null(rows.column(each)), pc.is_valid(there.column(each)))
            for each in stream.measures
        )
        stale = reduce(pc.or_, gone)
        if pc.any(stale).as_py():
            self.remove(stream, rows.filter(stale))


def sent(to: Server, whole: Lines) -> Iterator[Refused]:
    """Writes the lines; gives the rows that the server refuses, and only these.

    It names one of them at most, and has written the others, or none, by its version and by what is
    wrong. So halves are written again, until they are taken or are a single line: a line that is
    written twice is the same point.
    """
    waiting = [whole]
    while waiting:
        part = waiting.pop()
        refusal = to.write(part.payload)
        if refusal is None:
            continue
        named = _named(refusal, part)
        if named is not None:
            for row, reason in named.items():
                yield Refused(part.record(row), reason)
        else:
            half = len(part) // 2
            waiting += [part.slice(half), part.slice(0, half)]


def _named(refusal: Refusal, part: Lines) -> dict[int, str] | None:
    """The reasons by row, where the answer tells them."""
    size = len(part)
    if size == 1 or refusal.dropped == size:
        return dict.fromkeys(range(size), refusal.reason)
    lines = refusal.by_line
    # A text with a line break in it: then it is not clear what the server counts.
    if lines is None or bytes(part.payload).count(b"\n") != size:
        return None
    return dict(lines) if all(0 <= each < size for each in lines) else None
